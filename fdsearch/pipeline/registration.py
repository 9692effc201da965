"""From a candidate to a version with an alias, in steps that survive a kill.

The candidate's draft is shown the holdout (`holdout`), where the mean of its folds' models may take the place of the
final fit (`agreement`). A draft lies in the run folder until the run's result is stored. Its ``metrics.json`` is
written last: a draft that has it is whole, its holdout (if any) was opened and scored, and it is registered as it is
instead of being made again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdsearch.errors import ConflictError
from fdsearch.files import digest_file, digest_json, write_atomic, write_json
from fdsearch.pipeline.agreement import drop_models, latency_gate, settle
from fdsearch.pipeline.bundle import lineage, refit, write_contract
from fdsearch.pipeline.candidates import Contest
from fdsearch.pipeline.exporting import Begun, begin_exports, take_exports
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.holdout import Opened, open_holdout, score_holdout
from fdsearch.pipeline.novelty import learn
from fdsearch.pipeline.promotion import judge_promotion
from fdsearch.pipeline.question import Question
from fdsearch.pipeline.rivals import against_champion
from fdsearch.pipeline.subject import subject
from fdsearch.registry import gates
from fdsearch.registry.card import model_card
from fdsearch.registry.card_page import render
from fdsearch.registry.draft import CARD, CARD_JSON, CONTRACT, METRICS, MODEL, Draft
from fdsearch.registry.store import Registry
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.scores import SEEN_BY_NOBODY, Score, headline
from fdsearch.serving.contract import Contract
from fdsearch.serving.exports import EXPORTS, Exports


@dataclass(frozen=True)
class Prepared:
    """A whole draft.

    Parameters
    ----------
    folder : Path
    figures : mapping
        What ``metrics.json`` holds; ``holdout``, ``headline`` and ``agreement`` are None for all but the candidate.
    contract : Contract
    lineage : mapping
        With ``shipped`` (``refit`` or ``ensemble``) for the candidate.
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
        known = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        return _finished(question, candidate, folder, known, origin, run, sealed=sealed)
    shutil.rmtree(folder, ignore_errors=True)
    if sealed:
        drop_models(each for each in contest.validation.candidates if each.name != name)
    run.log.say(f"final fit of {name} on all development parts")
    run.exporter.prepare()
    refit(question, candidate, run, folder)
    write_contract(question, candidate, folder, learn(question, candidate, folder, run))
    begun = begin_exports(question, candidate.config, folder, run)
    found: dict[str, Any] = {**figures, "holdout": None, "headline": None, "agreement": None}
    if sealed:
        found |= _unseal(question, contest, name, figures, folder, run)
    return _finished(question, candidate, folder, found, origin, run, begun, sealed=sealed)


def _finished(
    question: Question,
    candidate: Candidate,
    folder: Path,
    figures: Mapping[str, Any],
    origin: Mapping[str, Any],
    run: Running,
    begun: Begun | None = None,
    *,
    sealed: bool,
) -> Prepared:
    """Complete a draft; its contract is written anew, since the decision may have changed since an ended run."""
    contract = write_contract(question, candidate, folder, learn(question, candidate, folder, run))
    take_exports(question, candidate.config, folder, run, begun)
    verdict = judge(question, figures, folder) if sealed else []
    whole = _completed(question, origin, figures)
    about, plain = subject(question, candidate.config), contract.model_dump(mode="json")
    document = model_card(question.spec.model_name, figures, whole, plain, verdict, about, read_exports(folder))
    write_json(folder / CARD_JSON, document)
    write_atomic(folder / CARD, render(document).encode())
    write_json(folder / METRICS, figures)
    return Prepared(folder, figures, contract, whole)


def _unseal(
    question: Question, contest: Contest, name: str, figures: Mapping[str, Any], folder: Path, run: Running
) -> dict[str, Any]:
    """Open the holdout for a draft: settle which model ships, score that one, say what is to be believed, compare."""
    opened = open_holdout(question, folder.name)
    agreement = settle(question, contest.validation[name], folder, run)
    run.log.say(agreement["why"])
    score, details = score_holdout(question, folder, opened)
    run.log.say(f"holdout opened (time {opened.openings}): macro F1 {score.value:.4f}; {opened.words}")
    return {
        "holdout": {**score.to_json(), **details},
        "headline": believable(question, contest, name, figures["search"], score, opened),
        "agreement": agreement,
        "comparison": against_champion(question, folder, champion(question)),
    }


def believable(
    question: Question, contest: Contest, name: str, luck: Mapping[str, Any], sealed: Score, opened: Opened
) -> dict[str, Any]:
    """The headline; where the out-of-fold score cannot be corrected or was stopped early on, the holdout's.

    Parameters
    ----------
    luck : mapping
        What is known of the search's optimism, ``search`` in the run's document.
    sealed : Score
        On the holdout.
    opened : Opened
        Whether others have seen it.
    """
    flattered = question.single_split and contest.validation[name].config.early_stopping.monitor != "none"
    words = SEEN_BY_NOBODY if opened.independent else opened.words
    chosen = headline(contest.scores[name], luck, sealed, words)
    if chosen["source"] == "holdout" or not (flattered or luck.get("corrected") is None):
        return chosen
    reason = "its epochs were chosen on the validation part" if flattered else "the search's optimism is unknown"
    beside = {**chosen["beside"], "beside": {key: value for key, value in chosen.items() if key != "beside"}}
    return {**beside, "note": f"the out-of-fold score is not the headline: {reason}"}


def judge(question: Question, figures: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """What a candidate alone must hold: the study's gates, and the latency of an ensemble that ships.

    Parameters
    ----------
    figures : mapping
        What ``metrics.json`` holds.
    folder : Path
        The draft, with its contract and, where there are any, exports.
    """
    contract = json.loads((folder / CONTRACT).read_text(encoding="utf-8"))
    rows = gates.evaluate(question.spec.registry.gates, figures, contract, read_exports(folder))
    return rows + latency_gate(question, figures.get("agreement"))


def read_exports(folder: Path) -> dict[str, dict[str, Any]] | None:
    """What a draft's ``exports.json`` says of each format, or None where it has none."""
    path = folder / EXPORTS
    if not path.is_file():
        return None
    exports = Exports.parse(path.read_bytes(), str(path)).exports
    return {name: export.model_dump() for name, export in exports.items()}


def _completed(question: Question, origin: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, Any]:
    """The lineage with what a promotion asks for, and what the model is: the final fit, or the mean of the folds'.

    Neither is part of the origin, by which a candidate is known that has seen the holdout.
    """
    agreement = figures.get("agreement")
    shipped = {"shipped": agreement["shipped"]} if agreement else {}
    return {**origin, "gates": question.spec.registry.gates.model_dump(exclude_none=True), **shipped}


def register(question: Question, prepared: Prepared) -> int:
    """Add a draft to the registry, once; return its version. The same weights under another contract are another."""
    registry, model = Registry(question.workspace.registry), question.spec.model_name
    sealed = {name: digest_file(prepared.folder / name) for name in (MODEL, CONTRACT)}
    for entry in registry.models():
        for number in entry["versions"] if entry["name"] == model else []:
            files = registry.version(model, number).manifest.files
            if all(files[name].sha256 == digest for name, digest in sealed.items()):
                return int(number)
    return registry.register(model, Draft(prepared.folder, prepared.lineage), _actor(question)).version


def appoint(question: Question, version: int, verdict: list[dict[str, Any]], *, promote: bool) -> str | None:
    """Log the gates and give a candidate its alias.

    Parameters
    ----------
    verdict : list of dict
        From `judge`: what it alone must hold. How it compares with the champion is judged and logged beside it.
    promote : bool
        Let it take the champion's place where that gate holds too.

    Returns
    -------
    str or None
        ``champion``, ``challenger``, or None where a gate of `verdict` does not hold.
    """
    registry, model = Registry(question.workspace.registry), question.spec.model_name
    state, names = registry.state(model), {row["name"] for row in verdict}
    rows = [*verdict, *(row for row in judge_promotion(registry, model, version) if row["name"] not in names)]
    registry.record_evaluated(model, version, rows)
    if not all(row["holds"] for row in verdict):
        return None
    if state.champion == version:
        return "champion"
    if (promote or state.champion is None) and all(row["holds"] for row in rows):
        why = "the first candidate whose gates hold" if state.champion is None else "asked for by --promote"
        # Somebody who promoted meanwhile has decided; this one is then a challenger of another champion.
        with contextlib.suppress(ConflictError):
            registry.promote(
                model, version, by=_actor(question), reason=why, expected_generation=state.generation, gates=rows
            )
            return "champion"
    registry.set_challenger(model, version, by=_actor(question), reason="a later candidate whose gates hold")
    return "challenger"


def _actor(question: Question) -> str:
    """The command that registers, as the registry's log names it."""
    return "fdsearch run" if question.refits is None else "fdsearch refit"


def champion(question: Question) -> int | None:
    """Version of the model's champion."""
    models = Registry(question.workspace.registry).models()
    return next((entry["champion"] for entry in models if entry["name"] == question.spec.model_name), None)


def drafts(question: Question) -> Path:
    """Where drafts lie until the run's result is stored."""
    return question.folder / "drafts"
