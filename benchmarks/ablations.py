"""What each method is worth: every variant of `ablation_table` against its base, over repeated grouped folds.

    FDSEARCH_DATA=... python benchmarks/ablations.py --keep FOLDER      # all variants; hours, and it can be interrupted
    FDSEARCH_DATA=... python benchmarks/ablations.py --keep FOLDER --only 'tail' 'tail: mixup'
    python benchmarks/ablations.py --quick                              # generated pictures, a minute

Fits are kept in ``--keep`` and not repeated; ``--write docs/ablations.md`` writes the table of all that is there. The
parts of the study's holdout take no part, so that what is chosen here is not chosen on them; ``--all-parts`` takes
them too, for figures that are compared with those of others. The last line is one JSON object: per variant the pooled
macro F1 (mean of the repeats), the paired gain over its base with its interval over resampled parts (each holds by
itself; of so many variants one in twenty lies above zero by chance), seconds per fold of training alone, and the
milliseconds that one picture takes the exported model.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ablation_table import REFERENCE, VARIANTS
from peers.sides import BENCHMARKS, generate

from fdsearch.data.folds import Fold, grouped_stratified_folds
from fdsearch.data.partition import repeat_folds
from fdsearch.errors import ResourceError
from fdsearch.execution.events import OnResult
from fdsearch.execution.supervisor import Supervisor
from fdsearch.pipeline.finished_jobs import FinishedJobs
from fdsearch.pipeline.question import Question, open_question
from fdsearch.progress import Silent
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.comparison import paired_gain
from fdsearch.selection.cross_validation import cross_validate
from fdsearch.selection.scores import mean_macro_f1
from fdsearch.study_reader import load_study, parse_study
from fdsearch.training.job import Job, Result
from fdsearch.training.latency import Architecture, known
from fdsearch.training.latency import measure as measure_latency
from fdsearch.trial import TrialConfig

QUICK = ("probe", "probe: average pooling", "tail")


def ask(options: argparse.Namespace, folder: Path) -> Question:
    """The study, opened below a folder."""
    if not options.quick:
        return open_question(load_study(options.study), folder / "root", (), Silent(), remember=False)
    data = generate(folder / "set")
    spec = parse_study({"name": "quick", "data": data, "space": {"image_size": 64}}, "quick", folder)
    return open_question(spec, folder / "root", (), Silent(), remember=False)


def folds_of(question: Question, repeat: int, *, all_parts: bool) -> Sequence[Fold]:
    """The folds of a repeat, of the development parts or of all."""
    if not all_parts:
        return repeat_folds(question.partition, repeat)
    dataset, split = question.dataset, question.spec.split
    return grouped_stratified_folds(dataset.labels, dataset.groups, split.n_splits, split.random_state + repeat)


class Trained:
    """Fits variants repeat by repeat, those that are on disk already apart."""

    def __init__(self, question: Question, supervisor: Supervisor, folder: Path) -> None:
        self._question, self._supervisor = question, supervisor
        self._finished = FinishedJobs(folder / "fits")

    def run_all(
        self, jobs: Sequence[Job], *, on_result: OnResult, deadline: float | None, attempts: int
    ) -> Mapping[str, Result]:
        known, by_id = self._finished.known(jobs), {job.id: job for job in jobs}

        def keep(result: Result) -> None:
            self._finished.keep(by_id[result.id], result)
            on_result(result)

        missing = [job for job in jobs if job.id not in known]
        return {**known, **self._supervisor.run_all(missing, on_result=keep, deadline=deadline, attempts=attempts)}

    def variant(self, name: str, config: TrialConfig, repeats: Sequence[Sequence[Fold]]) -> Candidate:
        """One variant on all repeats."""
        pixels = self._question.dataset.decode([(config.image_size, config.resize)])
        maker = replace(self._question.maker, pixels=pixels)
        found = cross_validate([(name, config)], repeats, maker, self.run_all)
        return found[name]


def row(question: Question, one: Candidate, base: Candidate, reference: Candidate) -> dict[str, Any]:
    """What is said about a variant."""
    dataset = question.dataset
    rows = [index for index in range(len(dataset)) if one.predictions[0, index] >= 0]
    labels, groups = dataset.labels[rows], dataset.groups[rows]

    def over(other: Candidate) -> dict[str, Any]:
        both = (candidate.predictions[:, rows] for candidate in (one, other))
        found = paired_gain(labels, *both, groups, dataset.classes)
        return {key: found[key] for key in ("gain", "ci", "se")}

    fits = [result.seconds for repeat in one.results for result in repeat]
    architecture = Architecture(one.config, len(dataset.classes))
    folder = question.workspace.latencies
    if known(folder, architecture) is None:
        measure_latency(folder, architecture)
    latency = known(folder, architecture)
    return {
        "macro_f1": mean_macro_f1(labels, one.predictions[:, rows], len(dataset.classes)),
        "over_base": None if one is base else over(base),
        "over_reference": None if one is reference else over(reference),
        "seconds_per_fold": sorted(fits)[len(fits) // 2],
        "latency_ms": None if latency is None else latency.latency_ms,
    }


def page(found: Mapping[str, Any], command: str) -> str:
    """The table as a page of the documentation."""
    lines = [
        "# What each method is worth",
        "",
        f"Study `{found['study']}`, {found['n_parts']} parts ({found['n']} pictures), {found['repeats']} repeats of "
        f"{found['n_splits']} grouped folds: pooled macro F1, mean of the repeats. A gain is that over the base the",
        "row starts with (for bases: over the probe), with its 95 % interval over resampled parts; the same folds and",
        "seeds on both sides. Each interval holds by itself: one row in twenty would lie above zero by chance.",
        "Seconds are those of one fold's training, latency is one picture through the exported model on one core.",
        "Written by:",
        "",
        f"    {command}",
        "",
        "| method | parameters | macro F1 | gain | 95 % interval | s per fold | ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in found["variants"].items():
        change = {**VARIANTS[name].change} or VARIANTS[name].params
        words = ", ".join(f"`{key}: {value}`" for key, value in change.items())
        if "failed" in row:
            lines.append(f"| {name} | {words} | failed: {row['failed']} | | | | |")
            continue
        gain = row["over_base"] or row["over_reference"]
        told = ["", ""] if gain is None else [f"{gain['gain']:+.3f}", _interval(gain["ci"])]
        latency = "" if row["latency_ms"] is None else f"{row['latency_ms']:.1f}"
        cells = [name, words, f"{row['macro_f1']:.3f}", *told, f"{row['seconds_per_fold']:.1f}", latency]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _interval(ci: Sequence[float] | None) -> str:
    if ci is None:
        return "none"
    words = f"{ci[0]:+.3f} to {ci[1]:+.3f}"
    return f"**{words}**" if ci[0] > 0 or ci[1] < 0 else words


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    question = ask(options, folder)
    chosen = list(QUICK) if options.quick else (options.only or list(VARIANTS))
    needed = list(dict.fromkeys([REFERENCE, *(VARIANTS[name].base for name in chosen), *chosen]))
    repeats = [folds_of(question, repeat, all_parts=options.all_parts) for repeat in range(1, options.repeats + 1)]
    small = {"image_size": 64} if options.quick else {}
    trained: dict[str, Candidate] = {}
    rows: dict[str, Any] = {}
    with Supervisor(log=Path(os.devnull)) as supervisor:
        fits = Trained(question, supervisor, folder)
        for name in needed:
            config = TrialConfig.from_params({**VARIANTS[name].params, **small})
            try:
                trained[name] = fits.variant(name, config, repeats)
            except ResourceError as error:
                rows[name] = {"failed": "; ".join(str(fault) for fault in error.faults) or str(error)}
                continue
            rows[name] = row(question, trained[name], trained[VARIANTS[name].base], trained[REFERENCE])
            print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
    members = np.concatenate([repeats[0][0].train, repeats[0][0].validation])
    return {
        "study": question.spec.name,
        "repeats": options.repeats,
        "n_splits": len(repeats[0]),
        "n": len(members),
        "n_parts": len(np.unique(question.dataset.groups[members])),
        "variants": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=BENCHMARKS.parent / "studies" / "magnetic_tile.yaml")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--all-parts", action="store_true", help="the holdout's parts too")
    parser.add_argument("--keep", type=Path, help="folder of pictures, features and fits; default a temporary one")
    parser.add_argument("--write", type=Path, help="page of the documentation to write")
    parser.add_argument("--quick", action="store_true", help="three variants on generated pictures of 64 pixels")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(options, folder)
    if options.write:
        chosen = ["--all-parts"] * options.all_parts + ["--repeats", str(options.repeats)]
        chosen += ["--only", *map(shlex.quote, options.only)] if options.only else []
        command = f"python benchmarks/ablations.py {' '.join(chosen)} --write {options.write}"
        options.write.write_text(page(found, command))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
