"""Where in a picture the model sees a defect: parts of it are hidden one after the other, and the model is asked again.

Occlusion needs nothing but answers, so it works the same for Keras, ONNX and LiteRT, through the very runtime that
decides. `service` runs what `hidden` yields and shows what `evidence` makes of the answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageFilter

from fdsearch.decide import pass_probability
from fdsearch.serving.contract import Contract

CELLS = 12
"""The map has this many cells in each direction; each hides a window of about twice its width."""

_SMALLEST = 1e-6
"""Probabilities are kept this far from 0 and 1, where their log odds end."""


@dataclass(frozen=True)
class Evidence:
    """What hiding places did to one probability.

    Parameters
    ----------
    of : str
        ``defect``: that the part should not pass; of a contract in which that is the same for all classes, the label.
    probability : float
        With nothing hidden.
    hidden : float
        With the place hidden that lowers it most.
    cells : ndarray of float64, shape (CELLS, CELLS)
        How much hiding each place lowers the log odds of it; negative where hiding raises them. Rows from the top.
    """

    of: str
    probability: float
    hidden: float
    cells: NDArray[np.float64]


def hidden(square: NDArray[np.uint8], n: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the picture with each place hidden, row by row.

    A place is not painted over, which would put edges where none are, but fades into a blurred copy of the picture.

    Parameters
    ----------
    square : ndarray of uint8, shape (size, size, 1)
        What the model is fed.
    n : int
        Pictures at a time; memory is bounded by it.

    Yields
    ------
    ndarray of uint8, shape (at most n, size, size, 1)
        CELLS * CELLS pictures in all.

    References
    ----------
    Zeiler and Fergus (2014), Visualizing and understanding convolutional networks, ECCV (occlusion). Fong and Vedaldi
    (2017), Interpretable explanations of black boxes by meaningful perturbation, ICCV (blur instead of gray).
    """
    size = len(square)
    sharp = square[:, :, 0].astype(np.float32)
    blurred = Image.fromarray(square[:, :, 0]).filter(ImageFilter.GaussianBlur(max(1.0, 1.5 * size / CELLS)))
    change = np.asarray(blurred, np.float32) - sharp
    along = _windows(size)
    places = [(row, column) for row in range(CELLS) for column in range(CELLS)]
    for first in range(0, len(places), n):
        batch = [sharp + change * np.outer(along[row], along[column]) for row, column in places[first : first + n]]
        yield np.rint(np.stack(batch)).astype(np.uint8)[..., np.newaxis]


def evidence(before: ArrayLike, after: ArrayLike, label: int, contract: Contract) -> Evidence:
    """Compare the answers with and without each place.

    Parameters
    ----------
    before : array-like, shape (n_classes,)
        Calibrated probabilities of the picture.
    after : array-like, shape (CELLS * CELLS, n_classes)
        Those of what `hidden` yields, in its order.
    label : int
        The picture's, as a number.
    contract : Contract
        Says which classes let a part pass.
    """
    mask = np.asarray(contract.pass_mask)
    whole, without = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if mask.all() or not mask.any():
        of, probability, lowered = contract.classes[label], whole[label], without[:, label]
    else:
        of, probability, lowered = "defect", pass_probability(whole, ~mask), pass_probability(without, ~mask)
    cells = (_log_odds(probability) - _log_odds(lowered)).reshape(CELLS, CELLS)
    return Evidence(of, float(probability), float(np.min(lowered)), cells)


def _windows(size: int) -> NDArray[np.float32]:
    """Windows along one side, (CELLS, size): 1 over the cell, falling to 0 within one cell's width beside it."""
    step = size / CELLS
    centres = (np.arange(CELLS) + 0.5) * step
    beyond = np.abs(np.arange(size) + 0.5 - centres[:, np.newaxis]) / step - 0.5
    return np.asarray(np.cos(np.pi / 2 * np.clip(beyond, 0, 1)) ** 2, np.float32)


def _log_odds(probability: ArrayLike) -> NDArray[np.float64]:
    inside = np.clip(np.asarray(probability, np.float64), _SMALLEST, 1 - _SMALLEST)
    return np.asarray(np.log(inside / (1 - inside)))
