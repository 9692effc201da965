"""Curves and matrices as SVG: data URIs for the report, bytes for the dashboard; `trust_figures` draws with them, too.

Figures hold numbers and our own words only, never a label of the user: text of theirs would meet matplotlib's formula
parser and its fonts. Drawn without pyplot, which keeps a global list of figures and may open a window.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = (("loss", "val_loss", "loss"), ("accuracy", "val_accuracy", "accuracy"), (None, "val_macro_f1", "macro F1"))
"""The panels of the learning curves: training key, validation key, title."""

TRAIN, VALIDATION, BEST = "#8a94a6", "#0b5cad", "#b3261e"


def learning_curves(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> str | None:
    """Draw loss, accuracy and macro F1 over the epochs, one thin line per fold.

    Parameters
    ----------
    curves : mapping of str to sequence of mapping
        Fold name to epochs; values that are missing or None leave a gap.

    Returns
    -------
    str or None
        A data URI; None where no fold has an epoch (a probe has none).
    """
    drawn = learning_curves_svg(curves)
    return None if drawn is None else data_uri(drawn)


def learning_curves_svg(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes | None:
    """The SVG file of `learning_curves`."""
    folds = [rows for rows in curves.values() if rows]
    if not folds:
        return None
    figure = blank(width=10.5, height=3.1)
    for index, (train, validation, title) in enumerate(PANELS):
        axes = figure.add_subplot(1, len(PANELS), index + 1)
        drawn = {"training": False, "validation": False}
        for rows in folds:
            for key, color, name in ((train, TRAIN, "training"), (validation, VALIDATION, "validation")):
                drawn[name] |= _line(axes, rows, key, color, None if drawn[name] else name)
        tidy(axes, title, "epoch")
        if title != "loss":
            axes.set_ylim(0, 1.03)
        if any(drawn.values()):
            axes.legend(frameon=False, fontsize=8)
    return svg(figure)


def confusion_svg(counts: Sequence[Sequence[int]]) -> bytes:
    """Draw the confusion matrix of out-of-fold predictions as an SVG file.

    Classes are numbered from 1; whoever shows the picture sets their names beside it.

    Parameters
    ----------
    counts : sequence of sequence of int, shape (n_classes, n_classes)
        Pictures by true class (rows) and predicted class (columns); shading is the share of the true class.
    """
    n = len(counts)
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    figure = blank(width=1.6 + 0.5 * n, height=1.3 + 0.42 * n)
    axes = figure.add_subplot(1, 1, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row in range(n):
        for column in range(n):
            color = "white" if shares[row][column] > 0.5 else "black"
            axes.text(column, row, str(counts[row][column]), ha="center", va="center", color=color, fontsize=8)
    tidy(axes, "pictures, out of fold", "predicted class")
    axes.set_ylabel("true class", fontsize=9)
    axes.grid(visible=False)
    numbers = [str(number) for number in range(1, n + 1)]
    axes.set_xticks(range(n), numbers)
    axes.set_yticks(range(n), numbers)
    return svg(figure)


def trial_history(trials: Sequence[Mapping[str, Any]]) -> str | None:
    """Draw the value of each trial, in the order of their numbers, and the best so far; None where none has a value."""
    valued = [trial for trial in trials if trial.get("value") is not None]
    if not valued:
        return None
    figure = blank(width=10.5, height=2.8)
    axes = figure.add_subplot(1, 1, 1)
    _scatter(axes, valued, "number")
    if answers := [trial for trial in valued if trial.get("feasible", True)]:
        best = list(accumulate((trial["value"] for trial in answers), max))
        numbers = [trial["number"] for trial in answers]
        axes.step(numbers, best, where="post", color=BEST, linewidth=1.2, label="best so far")
    tidy(axes, "", "trial")
    axes.set_ylabel("macro F1 of the trial")
    axes.legend(frameon=False, fontsize=8)
    return data_uri(svg(figure))


def latency_front(trials: Sequence[Mapping[str, Any]], front: Sequence[Mapping[str, Any]]) -> str | None:
    """Draw the value of each trial over its latency, and the front; None where no latency was measured."""
    measured = [t for t in trials if t.get("value") is not None and t.get("latency_ms") is not None]
    if not measured:
        return None
    figure = blank(width=10.5, height=2.8)
    axes = figure.add_subplot(1, 1, 1)
    _scatter(axes, measured, "latency_ms")
    x, y = ([point[key] for point in front] for key in ("latency_ms", "value"))
    axes.step(x, y, where="post", color=BEST, linewidth=1.2, label="none is better and faster")
    tidy(axes, "", "milliseconds for one picture")
    axes.set_ylabel("macro F1 of the trial")
    axes.legend(frameon=False, fontsize=8)
    return data_uri(svg(figure))


def _scatter(axes: Axes, trials: Sequence[Mapping[str, Any]], key: str) -> None:
    for feasible, color, name in ((True, VALIDATION, "complete trial"), (False, TRAIN, "complete, but too slow")):
        drawn = [trial for trial in trials if trial.get("feasible", True) is feasible]
        if drawn:
            x, y = ([trial[axis] for trial in drawn] for axis in (key, "value"))
            axes.scatter(x, y, s=22, c=color, label=name)


def _line(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str | None, color: str, label: str | None) -> bool:
    values = [None if key is None else row.get(key) for row in rows]
    if all(value is None for value in values):
        return False
    numbers = [float("nan") if value is None else float(value) for value in values]
    # A dot for each epoch, because a curve of one epoch is otherwise invisible.
    axes.plot(
        [row["epoch"] + 1 for row in rows], numbers, color=color, linewidth=1, marker=".", markersize=3, label=label
    )
    return True


def tidy(axes: Axes, title: str, below: str) -> None:
    """Give a panel its title, the words below it, and the look of all figures."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(below, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def blank(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def svg(figure: Figure) -> bytes:
    """A figure as an SVG file."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.BytesIO()
    # A fixed salt and no date: equal numbers give equal bytes.
    with matplotlib.rc_context({"svg.hashsalt": "fdsearch", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
    return stream.getvalue()


def data_uri(drawn: bytes) -> str:
    """An SVG file as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(drawn).decode("ascii")
