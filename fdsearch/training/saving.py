"""Writes a trained model as the file that is sealed, served and exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fdsearch.errors import ResourceError
from fdsearch.models.mirrored import mirrored

if TYPE_CHECKING:
    import keras


def save(model: keras.Model, test_views: int, path: Path) -> None:
    """Write a whole model, from raw uint8 pictures to logits, as ``.keras``; whole or not at all.

    Parameters
    ----------
    model : keras.Model
        As it was trained.
    test_views : {1, 2, 4}
        What the file holds answers with the mean over so many views; see `models.mirrored`.
    path : Path

    Raises
    ------
    ResourceError
        If the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.tmp.keras")
    try:
        mirrored(model, test_views).save(temporary)
        temporary.replace(path)
    except OSError as error:
        raise ResourceError(f"cannot write the model to {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
