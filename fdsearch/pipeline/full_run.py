"""`run`: the whole job, from pictures to a registered candidate; continues where it stopped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fdsearch.config import StudySpec
from fdsearch.pipeline.auditing import audit_question
from fdsearch.pipeline.budget import Budget
from fdsearch.pipeline.folder import running
from fdsearch.pipeline.means import Means
from fdsearch.pipeline.notification import notifying
from fdsearch.pipeline.question import open_question
from fdsearch.pipeline.search_stage import check_search, search_question
from fdsearch.pipeline.selection_stage import select_question
from fdsearch.pipeline.stored import stored_result
from fdsearch.progress import Progress, Silent


def run(
    spec: StudySpec,
    root: Path,
    *,
    fresh: bool = False,
    promote: bool = False,
    plugins: Sequence[Path] = (),
    means: Means | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Search, compare on new folds, refit, open the holdout once, evaluate the gates, register and report.

    Parameters
    ----------
    spec : StudySpec
    root : Path
        The root folder; made if absent.
    fresh : bool
        Move an earlier run of this name aside.
    promote : bool
        Let a candidate whose gates hold become champion even where there is one.
    plugins : sequence of Path
        Python files with own builders and losses; their code is run.
    means : Means, optional
        Workers and database; default one worker and a SQLite file.
    progress : Progress, optional

    Returns
    -------
    dict
        What ``fdsearch run --json`` prints. On a finished study: the stored document; nothing is trained, the holdout
        stays closed and nothing is registered.

    Raises
    ------
    FdsearchError
        See the exit codes of each kind.
    """
    started, means = time.monotonic(), means or Means()
    spec = spec.renewed() if fresh else spec
    with (
        notifying(spec) as notification,
        running(spec, root, fresh=fresh, means=means, progress=progress or Silent()) as run,
    ):
        notification.begin(run.log.note)
        question = open_question(spec, root, plugins, run.log, machine=means.machine)
        budget = Budget(started, question.spec.budget)
        stored = stored_result(question)
        if stored is not None:
            run.log.say("this study is finished: its stored result follows (raise n_trials, or use --fresh)")
            return stored
        audit = None
        if spec.audit:
            check_search(question, run)  # what would be refused after the audit is refused before it
            run.log.update(now=True, stage="audit", task=None)
            audit = audit_question(question, run.executor, run.log, run.interruption.requested)
            run.interruption.check()
        run.log.update(now=True, stage="search", task=None)
        outcome = search_question(question, run, budget.search_deadline)
        return notification.of(select_question(question, outcome, run, budget, promote=promote, audit=audit))
