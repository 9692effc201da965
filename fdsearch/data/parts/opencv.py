"""The one door to OpenCV, which only telling parts apart needs: imported late, and refused in words where it is absent.

All modules here that touch pixels go through it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from fdsearch.errors import Fault, ResourceError


@cache
def opencv() -> Any:
    """The module `cv2`, on one thread: `data.in_order` has one thread per processor already.

    Raises
    ------
    ResourceError
        If OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        fault = Fault("cv2", "not installed", "the extra `train`", "pip install 'fdsearch[train]'")
        raise ResourceError("telling parts by their pictures needs OpenCV", [fault]) from error
    cv2.setNumThreads(1)
    return cv2
