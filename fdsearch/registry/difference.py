"""What two versions differ in: parameters, data, scores, files, and the pictures about which they decide otherwise.

Everything is read from the sealed files; no model is run. `flips` compares decisions; `fdsearch.pipeline.promotion`
bounds the difference of the scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fdsearch.registry.draft import CARD_JSON, CONTRACT, METRICS
from fdsearch.registry.flips import OUT_OF_FOLD, flips
from fdsearch.registry.sealed import HOLDOUT
from fdsearch.registry.version import ModelVersion

_SCORES = (
    ("headline", "value", "ci"),
    ("cv", "macro_f1_mean", "macro_f1_ci"),
    ("holdout", "macro_f1", "macro_f1_ci"),
    ("baseline", "macro_f1_mean", "macro_f1_ci"),
)
_PARAMETERS = ("params", "config", "refit")
_POLICY = ("input", "classes", "pass_classes", "calibration", "decision", "decision_why")

Row = dict[str, Any]
"""``name`` of what differs, and its value in ``a`` and in ``b``; None where a version lacks it."""


def difference(a: ModelVersion, b: ModelVersion) -> dict[str, Any]:
    """Compare two versions.

    Parameters
    ----------
    a, b : ModelVersion
        Of one model or of two.

    Returns
    -------
    dict
        ``a`` and ``b`` (``reference, created, path, aliases``); rows (``name, a, b``) of what differs: ``parameters``,
        ``data`` (its digests, partition, and the counts that both cards give), ``origin`` (the rest of the lineage,
        packages, code), ``policy`` (input, calibration, decision) and ``files`` (their digests); ``scores``: rows
        (``name``, and in ``a`` and ``b`` ``value, ci, level, why``) of all, differing or not; ``decisions``: what
        `flips` returns for the sealed pictures (``holdout``) and the development pictures (``out_of_fold``).

    Raises
    ------
    IntegrityError
        If a file of either is not as it was registered.
    """
    left, right = a.manifest, b.manifest
    policies = [_only(_mapping(version.read_json(CONTRACT)), _POLICY) for version in (a, b)]
    metrics = [_mapping(version.read_json(METRICS)) for version in (a, b)]
    beside = {*_PARAMETERS, "data", "partition"}
    origins = [{key: value for key, value in each.lineage.items() if key not in beside} for each in (left, right)]
    made = [{"code": each.code, "packages": each.packages} for each in (left, right)]
    return {
        "a": _document(a),
        "b": _document(b),
        "parameters": _rows(_only(left.lineage, _PARAMETERS), _only(right.lineage, _PARAMETERS)),
        "data": _rows(_data(a), _data(b)),
        "origin": _rows({**origins[0], **made[0]}, {**origins[1], **made[1]}),
        "policy": _rows(*policies),
        "scores": [
            {"name": name, "a": _score(metrics[0], name, *keys), "b": _score(metrics[1], name, *keys)}
            for name, *keys in _SCORES
        ],
        "files": _rows(*({name: seal.sha256 for name, seal in each.files.items()} for each in (left, right))),
        "decisions": {"holdout": flips(a, b, HOLDOUT), "out_of_fold": flips(a, b, OUT_OF_FOLD)},
    }


def _document(version: ModelVersion) -> dict[str, Any]:
    return {
        "reference": version.reference,
        "created": version.manifest.created,
        "path": str(version.path),
        "aliases": list(version.aliases),
    }


def _data(version: ModelVersion) -> dict[str, Any]:
    """What the version was trained on: digests from the lineage, counts from its card, where it has one."""
    found = _only(version.manifest.lineage, ("data", "partition"))
    card = _mapping(version.read_json(CARD_JSON)) if CARD_JSON in version.manifest.files else {}
    return {**found, "card": _only(card, ("data", "partition", "groups"))}


def _score(metrics: Mapping[str, Any], name: str, value: str, interval: str) -> dict[str, Any]:
    score = _mapping(metrics.get(name))
    why = score.get("why") or (None if score else "it was not computed")
    return {"value": score.get(value), "ci": score.get(interval), "level": score.get("level"), "why": why or None}


def _rows(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Row]:
    """The leaves that differ, by their dotted names, in the order of `a` and then of `b`."""
    left, right = _flat(a), _flat(b)
    return [
        {"name": name, "a": left.get(name), "b": right.get(name)}
        for name in dict.fromkeys([*left, *right])
        if (name in left) != (name in right) or left[name] != right[name]
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _only(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: values[key] for key in keys if values.get(key) is not None}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
