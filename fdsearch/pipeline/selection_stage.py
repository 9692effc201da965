"""`select`: from a finished search to a registered candidate. The second half of `run`."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fdsearch.config import StudySpec
from fdsearch.files import write_atomic, write_json
from fdsearch.pipeline.budget import Budget
from fdsearch.pipeline.bundle import lineage, refit, write_contract
from fdsearch.pipeline.candidates import (
    Contest,
    baseline_document,
    hold_contest,
    out_of_fold_tables,
    search_optimism,
)
from fdsearch.pipeline.folder import Running, running
from fdsearch.pipeline.holdout import score_holdout
from fdsearch.pipeline.question import Question, open_question, write_run_files
from fdsearch.pipeline.reporting import write_tables
from fdsearch.pipeline.search_stage import SearchOutcome, outcome_of, prepare_study
from fdsearch.pipeline.stored import store_result
from fdsearch.progress import Progress, Silent
from fdsearch.registry import card, gates
from fdsearch.registry.draft import CARD, METRICS, Draft
from fdsearch.registry.store import Registry
from fdsearch.search.history import read_records, table
from fdsearch.selection.scores import headline
from fdsearch.serving.contract import Contract

_ACTOR = "fdsearch run"


def select(
    spec: StudySpec,
    root: Path,
    *,
    promote: bool = False,
    plugins: Sequence[Path] = (),
    n_workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare the best trials of a search, refit and register; arguments, result and errors as in `run`."""
    started = time.monotonic()
    with running(spec, root, fresh=False, n_workers=n_workers, progress=progress or Silent()) as run:
        question = open_question(spec, root, plugins, run.log)
        outcome = outcome_of(question, prepare_study(question, run.log))
        write_run_files(question)
        return select_question(question, outcome, run, Budget(started, spec.budget), promote=promote)


def select_question(
    question: Question, outcome: SearchOutcome, run: Running, budget: Budget, *, promote: bool
) -> dict[str, Any]:
    """Repeats, comparison, final fits, holdout, gates, registration and report of an opened question."""
    spec, dataset = question.spec, question.dataset
    records = read_records(outcome.study, question.folder / "trials", len(dataset), len(dataset.classes))
    contest = hold_contest(question, records, run, budget)
    luck = search_optimism(question, records)
    document: dict[str, Any] = {
        "study": spec.name,
        **outcome.to_json(),
        "cv": {
            **contest.scores[contest.winner].to_json("macro_f1_mean"),
            "n_splits": len(question.partition.folds),
            "n_repeats": contest.validation.n_repeats,
        },
        "baseline": baseline_document(question, contest),
        "optimism": luck["optimism"],
        "search": luck,
    }
    run.log.update(now=True, stage="refit and holdout")
    document |= _register_candidate(question, contest, document, run, promote=promote)
    _register_others(question, contest, run, budget)
    document |= {
        "splits": str(question.folder / "splits.csv"),
        "report": str(question.folder / "report.html"),
        "notes": [*dataset.notes, *question.partition.changes, *contest.validation.notes],
        "seconds": round(time.monotonic() - budget.started, 1),
    }
    tables = out_of_fold_tables(question, contest.candidate)
    write_tables(question.folder, {**document, **tables, "trials": table(outcome.study)})
    store_result(question, document)
    return document


def _register_candidate(
    question: Question, contest: Contest, document: Mapping[str, Any], run: Running, *, promote: bool
) -> dict[str, Any]:
    """Refit, open the holdout, evaluate the gates and register; the candidate's part of the run's document."""
    name = contest.winner
    with tempfile.TemporaryDirectory(prefix="fdsearch-") as temporary:
        folder = Path(temporary) / name
        contract = _prepare(question, contest, name, run, folder)
        sealed, details = score_holdout(question, folder)
        run.log.say(f"holdout opened (time {details['openings']}): macro F1 {sealed.value:.4f}")
        figures = {
            **document,
            "holdout": {**sealed.to_json(), **details},
            "headline": headline(contest.scores[name], document["optimism"] or 0.0, sealed),
        }
        verdict = gates.evaluate(question.spec.registry.gates, figures)
        version, alias = _register(question, contest, name, folder, contract, figures, verdict, promote=promote)
    registry = Registry(question.workspace.registry)
    model = question.spec.model_name
    champion = next(entry["champion"] for entry in registry.models() if entry["name"] == model)
    if alias == "challenger":
        run.log.say(
            f"the champion stays {model}:{champion}; to change it: "
            f"fdsearch registry promote {model}:{version} --by NAME --reason TEXT"
        )
    return {
        "candidate": {
            "name": model,
            "version": version,
            "params": dict(contest.params.get(name, {})),
            "trial": contest.trials.get(name),
            "alias": alias,
            "gates": verdict,
        },
        "champion": None if champion is None else {"name": model, "version": champion},
        "promoted": alias == "champion",
        "holdout": figures["holdout"],
        "headline": figures["headline"],
        "decision": contract.model_dump(mode="json")["decision"],
        "decision_why": contract.decision_why,
    }


def _register_others(question: Question, contest: Contest, run: Running, budget: Budget) -> None:
    """Register the other compared trials too, with their cross-validation record, as far as time allows."""
    for candidate in contest.validation.candidates:
        name = candidate.name
        if name == contest.winner or name not in contest.trials:
            continue
        if budget.left is not None and budget.left < 2 * max(result.seconds for result in candidate.results[0]) + 30:
            run.log.say(f"{name} is not registered: the budget carries no further fit")
            continue
        with tempfile.TemporaryDirectory(prefix="fdsearch-") as temporary:
            folder = Path(temporary) / name
            contract = _prepare(question, contest, name, run, folder)
            figures = {"cv": contest.scores[name].to_json("macro_f1_mean"), "holdout": None, "headline": None}
            _register(question, contest, name, folder, contract, figures, [], promote=None)


def _prepare(question: Question, contest: Contest, name: str, run: Running, folder: Path) -> Contract:
    candidate = contest.validation[name]
    run.log.say(f"final fit of {name} on all development parts")
    refit(question, candidate, run, folder)
    return write_contract(question, candidate, folder)


def _register(
    question: Question,
    contest: Contest,
    name: str,
    folder: Path,
    contract: Contract,
    figures: Mapping[str, Any],
    verdict: list[dict[str, Any]],
    *,
    promote: bool | None,
) -> tuple[int, str | None]:
    """Add a version and move aliases; `promote` None leaves them alone. Return version and alias."""
    model = question.spec.model_name
    origin = lineage(question, contest.validation[name], contest.trials.get(name), dict(contest.params.get(name, {})))
    text = card.render(model, figures, origin, contract.model_dump(mode="json"), verdict)
    write_atomic(folder / CARD, text.encode())
    write_json(folder / METRICS, figures)
    registry = Registry(question.workspace.registry)
    version = registry.register(model, Draft(folder, origin), _ACTOR).version
    shutil.rmtree(folder)
    if promote is None:
        return version, None
    registry.record_evaluated(model, version, verdict)
    if not all(gate["holds"] for gate in verdict):
        return version, None
    champion = next(entry["champion"] for entry in registry.models() if entry["name"] == model)
    if promote or champion is None:
        why = "asked for by --promote" if champion is not None else "the first candidate whose gates hold"
        registry.promote(model, version, by=_ACTOR, reason=why)
        return version, "champion"
    registry.set_challenger(model, version, by=_ACTOR, reason="a later candidate whose gates hold")
    return version, "challenger"
