"""What a run's folder says of its question: the resolved study, the parts, their roles, and the labels of the rows."""

from __future__ import annotations

import yaml

from fdsearch.data.dataset import Dataset
from fdsearch.data.partition import write_splits
from fdsearch.files import csv_bytes, csv_cell, write_atomic, write_json
from fdsearch.pipeline.question import Question


def write_run_files(question: Question) -> None:
    """Write study.yaml, groups.csv and splits.csv into the run folder, and the labels beside the trials.

    ``trials/labels.json`` holds the classes and the class number of each row. When the data changes it moves aside with
    the trials, because the rows of their ``oof.npz`` are meaningless without it.
    """
    folder, dataset = question.folder, question.dataset
    resolved = {**question.spec.to_json(), "space": question.space.to_json()}
    write_atomic(folder / "study.yaml", yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True).encode())
    sure = [1.0] * len(dataset) if dataset.group_confidence is None else dataset.group_confidence.tolist()
    rows = [
        (csv_cell(name), csv_cell(group), f"{confidence:.3g}")
        for name, group, confidence in zip(dataset.filenames, _names(dataset), sure, strict=True)
    ]
    write_atomic(folder / "groups.csv", csv_bytes(["filename", "group", "confidence"], rows))
    write_splits(folder / "splits.csv", dataset, question.partition)
    labels = {"classes": list(dataset.classes), "labels": dataset.labels.tolist()}
    write_json(folder / "trials" / "labels.json", labels)


def _names(dataset: Dataset) -> list[str]:
    return [dataset.group_names[group] for group in dataset.groups]
