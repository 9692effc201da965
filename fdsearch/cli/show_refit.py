"""What a person sees of a version that was made again."""

from __future__ import annotations

from fdsearch.cli import show_trust
from fdsearch.cli.show import Document, line
from fdsearch.report import words


def refit(document: Document) -> None:
    """Print a refit: how it compares with the champion, and then all that is printed of a run."""
    if document.get("refitted_from"):
        line("recipe", f"of {document['refitted_from']}; nothing was searched")
    if found := document.get("comparison"):
        line("against", f"champion {found['champion']}: {comparison(found)}")
    show_trust.run(document)


def comparison(found: Document) -> str:
    """The gain over the champion in words.

    Examples
    --------
    >>> comparison({"parts": 43, "gain": 0.02, "ci": [-0.01, 0.05], "level": "95 %", "why": None})
    'gain +0.020, interval -0.010 to 0.050 (95 %), on 43 parts neither was trained on'
    >>> comparison({"parts": 0, "gain": None, "ci": None, "level": "", "why": "it tells other classes apart"})
    'no gain can be given: it tells other classes apart'
    """
    if found.get("gain") is None:
        return f"no gain can be given: {found.get('why')}"
    bounds = words.interval(found.get("ci"), found.get("why"), found.get("level"))
    gain = words.score(found["gain"], signed=True)
    told = f"gain {gain}, interval {bounds}, on {found['parts']} parts neither was trained on"
    chance = found.get("chance")
    return told if chance is None else f"{told}; {100 * chance:.2g} % of random exchanges of their answers gain as much"


def reproduce(document: Document) -> None:
    """Print the score of then and of now."""
    line("model", f"{document['model']}, study {document['study']}")
    line("recorded", f"macro F1 {document['recorded']:.6f}")
    line("now", f"macro F1 {document['value']:.6f}, a difference of {document['difference']:+.6f}")
    largest = f"largest difference of a logit {document['largest_logit_difference']:.2g}"
    line("pictures", f"{document['changed']} of {document['n']} get another class; {largest}")
    for each in document["differences"]:
        line("note", each)
    line("took", words.seconds(document["seconds"]))
