"""The stored result of a finished run: asking again trains nothing and opens nothing."""

from __future__ import annotations

import json
from typing import Any

from fdsearch.files import digest_json, write_json
from fdsearch.pipeline.question import Question

_FILE = "result.json"


def store_result(question: Question, document: dict[str, Any]) -> None:
    """Keep a run's document beside what it answers."""
    write_json(question.folder / _FILE, {"answers": _key(question), "n_trials": _asked(question), "document": document})


def stored_result(question: Question) -> dict[str, Any] | None:
    """The document of an earlier run of the same question on the same data with at least as many trials, or None."""
    try:
        stored = json.loads((question.folder / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if stored.get("answers") != _key(question) or stored.get("n_trials", 0) < _asked(question):
        return None
    document: dict[str, Any] = stored["document"]
    return document


def _key(question: Question) -> str:
    """Digest of what a result depends on."""
    spec = question.spec
    parts: list[Any] = [dict(question.definition), question.identity, spec.selection.model_dump(mode="json")]
    decision = spec.decision.model_dump(mode="json", by_alias=True)
    # Results stored before there were other gates name this one alone.
    gates = {"min_macro_f1": None, **spec.registry.gates.model_dump(exclude_none=True)}
    beside: dict[str, Any] = {"decision": decision, "leave_out": spec.split.leave_out, "gates": gates}
    # Studies that say nothing of novelty or claims have the key that results stored before there were any have.
    if novelty := spec.novelty.model_dump(mode="json", exclude_defaults=True):
        beside["novelty"] = novelty
    claims = [recipe.model_dump(mode="json") for recipe in spec.search.enqueue if recipe.reported is not None]
    claims += [spec.drift.model_dump(mode="json")] if spec.drift else []
    if claims:
        beside["claims"] = claims
    return digest_json([*parts, beside])


def _asked(question: Question) -> int:
    return question.spec.search.n_trials
