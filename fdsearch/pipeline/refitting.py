"""`refit`: the recipe of a registered version on today's data, without a search.

The rest is as in a run: repeats on new folds, calibration and decision, final fit, one opening of the holdout, gates,
registration as challenger. The recipe was chosen on earlier data, so what that choice flatters it by is taken off
today's score as well.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fdsearch.config import StudySpec
from fdsearch.errors import Fault, ResourceError
from fdsearch.files import digest_json
from fdsearch.pipeline.auditing import known_audit
from fdsearch.pipeline.budget import Budget
from fdsearch.pipeline.bundle import decision_document
from fdsearch.pipeline.candidates import BASELINE, Contest, folds_of_repeats, repeated, score_of
from fdsearch.pipeline.choosing import Chosen, comparison_rows
from fdsearch.pipeline.folder import Running, running
from fdsearch.pipeline.inherited import inherited_luck
from fdsearch.pipeline.means import Means
from fdsearch.pipeline.notification import notifying
from fdsearch.pipeline.origin import Origin
from fdsearch.pipeline.question import Question, baseline_config, open_question
from fdsearch.pipeline.registration import champion
from fdsearch.pipeline.run_files import write_run_files
from fdsearch.pipeline.selection_stage import conclude, contest_document, register_candidate, tidy
from fdsearch.pipeline.stored import stored_result
from fdsearch.pipeline.studies import resolve_study
from fdsearch.progress import Progress, Silent
from fdsearch.registry.draft import CONTRACT, METRICS
from fdsearch.serving.contract import Contract

RECIPE = "recipe"
"""Name of the one configuration that is trained, unless it is the baseline."""

BUDGET_SHARE = 0.25
"""Of the study's budget: what nothing is searched for must be cheap enough to be done each week."""

_NO_SEARCH: dict[str, Any] = {
    "n_trials": 0,
    "n_complete": 0,
    "n_pruned": 0,
    "n_failed": 0,
    "best_value": None,
    "pareto": [],
    "space_why": [],
    "write_up": [],
}


def refit(
    reference: str,
    root: Path,
    *,
    plugins: Sequence[Path] = (),
    means: Means | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a version's recipe on today's data and register the result as challenger. Continues where it stopped.

    Parameters
    ----------
    reference : str
        ``NAME`` (its champion), ``NAME@champion``, ``NAME@challenger``, ``NAME:VERSION``, or a version's folder. Its
        study is read from the run under the root, else it is a shipped one.
    root : Path
    plugins : sequence of Path
        Those that the version was made with.
    means : Means, optional
        Workers; a database is not used.
    progress : Progress, optional

    Returns
    -------
    dict
        As `run`, without figures of a search; ``refitted_from`` is the reference of the version. Nothing is trained
        where the data is the version's own, or has been refitted before.

    Raises
    ------
    FdsearchError
        See the exit codes of each kind.
    """
    started = time.monotonic()
    origin = Origin.of(reference, root)
    spec = study_of(origin, root)
    origin.check_plugins(plugins)
    budget = Budget(started, None if spec.budget is None else BUDGET_SHARE * spec.budget)
    with (
        notifying(spec) as notification,
        running(spec, root, fresh=False, means=means or Means(), progress=progress or Silent()) as run,
    ):
        notification.begin(run.log.note)
        run.log.update(now=True, stage="refit", running=[], task=None)
        question = replace(open_question(spec, root, plugins, run.log, only=origin.config), refits=origin)
        stored = stored_result(question)
        if stored is not None:
            run.log.say(f"{origin.version.reference} was refitted on this data: the stored result follows")
            return stored
        if (known := _scored_on(question, origin)) is not None:
            run.log.say(f"the data is what {origin.version.reference} was made from: nothing is trained")
            return {**known, "seconds": round(time.monotonic() - started, 1)}
        return notification.of(_refit_question(question, origin, run, budget))


def study_of(origin: Origin, root: Path) -> StudySpec:
    """The study of a version as it stands today, its result under the version's name.

    Raises
    ------
    ConfigError
        If the study is neither under the root nor a shipped one, or has faults.
    """
    spec = resolve_study(origin.study, root)
    return spec.model_copy(update={"registry": spec.registry.model_copy(update={"model": origin.version.name})})


def _scored_on(question: Question, origin: Origin) -> dict[str, Any] | None:
    """What is known of the version itself, where it was scored on this very data: a second look would tell nothing."""
    figures, version = origin.version.read_json(METRICS), origin.version
    if not figures.get("holdout") or origin.changed_data(question.dataset):
        return None
    write_run_files(question)
    contract = Contract.parse(version.read(CONTRACT), str(version.path / CONTRACT))
    current = champion(question)
    return {
        **figures,
        "write_up": [],
        **decision_document(contract),
        "refitted_from": version.reference,
        "candidate": {
            "name": version.name,
            "version": version.version,
            "params": origin.params,
            "trial": origin.lineage.get("trial"),
            "alias": next(iter(version.aliases), None),
            "gates": list(version.gates),
        },
        "champion": None if current is None else {"name": version.name, "version": current},
        "promoted": False,
        "left_out": [],
        "splits": str(question.folder / "splits.csv"),
        "report": None,
        "why": "the data has not changed: nothing was trained",
        "notes": ["the data has not changed: nothing was trained"],
    }


def _refit_question(question: Question, origin: Origin, run: Running, budget: Budget) -> dict[str, Any]:
    """Everything after the data was read."""
    notes = origin.differences(digest_json(dict(question.definition)))
    for note in notes:
        run.log.say(note)
    write_run_files(question)
    contest = _contest(question, origin, run, budget)
    audit = known_audit(question) if question.spec.audit else None
    document = {
        "study": question.spec.name,
        "refitted_from": origin.version.reference,
        **_NO_SEARCH,
        **contest_document(question, contest, inherited_luck(origin.version, contest.scores[contest.winner]), audit),
        "random_folds": None,
    }
    document |= register_candidate(question, contest, document, run, promote=False)
    document = conclude(question, contest, {**document, "left_out": []}, budget, notes=notes)
    tidy(question)
    return document


def _contest(question: Question, origin: Origin, run: Running, budget: Budget) -> Contest:
    """The recipe and the baseline on the study's repeats; nothing is chosen.

    Raises
    ------
    ResourceError
        If the recipe cannot be trained.
    """
    baseline = baseline_config(question.space)
    name = BASELINE if baseline == origin.config else RECIPE
    entries = {**({} if baseline is None else {BASELINE: baseline}), name: origin.config}
    validation = repeated(question, entries, run, budget.repeats_deadline(0.0))
    if name in validation.failures:
        fault = Fault(origin.version.reference, validation.failures[name], "a finished fit", "see the run's log")
        raise ResourceError("the recipe cannot be trained here", [fault])
    why = f"the recipe of {origin.version.reference}; nothing was chosen"
    chosen = Chosen(winner=name, best=name, tied=(), given_up=0.0, why=why, eligible=(name,), latencies={})
    rows = comparison_rows(question, validation, chosen, {}, folds_of_repeats(question, validation.n_repeats))
    scores = {candidate.name: score_of(question, candidate) for candidate in validation.candidates}
    return Contest(validation, scores, chosen, tuple(rows), {}, {name: origin.params})
