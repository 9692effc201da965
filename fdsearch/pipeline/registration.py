"""From a candidate to a version with an alias, in steps that survive a kill.

A draft lies in the run folder until the run's result is stored. Its ``metrics.json`` is written last: a draft that has
it is whole, its holdout (if any) was opened and scored, and it is registered as it is instead of being made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdsearch.files import digest_file, digest_json, write_atomic, write_json
from fdsearch.pipeline.bundle import lineage, refit, write_contract
from fdsearch.pipeline.candidates import Contest
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.holdout import score_holdout
from fdsearch.pipeline.question import Question
from fdsearch.registry import card, gates
from fdsearch.registry.draft import CARD, CONTRACT, METRICS, MODEL, Draft
from fdsearch.registry.store import Registry
from fdsearch.selection.scores import Score, headline
from fdsearch.serving.contract import Contract

ACTOR = "fdsearch run"


@dataclass(frozen=True)
class Prepared:
    """A whole draft.

    Parameters
    ----------
    folder : Path
    figures : mapping
        What ``metrics.json`` holds; ``holdout`` and ``headline`` are None for all but the candidate.
    contract : Contract
    lineage : mapping
    """

    folder: Path
    figures: Mapping[str, Any]
    contract: Contract
    lineage: Mapping[str, Any]


def prepare(
    question: Question, contest: Contest, name: str, figures: Mapping[str, Any], run: Running, *, sealed: bool
) -> Prepared:
    """Make a draft of one of the compared configurations, or find the one that an ended run left.

    Parameters
    ----------
    figures : mapping
        What is known about it so far.
    sealed : bool
        Open the holdout for it.
    """
    candidate = contest.validation[name]
    origin = lineage(question, candidate, contest.trials.get(name), dict(contest.params.get(name, {})))
    folder = drafts(question) / f"{name}-{digest_json(origin)[:12]}"
    if (folder / METRICS).is_file():
        run.log.say(f"the final fit of {name} is there already")
        contract = Contract.parse((folder / CONTRACT).read_bytes(), str(folder / CONTRACT))
        return Prepared(folder, json.loads((folder / METRICS).read_text(encoding="utf-8")), contract, origin)
    shutil.rmtree(folder, ignore_errors=True)
    run.log.say(f"final fit of {name} on all development parts")
    refit(question, candidate, run, folder)
    contract = write_contract(question, candidate, folder)
    found: dict[str, Any] = {**figures, "holdout": None, "headline": None}
    if sealed:
        score, details = score_holdout(question, folder)
        run.log.say(f"holdout opened (time {details['openings']}): macro F1 {score.value:.4f}")
        found |= {
            "holdout": {**score.to_json(), **details},
            "headline": believable(question, contest, name, figures["optimism"], score),
        }
    verdict = gates.evaluate(question.spec.registry.gates, found) if sealed else []
    text = card.render(question.spec.model_name, found, origin, contract.model_dump(mode="json"), verdict)
    write_atomic(folder / CARD, text.encode())
    write_json(folder / METRICS, found)
    return Prepared(folder, found, contract, origin)


def believable(
    question: Question, contest: Contest, name: str, optimism: float | None, sealed: Score
) -> dict[str, Any]:
    """The headline; where the out-of-fold score cannot be corrected or was stopped early on, the holdout's."""
    flattered = question.single_split and contest.validation[name].config.early_stopping.monitor != "none"
    chosen = headline(contest.scores[name], optimism or 0.0, sealed)
    if chosen["source"] == "holdout" or not (flattered or optimism is None):
        return chosen
    reason = "its epochs were chosen on the validation part" if flattered else "the search's optimism is unknown"
    beside = {**chosen["beside"], "beside": {key: value for key, value in chosen.items() if key != "beside"}}
    return {**beside, "note": f"the out-of-fold score is not the headline: {reason}"}


def register(question: Question, prepared: Prepared) -> int:
    """Add a draft to the registry, once; return its version."""
    registry, model = Registry(question.workspace.registry), question.spec.model_name
    digest = digest_file(prepared.folder / MODEL)
    for entry in registry.models():
        for number in entry["versions"] if entry["name"] == model else []:
            if registry.version(model, number).manifest.files[MODEL].sha256 == digest:
                return int(number)
    return registry.register(model, Draft(prepared.folder, prepared.lineage), ACTOR).version


def appoint(question: Question, version: int, verdict: list[dict[str, Any]], *, promote: bool) -> str | None:
    """Log the gates and give a candidate its alias: champion, challenger, or None where a gate does not hold."""
    registry, model = Registry(question.workspace.registry), question.spec.model_name
    registry.record_evaluated(model, version, verdict)
    if not all(gate["holds"] for gate in verdict):
        return None
    current = champion(question)
    if current == version:
        return "champion"
    if promote or current is None:
        why = "the first candidate whose gates hold" if current is None else "asked for by --promote"
        registry.promote(model, version, by=ACTOR, reason=why)
        return "champion"
    registry.set_challenger(model, version, by=ACTOR, reason="a later candidate whose gates hold")
    return "challenger"


def champion(question: Question) -> int | None:
    """Version of the model's champion."""
    models = Registry(question.workspace.registry).models()
    return next((entry["champion"] for entry in models if entry["name"] == question.spec.model_name), None)


def drafts(question: Question) -> Path:
    """Where drafts lie until the run's result is stored."""
    return question.folder / "drafts"
