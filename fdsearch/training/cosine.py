"""A probe's head for a network whose class vectors all have length 1.

`network` calls it wherever it sets a head. What a cosine head is stands at `models.frame.classifier`.
"""

from __future__ import annotations

import numpy as np

from fdsearch.training.probe import Head

_SMALLEST = 1e-9


def with_unit_vectors(head: Head) -> Head:
    """Bring the columns of a linear head to length 1 without changing what it decides.

    To add one vector to all columns adds one number to all logits, which no softmax sees. Less the centre of the
    sphere they lie on, all columns are equally long, and to divide by that length, the biases too, is a temperature
    alone. There is such a sphere unless there are more classes than features and one; the nearest is taken then.

    Parameters
    ----------
    head : Head

    Returns
    -------
    Head
        Its kernel's columns have length 1; its logits are those of `head` divided by one number, but for a number of
        each picture's own.

    Examples
    --------
    >>> head = Head(np.array([[4.0, 0.0, -4.0], [0.0, 2.0, -2.0]], np.float32), np.zeros(3, np.float32))
    >>> made = with_unit_vectors(head)
    >>> np.linalg.norm(made.kernel, axis=0).round(6).tolist()
    [1.0, 1.0, 1.0]
    >>> features = np.array([[1.0, 2.0], [-1.0, 0.5]])
    >>> head.logits(features).argmax(1).tolist() == made.logits(features).argmax(1).tolist()
    True
    """
    columns = head.kernel.astype(np.float64).T
    edges = columns[1:] - columns[0]
    offset, *_ = np.linalg.lstsq(edges, (edges**2).sum(axis=1) / 2, rcond=1e-6)
    spokes = columns - columns[0] - offset
    lengths = np.linalg.norm(spokes, axis=1)
    if lengths.min() < _SMALLEST:  # columns that do not differ say nothing about a picture
        spokes, lengths = np.eye(*columns.shape), np.ones(len(columns))
        return Head(spokes.T.astype(np.float32), head.bias)
    kernel = (spokes / lengths[:, None]).T
    return Head(kernel.astype(np.float32), (head.bias / lengths.mean()).astype(np.float32))
