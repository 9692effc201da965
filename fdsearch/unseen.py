"""The sections of a study about pictures unlike those that were trained on: how they are found, and how well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fdsearch.spelling import Frozen, Label


class NoveltySpec(Frozen):
    """How pictures unlike all known ones are found: at most `false_alarm_rate` of regular parts are sent to a person.

    `method` is ``auto``, chosen by leaving each class of defects out of everything in turn, a name of
    `fdsearch.novelty.methods.METHODS`, or ``binary``, which learns from pictures of drift in the folder
    `examples`.
    """

    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    method: Literal[
        "auto", "softmax", "energy", "mahalanobis", "relative_mahalanobis", "knn", "vim", "pca", "binary"
    ] = "auto"
    examples: Path | None = None

    @model_validator(mode="after")
    def _examples_for_binary(self) -> NoveltySpec:
        if (self.method == "binary") != (self.examples is not None):
            raise ValueError("`method: binary` together with `examples`")
        return self


class DriftSpec(Frozen):
    """Labelled pictures some of which show what training never saw, and the F1 that is `reported` for finding them.

    `novel` are the labels of those. Nothing is trained or chosen by these pictures: they are scored once the candidate
    is registered. The files may be absent, and the report then says so.
    """

    manifest: Path
    label: str
    novel: tuple[Label, ...] = Field(min_length=1)
    images: Path | None = None
    filename: str = "filename"
    group: str | None = None
    reported: float | None = None
