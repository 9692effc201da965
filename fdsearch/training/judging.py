"""How well the present weights predict: the validation rows for the record, the monitored rows for decisions.

`trainer` asks after every epoch. What is computed from validation rows goes into the curve and nowhere else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fdsearch import metrics
from fdsearch.training.feeds import Feed
from fdsearch.training.job import CurveRow, Ints, Job
from fdsearch.training.network import Network
from fdsearch.training.stopping import Monitored
from fdsearch.training.views import fixed_views


class NonFinite(Exception):
    """Weights, loss or logits left the finite numbers."""


def predict(network: Network, feed: Feed, rows: Ints, n_views: int, when: str) -> NDArray[np.float32]:
    """Logits of some rows, shape (m, n_classes): the mean over so many fixed views of their pictures.

    Raises
    ------
    NonFinite
        If any is not finite; the message says `when`.
    """
    seen = [feed.seen(view) for view in fixed_views(n_views if len(rows) else 1)]  # a view is computed for all rows
    logits: NDArray[np.float32] = np.mean([network.logits(each.array, rows, each.start) for each in seen], axis=0)
    if not np.isfinite(logits).all():
        raise NonFinite(f"logits are not finite {when}; lower learning_rate")
    return logits


def validation_figures(job: Job, logits: NDArray[np.float32]) -> CurveRow:
    """The ``val_*`` entries of a curve's row; none where there are no validation rows."""
    if not len(logits):
        return {}
    y_true, y_pred = job.labels[job.validation], metrics.predict(logits)
    return {
        "val_loss": metrics.log_loss(y_true, logits),
        "val_accuracy": metrics.accuracy(y_true, y_pred),
        "val_macro_f1": metrics.macro_f1(y_true, y_pred, job.n_classes),
        "val_f1": metrics.f1_per_class(y_true, y_pred, job.n_classes).tolist(),
    }


def monitored_figures(job: Job, logits: NDArray[np.float32]) -> Monitored:
    """Figures of the monitored rows."""
    y_true = job.labels[job.monitor]
    macro_f1 = metrics.macro_f1(y_true, metrics.predict(logits), job.n_classes)
    return Monitored(macro_f1, metrics.log_loss(y_true, logits))
