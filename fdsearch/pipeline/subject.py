"""What a version was made from, as its card says it: data, partition, groups, and the weights it started from."""

from __future__ import annotations

from typing import Any

import numpy as np

from fdsearch.config import GroupSpec
from fdsearch.files import digest_file
from fdsearch.metrics import groups_per_class
from fdsearch.models.weights_files import WEIGHTS_FILES
from fdsearch.pipeline.question import Question
from fdsearch.trial import TrialConfig


def subject(question: Question, config: TrialConfig) -> dict[str, Any]:
    """Describe a version's origin for `fdsearch.registry.card.model_card`.

    Returns
    -------
    dict
        ``data`` (``n``, ``classes`` with pictures and parts of each, digests), ``partition`` (name, digest, split,
        pictures and parts of both roles), ``groups`` (see `groups_document`) and ``weights``: of each pretrained file
        its backbone, digest, licence and what it was trained on; empty for random numbers.
    """
    dataset = question.dataset
    pictures = np.bincount(dataset.labels, minlength=len(dataset.classes)).tolist()
    parts = groups_per_class(dataset.labels, dataset.groups, len(dataset.classes)).tolist()
    counts = zip(dataset.classes, pictures, parts, strict=True)
    return {
        "data": {
            "n": len(dataset),
            "classes": {label: {"pictures": n, "parts": n_parts} for label, n, n_parts in counts},
            "digest": dataset.digest,
            "labels": dataset.label_digest,
            "groups": dataset.group_digest,
        },
        "partition": _partition(question),
        "groups": groups_document(question),
        "weights": _weights(config),
    }


def groups_document(question: Question) -> dict[str, Any]:
    """Where the groups come from, and how sure the least certain of inferred ones is."""
    dataset, confidence = question.dataset, question.dataset.group_confidence
    declared = question.spec.data.group != GroupSpec()
    return {
        "source": "inferred" if dataset.groups_inferred else "given" if declared else "none",
        "n": len(dataset.group_names),
        "min_confidence": float(confidence.min()) if dataset.groups_inferred and confidence is not None else None,
    }


def _partition(question: Question) -> dict[str, Any]:
    groups, spec = question.dataset.groups, question.spec
    roles = {"development": question.partition.development.rows, "holdout": question.partition.holdout.rows}
    return {
        "name": spec.partition_name,
        "digest": digest_file(question.workspace.partition(spec.partition_name)),
        "split": spec.split.model_dump(mode="json", exclude={"partition"}, exclude_none=True),
        **{role: {"n": len(rows), "n_groups": len(np.unique(groups[rows]))} for role, rows in roles.items()},
    }


def _weights(config: TrialConfig) -> list[dict[str, Any]]:
    file = WEIGHTS_FILES.get(config.backbone)
    if file is None or config.weights == "random":
        return []
    return [
        {
            "backbone": config.backbone,
            "file": file.name,
            "digest": file.digest,
            "licence": file.licence,
            "trained_on": "ImageNet, whose pictures have terms of their own",
        }
    ]
