"""Without the lines that TensorFlow's and LiteRT's C++ write to stderr while they load; no setting hides them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def import_keras() -> None:
    """Import Keras and its backend; raises ImportError where they are not installed."""
    if "keras" not in sys.modules:
        with no_stderr():
            import keras  # noqa: F401


@contextmanager
def no_stderr() -> Iterator[None]:
    """Send the process's stderr, below Python's own, to nowhere; a service without a stderr has none to send."""
    if sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
