"""Pictures made ready for comparison, all of them in a few arrays, which processes can share without copying.

`agreement` lays them over one another; `comparison` makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.parts.candidates import Ints
from fdsearch.data.parts.flatten import Flat, Floats32, flatten
from fdsearch.data.parts.keypoints import Keypoints, keypoints
from fdsearch.imaging import Gray


@dataclass(frozen=True, eq=False)
class View:
    """One picture as it is compared.

    Parameters
    ----------
    flat : ndarray of int8, shape (h, w)
    keypoints : Keypoints
    """

    flat: Flat
    keypoints: Keypoints


def view_of(picture: Gray) -> View:
    """A picture made ready for comparison."""
    flat = flatten(picture)
    return View(flat, keypoints(flat))


@dataclass(frozen=True, eq=False)
class Views(Sequence[View]):
    """The views of n pictures, one after the other.

    Parameters
    ----------
    shapes : ndarray of int64, shape (n, 2)
    pixels : ndarray of int8, shape (p,)
        All flat pictures.
    points : ndarray of float32, shape (m, 2)
    descriptors : ndarray of uint8, shape (m, 128)
        Of all keypoints.
    first_pixels, first_points : ndarray of int64, shape (n + 1,)
        Where each picture's begin.
    """

    shapes: Ints
    pixels: NDArray[np.int8]
    points: Floats32
    descriptors: NDArray[np.uint8]
    first_pixels: Ints
    first_points: Ints

    @classmethod
    def of(cls, views: Sequence[View]) -> Views:
        """Pack views; an empty sequence gives an empty one."""
        shapes = np.array([view.flat.shape for view in views], np.int64).reshape(-1, 2)
        return cls(
            shapes,
            np.concatenate([np.zeros(0, np.int8), *(view.flat.ravel() for view in views)]),
            np.concatenate([np.zeros((0, 2), np.float32), *(view.keypoints.points for view in views)]),
            np.concatenate([np.zeros((0, 128), np.uint8), *(view.keypoints.descriptors for view in views)]),
            np.concatenate([[0], np.cumsum(shapes.prod(axis=1))]).astype(np.int64),
            np.concatenate([[0], np.cumsum([len(view.keypoints) for view in views])]).astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.shapes)

    @overload
    def __getitem__(self, row: int) -> View: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[View]: ...
    def __getitem__(self, row: int | slice) -> View | Sequence[View]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        if not 0 <= row < len(self):
            raise IndexError(row)
        pixels = slice(self.first_pixels[row], self.first_pixels[row + 1])
        points = slice(self.first_points[row], self.first_points[row + 1])
        flat = self.pixels[pixels].reshape(self.shapes[row])
        return View(flat, Keypoints(self.points[points], self.descriptors[points]))
