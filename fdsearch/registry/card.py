"""The model card as plain values: what a version is, how good, what it promises and where it comes from.

``card.json`` holds exactly this, for programs; `card_page` writes the same for people, as ``card.md``. `pipeline` knows
the figures, and says what a version is about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

FORMAT = 1

_SOURCE = (
    "The scores estimate what this procedure does on new parts of the same source. Another product, camera, lens or "
    "lighting is a new source: measure again before use."
)
_NOVELTY = "A picture unlike all known ones still gets a label: this version does not recognise novelty."
_SCORES = ("headline", "cv", "baseline", "holdout", "random_folds", "agreement")


def model_card(
    name: str,
    metrics: Mapping[str, Any],
    lineage: Mapping[str, Any],
    contract: Mapping[str, Any],
    gates: Sequence[Mapping[str, Any]] = (),
    subject: Mapping[str, Any] | None = None,
    exports: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Gather a model card.

    Parameters
    ----------
    name : str
        The model's name; its version is not known before it is registered.
    metrics : mapping
        ``headline``, ``cv``, ``baseline``, ``holdout``, ``optimism``, ``groups``, ``random_folds``, ``agreement`` as
        `run --json` prints them; what is absent or None is so in the card, with its ``why`` where there is one.
    lineage : mapping
        Digests, seeds, study, trial, parameters.
    contract : mapping
        ``contract.json`` as plain values.
    gates : sequence of mapping
        As `gates.evaluate` returns them, at the time of registration.
    subject : mapping, optional
        ``data``, ``partition``, ``groups`` and ``weights``: what the version was made from.
    exports : mapping, optional
        ``exports`` of ``exports.json``.

    Returns
    -------
    dict
        JSON values: ``format, name, classes, pass_classes, input, data, partition, groups, scores{}, optimism,
        holdout_openings, calibration, decision{}, novelty{}, gates[], exports, limits[], weights[], lineage``.

    Examples
    --------
    >>> card = model_card("tiles", {"holdout": {"openings": 2, "independent": False}}, {"trial": 7}, {"classes": ["a"]})
    >>> card["holdout_openings"]["openings"], card["decision"]["unit"], len(card["limits"])
    (2, None, 5)
    """
    about = dict(subject or {})
    evidence = contract.get("evidence") or {}
    optimism, search = metrics.get("optimism"), metrics.get("search") or {}
    card = {
        "format": FORMAT,
        "name": name,
        "classes": list(contract.get("classes") or ()),
        "pass_classes": list(contract.get("pass_classes") or ()),
        "input": contract.get("input"),
        "data": about.get("data"),
        "partition": about.get("partition"),
        "groups": about.get("groups") or metrics.get("groups"),
        "scores": {key: metrics.get(key) for key in _SCORES},
        "optimism": optimism.get("optimism") if isinstance(optimism, Mapping) else optimism,
        "optimism_words": search.get("words") or search.get("why"),
        "holdout_openings": _openings(metrics.get("holdout")),
        "calibration": _calibration(contract, evidence),
        "decision": _decision(contract, evidence),
        "novelty": _novelty(contract, evidence),
        "gates": [dict(gate) for gate in gates],
        "exports": None if exports is None else {key: dict(value) for key, value in exports.items()},
        "limits": _limits(metrics, contract, about),
        "weights": about.get("weights"),
        "lineage": dict(lineage),
    }
    plain: dict[str, Any] = json.loads(json.dumps(card, allow_nan=False))  # tuples are lists to every reader
    return plain


def _openings(holdout: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if holdout is None or holdout.get("openings") is None:
        return None
    return {key: holdout.get(key) for key in ("openings", "independent", "words")}


def _calibration(contract: Mapping[str, Any], evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers that are applied, and how well calibrated they leave the probabilities."""
    measured = evidence.get("calibration") or {}
    found = {key: measured.get(key) for key in ("method", "n", "ece", "log_loss", "why")}
    return {**(contract.get("calibration") or {}), **found}


def _decision(contract: Mapping[str, Any], evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The policy, the unit it decides about, and what it was seen to do; the evidence's curves are for a report."""
    rule, measured, agreement = contract.get("decision"), evidence.get("decision") or {}, evidence.get("repeatability")
    return {
        "unit": rule.get("unit") if rule else None,
        "rule": rule,
        "why": contract.get("decision_why"),
        **{key: measured.get(key) for key in ("rates", "per_class", "notes")},
        "repeatability": agreement and {key: agreement.get(key) for key in ("share", "n_parts", "why")},
    }


def _limits(metrics: Mapping[str, Any], contract: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    """Sentences that a reader of the scores must not miss; what weakens these scores in particular comes first."""
    headline, holdout = metrics.get("headline") or {}, metrics.get("holdout") or {}
    groups, agreement = about.get("groups") or metrics.get("groups") or {}, metrics.get("agreement") or {}
    found = []
    if holdout.get("independent") is False:
        found.append(_sentence(holdout.get("words") or "the holdout is not independent"))
    if groups.get("source") == "inferred":
        found.append("Groups were inferred from pictures, names, order and time: the score is as right as they are.")
    if groups.get("source") == "none":
        found.append("Each picture counts as its own part: where parts have several, the scores are too good.")
    if agreement.get("shipped") == "ensemble":
        found.append(_sentence(f"the model is the mean of its folds' models: {agreement.get('why')}"))
    if headline.get("ci") is None:
        found.append(_sentence(f"no interval can be given: {headline.get('why') or 'it was not computed'}"))
    if not contract.get("decision"):
        why = contract.get("decision_why") or "no promise was asked for"
        found.append(_sentence(f"nothing passes without a person: {why}"))
    return [*found, _SOURCE, _what_is_novel(contract)]


def _novelty(contract: Mapping[str, Any], evidence: Mapping[str, Any]) -> dict[str, Any]:
    """How novel pictures are told, at which price, and what that kept from passing of classes that nobody knew."""
    rule, measured = contract.get("novelty") or {}, evidence.get("novelty") or {}
    return {
        **{key: rule.get(key) for key in ("method", "threshold", "false_alarm_rate", "unit", "cuts")},
        "why": rule.get("why") or contract.get("novelty_why"),
        **{key: measured.get(key) for key in ("n_regular", "false_alarms", "unseen")},
    }


def _what_is_novel(contract: Mapping[str, Any]) -> str:
    rule = contract.get("novelty") or {}
    if rule.get("threshold") is None:
        why = rule.get("why") or contract.get("novelty_why")
        return _NOVELTY if why is None else f"{_NOVELTY[:-1]}: {_sentence(why)[:1].lower()}{_sentence(why)[1:]}"
    price = f"{100 * rule['false_alarm_rate']:g} % of regular parts"
    return (
        f"What is unlike all known pictures goes to a person, and with it at most {price}; it is no proof: see how "
        "many parts of unseen classes still pass."
    )


def _sentence(words: Any) -> str:
    text = str(words).strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
