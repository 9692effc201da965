from __future__ import annotations

import numpy as np
import pytest

from fdsearch.training.stopping import Best, Monitored, Patience, Step
from fdsearch.trial import EarlyStopping


def ends(settings, figures):
    patience = Patience(settings)
    for epoch, (macro_f1, loss) in enumerate(figures):
        if patience.exhausted(epoch, Monitored(macro_f1, loss)):
            return epoch
    return None


@pytest.mark.parametrize(
    ("settings", "figures", "end"),
    [
        # the write-up's rule: the loss has to fall by 0.01
        (EarlyStopping("loss", 2, 0.01), [(0, 1.0), (0, 0.995), (0, 0.993)], 2),
        (EarlyStopping("loss", 2, 0.01), [(0, 1.0), (0, 0.98), (0, 0.96), (0, 0.96)], None),
        # two small steps that together make a large one are an improvement
        (EarlyStopping("loss", 2, 0.01), [(0, 1.0), (0, 0.995), (0, 0.98), (0, 0.98)], None),
        (EarlyStopping("macro_f1", 1), [(0.5, 9), (0.6, 9), (0.6, 1)], 2),
        (EarlyStopping("both", 2), [(0.5, 1.0), (0.4, 0.9), (0.4, 0.8)], 2),
        (EarlyStopping("both", 2), [(0.5, 1.0), (0.6, 1.9), (0.7, 1.8)], 2),
        # epochs before the first one that counts are neither stale nor the best so far, as in Keras
        (EarlyStopping("loss", 1, start_epoch=3), [(0, 1), (0, 2), (0, 3), (0, 4)], None),
        (EarlyStopping("loss", 1, start_epoch=3), [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)], 4),
        (EarlyStopping("loss", 2, start_epoch=2), [(0, 1), (0, 1), (0, 5), (0, 4), (0, 4), (0, 4)], 5),
        (EarlyStopping("none", 1), [(0, 1)] * 5, None),
    ],
)
def test_when_a_phase_ends(settings, figures, end):
    assert ends(settings, figures) == end


@pytest.mark.parametrize(
    ("monitor", "figures", "kept"),
    [
        ("loss", [(0.9, 1.0), (0.1, 0.5), (0.9, 0.6)], 1),
        ("macro_f1", [(0.9, 1.0), (0.1, 0.5), (0.8, 0.6)], 0),
        ("both", [(0.9, 1.0), (0.9, 0.5), (0.9, 0.6)], 1),
    ],
)
def test_which_weights_are_kept(monitor, figures, kept):
    best = Best(monitor)
    path = []
    for epoch, (macro_f1, loss) in enumerate(figures):
        path.append(Step(0, 0.1))
        best.offer(Monitored(macro_f1, loss), path, lambda epoch=epoch: [np.array(epoch)])
    assert best.weights == [kept]
    assert len(best.path) == kept + 1


def test_weights_are_copied_only_when_they_are_better():
    best = Best("loss")
    assert best.offer(Monitored(0.5, 1.0), [], list)
    assert not best.offer(Monitored(0.5, 1.0), [], lambda: pytest.fail("copied"))
