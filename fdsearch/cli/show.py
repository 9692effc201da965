"""What a person sees on stdout: each function prints one kind of document; programs use ``--json`` instead."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fdsearch.cli.errors import printable
from fdsearch.report.words import SCORES, SOURCES, interval, plain, score, seconds

if TYPE_CHECKING:
    from rich.table import Table

Document = Mapping[str, Any]


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table; text stays literal (no markup) and, in a pipe, is never cut to a terminal's width."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 240
    with console.capture() as capture:
        console.print(grid(columns, rows, title))
    # Outside a terminal rich fills lines up with spaces, which only disturb a diff or a search.
    text = capture.get()
    sys.stdout.write(text if console.is_terminal else "\n".join(line.rstrip() for line in text.splitlines()) + "\n")


def grid(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """A table for rich to print; its text is literal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        grid.add_column(Text(column), overflow="fold", justify="left" if index == 0 else "default")
    for row in rows:
        grid.add_row(*(Text(_cell(value)) for value in row))
    return grid


def facts(document: Document) -> None:
    """Print the keys of a document with their values, one a line; nested values as tables are no use here."""
    width = max((len(key) for key in document), default=0)
    for key, value in document.items():
        line(key, _cell(value), width)


def line(name: str, text: str, width: int = 10) -> None:
    """Print one named value."""
    sys.stdout.write(f"{printable(name):<{width}}  {printable(text)}\n")


def run(document: Document) -> None:
    """Print what a run found out, or what a dry run would do."""
    if "candidate" not in document:
        (plan if "space" in document else facts)(document)
        return
    candidate, champion = document["candidate"], document.get("champion")
    line("study", f"{document['study']}: {_trial_counts(document)}")
    if candidate:
        line(
            "candidate",
            f"{candidate['name']}:{candidate['version']}"
            + (f", {candidate['alias']}" if candidate.get("alias") else ""),
        )
    line("champion", f"{champion['name']}:{champion['version']}" if champion else "none")
    _headline(document.get("headline"))
    _scores(document)
    for gate in (candidate or {}).get("gates", ()):
        verdict = "holds" if gate["holds"] else "does not hold"
        why = f" ({gate['why']})" if gate.get("why") else ""
        line("gate", f"{gate['name']} {_cell(gate['threshold'])}: {score(gate['figure'])}, {verdict}{why}")
    _front(document)
    decision = document.get("decision")
    line("decision", _cell(decision) if decision else f"none: {_cell(document.get('decision_why'))}")
    _space_why(document)
    for note in document.get("notes") or ():
        line("note", note)
    for key in ("splits", "report"):
        line(key, _cell(document.get(key)))
    line("took", seconds(document.get("seconds")))


def plan(document: Document) -> None:
    """Print what a run would do."""
    line("study", document["study"])
    parts = document["groups_per_class"]
    table(("class", "pictures", "parts"), [(name, n, parts.get(name)) for name, n in document["classes"].items()])
    for role in ("development", "holdout"):
        line(role, f"{document[role]['n']} pictures of {document[role]['n_groups']} parts")
    line("folds", _cell(document["n_splits"]))
    probes = [f"first {len(document['probes'])} probes"] if document.get("probes") else []
    first = [*probes, *(f"first {name}" for name in document["enqueued"])]
    line("trials", ", ".join([_cell(document["n_trials"]), *first]))
    line("baseline", _cell(document["baseline"]) or "no point of this space")
    for stage, allowed in (document["budget_s"] or {}).items():
        line("budget", f"{stage.replace('_', ' ')} {seconds(allowed)}")
    for note in document["notes"]:
        line("note", note)
    _space_why(document)
    table(("parameter", "distribution"), [(name, _distribution(entry)) for name, entry in document["space"].items()])


def _distribution(entry: Document) -> str:
    when = "".join(
        f", when {parent} is {' or '.join(map(plain, values))}" for parent, values in entry.get("when", {}).items()
    )
    if "fixed" in entry:
        return f"{plain(entry['fixed'])}{when}"
    if "choices" in entry:
        return f"{' | '.join(map(plain, entry['choices']))}{when}"
    return f"{plain(entry['low'])} to {plain(entry['high'])}{', logarithmic' if entry.get('log') else ''}{when}"


def _headline(headline: Document | None) -> None:
    if headline:
        bounds = interval(headline.get("ci"), headline.get("why"), headline.get("level"))
        source = SOURCES.get(headline["source"], headline["source"])
        parts = f"{headline['min_groups']} parts in the smallest class"
        line("headline", f"macro F1 {score(headline['value'])}, interval: {bounds}; {source}; {parts}")


def _scores(document: Document) -> None:
    rows: list[tuple[object, ...]] = []
    for key, name, figure in SCORES:
        part = document.get(key) or {}
        if part:
            bounds = interval(part.get("macro_f1_ci"), part.get("why"), part.get("level"))
            counts = (part.get("n"), part.get("n_groups"), part.get("min_groups"))
            rows.append((name, score(part.get(figure)), bounds, *counts))
    baseline = document.get("baseline") or {}
    if baseline.get("gain") is not None:
        bounds = interval(baseline.get("gain_ci"), baseline.get("gain_why"), baseline.get("gain_level"))
        rows.append(("gain over the baseline", score(baseline["gain"], signed=True), bounds, None, None, None))
    table(("score", "macro F1", "interval", "pictures", "parts", "in the smallest class"), rows)


def search(document: Document) -> None:
    """Print what a search found."""
    line("study", f"{document['study']}: {_trial_counts(document)}")
    line("best", f"{score(document['best_value'])} (chosen as the best of many: too high by the search's optimism)")
    for name, value in (document.get("best_params") or {}).items():
        line("", f"{name} = {value}")
    _front(document)
    _space_why(document)
    line("took", seconds(document.get("seconds")))


def train(document: Document) -> None:
    """Print the score of one configuration."""
    line("macro F1", score(document["value"]))
    per_class(document.get("per_class") or {})
    line("took", seconds(document.get("seconds")))


def per_class(report: Mapping[str, Document]) -> None:
    """Print precision, recall and F1 of each class."""
    columns = ("precision", "recall", "f1")
    rows = [
        (name, *(score(row.get(key)) for key in columns), row.get("support"), row.get("groups"))
        for name, row in report.items()
    ]
    table(("class", *columns, "pictures", "parts"), rows)


def init(document: Document) -> None:
    """Print what was found in a folder and what to do next."""
    line("pictures", _cell(document["n"]))
    for name, number in document["classes"].items():
        line("", f"{number:6d}  {name}")
    line("group", _cell(document["group"]) or "none found: each picture counts as its own part")
    for why in document.get("why") or ():
        line("why", why)
    line("study", document["study_file"])
    line("next", f"fdsearch data audit {document['study_file']}")


def logs(document: Document) -> None:
    """Print logs as they are."""
    for study in document["studies"]:
        if len(document["studies"]) > 1:
            sys.stdout.write(f"==> {study['study']} <==\n")
        sys.stdout.writelines(f"{printable(text)}\n" for text in study["lines"])


def configs(document: Document) -> None:
    """Print example configurations side by side."""
    examples = [example["params"] for example in document["configs"]]
    names = list(dict.fromkeys(name for example in examples for name in example))
    numbers = [str(index) for index in range(len(examples))]
    _space_why(document)
    table(("parameter", *numbers), [(name, *(example.get(name) for example in examples)) for name in names])


def models(document: Document) -> None:
    """Print the architectures."""
    rows = [
        (row["name"], f"{row['parameters']:,}", f"{row['input_size']} px", ", ".join(row["weights"]) or "none here")
        for row in document["models"]
    ]
    table(("architecture", "parameters", "input", "weights here"), rows)


def registry(document: Document) -> None:
    """Print the models of the registry."""
    if not document["models"]:
        sys.stdout.write("no model is registered here; `fdsearch run STUDY` registers one\n")
        return
    rows = [(row["name"], len(row["versions"]), row["champion"], row["challenger"]) for row in document["models"]]
    table(("model", "versions", "champion", "challenger"), rows)


def checks(document: Document) -> None:
    """Print what the doctor found."""
    table(
        ("check", "status", "found", "fix"),
        [(c["name"], c["status"], c["found"], c["fix"]) for c in document["checks"]],
    )


def _front(document: Document) -> None:
    """The trials than which none is both better and faster, where latencies were measured."""
    for point in document.get("pareto") or ():
        bound = "" if point["feasible"] else ", too slow"
        line("front", f"trial {point['trial']}: macro F1 {score(point['value'])}, {point['latency_ms']:.1f} ms{bound}")


def _space_why(document: Document) -> None:
    """Why fdsearch chose this search space, where it did."""
    for why in document.get("space_why") or ():
        line("space", str(why))


def _trial_counts(document: Document) -> str:
    names = {"n_complete": "complete", "n_pruned": "pruned", "n_failed": "failed"}
    counts = ", ".join(f"{document.get(key, 0)} {word}" for key, word in names.items())
    return f"{document.get('n_trials')} trials ({counts})"


def _cell(value: object) -> str:
    return printable(plain(value))
