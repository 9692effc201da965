"""A study on a Ray cluster that loses a node half-way: its trials are lost with the node, and done on the other."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from fdsearch.config import SearchSpec
from fdsearch.execution.ray_executor import RayExecutor
from fdsearch.progress import Silent
from fdsearch.search.loop import SearchLoop
from fdsearch.search.study import FAILURE, RETRY_OF

N_TRIALS = 20
PAUSE = {"type": "float", "low": 0.1, "high": 0.2}


@pytest.mark.slow
def test_a_study_survives_the_loss_of_a_node(bench: Any, two_nodes: Any) -> None:
    task = bench.task(SearchSpec(n_trials=N_TRIALS, sampler="random", pruner="none"), custom_pause=PAUSE)
    (bench.folder / "none.npy").touch()
    study = bench.study()
    killed: list[int] = []

    def on_change(loop: SearchLoop) -> None:
        done = sum(trial.state.name == "COMPLETE" for trial in study.get_trials(deepcopy=False))
        placed = [job_id for job_id in loop.running if loop.executor.place(job_id)]
        if done >= N_TRIALS // 2 and len(placed) == 2 and not killed:
            killed.append(done)
            two_nodes.kill_second()

    with RayExecutor(2, target="search_targets:fit", log=bench.folder / "workers.txt") as executor:
        SearchLoop(study, task, executor, Silent(), on_change=on_change).run()

    assert N_TRIALS // 2 <= killed[0] < N_TRIALS
    done = Counter(trial.params["custom_quality"] for trial in study.trials if trial.state.name == "COMPLETE")
    lost = [trial for trial in study.trials if trial.state.name == "FAIL"]
    assert (len(done), set(done.values())) == (N_TRIALS, {1})
    assert len(study.trials) == N_TRIALS + len(lost)
    assert {trial.user_attrs[FAILURE] for trial in lost} == {"lost"}
    retried = {trial.user_attrs[RETRY_OF] for trial in study.trials if RETRY_OF in trial.user_attrs}
    assert retried == {trial.number for trial in lost}
