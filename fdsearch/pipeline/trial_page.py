"""The note and the pictures of a trial for the dashboard, from what the run folder holds.

Labels, recipe names and messages are anybody's text: in a note each of their characters that could mean something is
written as a character reference, and no picture holds them.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fdsearch.metrics import confusion
from fdsearch.report.figures import confusion_svg, learning_curves_svg
from fdsearch.report.words import score, seconds
from fdsearch.search import study as names
from fdsearch.search.dashboard import PICTURES
from fdsearch.search.trial_files import read_oof

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_PATH = re.compile(r"([0-9a-f]{1,64})/([0-9]{1,9})/(curves|confusion)\.svg")
_LINKED_BY_ITSELF = re.compile(r"(?=@|://)|(?<=www)(?=\.)", re.IGNORECASE)
_WORD_JOINER = "\u2060"


class TrialPages:
    """Notes and pictures of the trials of one run.

    Parameters
    ----------
    folder : Path
        The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drawing = threading.Lock()  # matplotlib's settings are global

    def note(self, study: str, trial: FrozenTrial) -> str:
        """The note of a finished trial in Markdown; `study` is the name of its Optuna study, ``NAME@DIGEST``."""
        digest, number = study.rpartition("@")[2], int(trial.user_attrs.get(names.COPY_OF, trial.number))
        trials = self._trials(digest)
        parts = [_summary(trial)]
        if _curves(trials / f"{number:04d}"):
            parts.append(f"![learning curves of each fold]({PICTURES}{digest}/{number}/curves.svg)")
        table = self._confusion(trials, number)
        if table is not None:
            classes, counts = table
            parts.append(f"![confusion matrix]({PICTURES}{digest}/{number}/confusion.svg)")
            parts.append(_class_table(classes, counts))
        return "\n\n".join(parts)

    def picture(self, path: str) -> bytes | None:
        """Draw ``DIGEST/NUMBER/curves.svg`` or ``DIGEST/NUMBER/confusion.svg``; None where there is no such picture."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        digest, number, kind = match[1], int(match[2]), match[3]
        trials = self._trials(digest)
        if kind == "curves":
            curves = _curves(trials / f"{number:04d}")
            with self._drawing:
                return learning_curves_svg(curves)
        table = self._confusion(trials, number)
        if table is None:
            return None
        with self._drawing:
            return confusion_svg(table[1])

    def _trials(self, digest: str) -> Path:
        """The trials of one state of the data; those of the present one lie in ``trials``."""
        earlier = self._folder / f"trials@{digest}"
        return earlier if earlier.is_dir() else self._folder / "trials"

    def _confusion(self, trials: Path, number: int) -> tuple[list[str], list[list[int]]] | None:
        """Classes and counts of a trial's out-of-fold predictions, of the folds that have finished."""
        try:
            stored = json.loads((trials / "labels.json").read_text(encoding="utf-8"))
            classes, labels = list(map(str, stored["classes"])), np.asarray(stored["labels"], dtype=np.int64)
        except (OSError, ValueError, KeyError, TypeError):  # no labels were kept, or the file is torn
            return None
        logits = read_oof(trials / f"{number:04d}", len(labels), len(classes))
        if logits is None:
            return None
        rows = ~np.isnan(logits).any(axis=1)
        if not rows.any():
            return None
        counts: list[list[int]] = confusion(labels[rows], logits[rows].argmax(axis=1), len(classes)).tolist()
        return classes, counts


def literal(text: str) -> str:
    """Text that Markdown and HTML leave as it is.

    Examples
    --------
    >>> literal("<b>*a|b*")
    '&#60;b&#62;&#42;a&#124;b&#42;'
    """
    plain = "".join(char if char.isprintable() else " " for char in text)
    # Addresses become links after references are decoded; an invisible character keeps them apart.
    plain = _LINKED_BY_ITSELF.sub(_WORD_JOINER, plain)
    return "".join(char if char.isalnum() or char in (" ", _WORD_JOINER) else f"&#{ord(char)};" for char in plain)


def _summary(trial: FrozenTrial) -> str:
    facts, attributes = [f"**{trial.state.name.lower()}**"], trial.user_attrs
    # Optuna stores the last intermediate value of a pruned trial as its value; that is no score.
    if trial.state.name == "COMPLETE" and trial.value is not None:
        facts.append(f"macro F1 {score(trial.value)} out of fold")
    if names.COPY_OF in attributes:
        facts.append(f"same parameters as trial {int(attributes[names.COPY_OF])}")
    if names.LESSON_OF in attributes:
        facts.append(f"no trial: tells the sampler that trial {int(attributes[names.LESSON_OF])} cannot be trained")
    if names.RECIPE in attributes:
        facts.append(f"first point {literal(str(attributes[names.RECIPE]))}")
    if names.SECONDS in attributes:
        facts.append(f"took {seconds(float(attributes[names.SECONDS]))}")
    if names.FAILURE in attributes:
        facts.append(f"{literal(str(attributes[names.FAILURE]))}: {literal(str(attributes.get(names.MESSAGE, '')))}")
    return ", ".join(facts)


def _class_table(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    lines = ["| | class | pictures | precision | recall | F1 |", "|---|---|---|---|---|---|"]
    for index, name in enumerate(classes):
        hits, support, claims = counts[index][index], sum(counts[index]), sum(row[index] for row in counts)
        figures = [hits / n if n else None for n in (claims, support)] + [
            2 * hits / (support + claims) if support else None
        ]
        lines.append(f"| {index + 1} | {literal(name)} | {support} | {' | '.join(map(score, figures))} |")
    return "\n".join(lines)


def _curves(folder: Path) -> dict[str, list[Mapping[str, Any]]]:
    """The epochs of each fold; an epoch that a retry wrote again counts once, a torn line not at all."""
    try:
        lines = (folder / "curve.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    epochs: dict[str, dict[int, Mapping[str, Any]]] = {}
    for line in lines:
        try:
            row = json.loads(line)
            epochs.setdefault(str(row["fold"]), {})[int(row["epoch"])] = row
        except (ValueError, KeyError, TypeError):
            continue
    return {fold: [rows[epoch] for epoch in sorted(rows)] for fold, rows in epochs.items()}
