"""One built model with its compiled functions, kept for the next jobs of the same process.

Building and tracing a backbone costs seconds, a fold of a head one second: the folds and repeats of a configuration
share the model, and each job gets weights as if it had built the model itself under its own seed. `trainer` borrows
networks from `borrow`; `phases` and `probe` run them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.files import digest_file, digest_json
from fdsearch.layers import FEATURES, HEAD_DROPOUT, LOGITS
from fdsearch.training import life
from fdsearch.training.cosine import with_unit_vectors
from fdsearch.training.features import Shape
from fdsearch.training.optimizers import depths_from_head, values_by_id
from fdsearch.training.passes import chunks, overlapping
from fdsearch.training.probe import Head
from fdsearch.training.resident import on_device, on_gpu
from fdsearch.training.steps import TrainStep, traced_for
from fdsearch.training.stopping import Weights
from fdsearch.training.tracing import Forward, make_forward
from fdsearch.training.views import AnyView
from fdsearch.trial import Phase, TrialConfig

if TYPE_CHECKING:
    import keras

KEPT = 4
"""Networks kept per process: a search alternates between few sizes and poolings; a large backbone takes much memory."""

LONG_PASS = 2 * 10**11
"""Multiplications, a few seconds on two cores, from which the time to prepare a faster pass is saved again."""

_BUILT_FROM = ("backbone", "image_size", "exposure", "pooling", "feature_layers", "head", "weights", "custom")
"""Fields of a configuration that decide what `build_model` builds of a pretrained backbone.

Elsewhere the rate of the dropout counts too: other builders may use it inside, and Keras draws a number for a layer
with a rate above 0 before it draws the head's weights.
"""

KEPT_STEPS = 4
"""Traced steps kept per network; each holds a graph of tens of megabytes and its optimizer's moments."""

_kept: OrderedDict[str, Network] = OrderedDict()


class Network:
    """A model and what was compiled for it.

    Parameters
    ----------
    config : TrialConfig
    n_classes : int
    """

    def __init__(self, config: TrialConfig, n_classes: int) -> None:
        from fdsearch.models.builders import build_model
        from fdsearch.models.pools import pools
        from fdsearch.models.weights import weights_digest

        self.model: keras.Model = build_model(config, n_classes)
        self._pools = pools(self.model)
        self.weights_digest: str | None = weights_digest(config.backbone, config.weights)
        """Names the pretrained weights; None where all weights are drawn at random, by the seed."""
        self.n_classes = n_classes
        self._built_for = config
        self._pretrained = self.model.get_weights() if self.weights_digest else None
        self._initial: Weights = []
        self._random_states = [_random_states(layer) for layer in self.model.layers]
        self._halves: dict[str, tuple[Any, Any]] = {}
        self._forwards: dict[str | tuple[str, ...] | None, Forward] = {}
        self._steps: OrderedDict[Any, TrainStep] = OrderedDict()

    @property
    def n_parameters(self) -> int:
        return int(self.model.count_params())

    @property
    def cut_names(self) -> tuple[str, ...]:
        """Where the model can be cut, from the pictures to the head."""
        from fdsearch.models.graph import cut_points

        return tuple(cut.name for cut in cut_points(self.model))

    def reset(self, seed: int) -> None:
        """Give the model the weights a newly built one would have under a seed.

        Pretrained weights come from the copy taken when it was built and only the head is drawn; networks without are
        drawn as a whole, by building a second one. Random layers (dropout) start again too. Only that second build
        needs the process's generators: seeding TensorFlow's makes it forget every function it has prepared to run.
        """
        import keras

        from fdsearch.models.builders import build_model

        if self._pretrained is None:
            keras.utils.set_random_seed(seed)
            self._initial = build_model(self._built_for, self.n_classes).get_weights()
            self.model.set_weights(self._initial)
        else:
            self.model.set_weights(self._pretrained)
            head = self.model.get_layer(LOGITS)
            own = head.kernel_initializer
            kernel = type(own).from_config({**own.get_config(), "seed": seed})(head.kernel.shape)
            head.set_weights([np.asarray(kernel), np.zeros(kernel.shape[-1], np.float32)])
            # The copies of the frozen layers are shared: a second one of a large backbone would take its size again.
            drawn = {id(variable) for variable in head.weights}
            pairs = zip(self.model.weights, self._pretrained, strict=True)
            self._initial = [np.array(now.numpy()) if id(now) in drawn else kept for now, kept in pairs]
        self.seed_random_layers(seed, 0)

    def seed_random_layers(self, seed: int, n_steps: int) -> None:
        """Let random layers (dropout) draw what they draw after `n_steps` steps under a seed, whatever ran before."""
        for index, states in enumerate(self._random_states):
            for number, state in enumerate(states):
                # Keras adds 1 to the second number with each draw.
                state.assign(np.array([(seed + number) % 2**32, index + n_steps], np.uint32).astype(state.dtype))

    def set_dropout(self, rate: float) -> None:
        """Set the rate of the dropout before the head, for the saved model: training steps bring their own."""
        self.model.get_layer(HEAD_DROPOUT).rate = rate

    def set_head(self, head: Head) -> Head:
        """Set the head, a cosine head in vectors of length 1; returns what was set."""
        if self._built_for.head == "cosine":
            head = with_unit_vectors(head)
        self.model.get_layer(LOGITS).set_weights([head.kernel, head.bias])
        return head

    def weights(self) -> Weights:
        """A copy of all weights."""
        return self.model.get_weights()  # type: ignore[no-any-return]

    def changes(self, weights: Weights) -> dict[int, NDArray[np.float32]]:
        """Those of some weights that training has changed since `reset`, by their place."""
        pairs = enumerate(zip(weights, self._initial, strict=True))
        return {place: now for place, (now, first) in pairs if not np.array_equal(now, first)}

    def changed(self, changes: Mapping[int, NDArray[np.float32]]) -> Weights:
        """All weights, given what `changes` gave of them."""
        return [changes.get(place, first) for place, first in enumerate(self._initial)]

    def set_trainable(self, phase: Phase, batch_norm: str) -> str:
        """Open a phase's layers; the deepest layer before all of them, as `models.graph.set_trainable` gives it."""
        from fdsearch.models.graph import set_trainable

        return set_trainable(self.model, phase, batch_norm)

    def stored_as(self, cut: str) -> str:
        """What is stored of a cut: for features that are pooled maps `Pools`, which serve the other poolings too."""
        return self._pools.model.name if cut == FEATURES and self._pools else cut

    def own(self, cut: str, stored: NDArray[Any]) -> NDArray[Any]:
        """A cut's activations in what is stored of it, shapes (n, ...)."""
        return self._pools.features(stored) if cut == FEATURES and self._pools else stored

    def shape(self, cut: str) -> Shape:
        """Shape of the activation of a cut, or of what is `stored_as` it, for one picture."""
        return tuple(self._up_to(cut).outputs[0].shape[1:])

    def frozen_macs(self, cut: str) -> int:
        """Multiplications with an addition up to a cut, or to what is `stored_as` it, for one picture."""
        from fdsearch.models.graph import macs

        return macs(self._up_to(cut))

    def step(self, config: TrialConfig, cut: str, *, stored: bool) -> TrainStep:
        """The training step behind a cut, for the layers that are trainable now; its optimizer is fresh.

        Parameters
        ----------
        config : TrialConfig
        cut : str
            Place up to which everything is frozen, one of `models.graph.cut_points`.
        stored : bool
            Whether the activations of `cut` are the input, or the pictures.
        """
        if stored:
            config = replace(config, augmentation=0.0)  # what is stored is varied already, or not to be
        trained = tuple(layer.trainable for layer in self.model._flatten_layers())  # those inside others too
        key = (cut, stored, trained, traced_for(config))
        if key not in self._steps:
            while len(self._steps) >= KEPT_STEPS:
                self._steps.popitem(last=False)
            self._steps[key] = self._make_step(config, cut, stored=stored)
        self._steps.move_to_end(key)
        self._steps[key].restart(config, values_by_id(self.model, self._initial) if config.l2_sp > 0 else None)
        return self._steps[key]

    def _make_step(self, config: TrialConfig, cut: str, *, stored: bool) -> TrainStep:
        from fdsearch.models.graph import trunk

        prefix = None if stored else self._split(cut)[0]
        depths, head = depths_from_head(self.model), self.model.get_layer(LOGITS)
        return TrainStep(prefix, trunk(self.model, cut), head, config, self.n_classes, depths)

    def logits(self, array: NDArray[Any], rows: NDArray[np.int64], start: str | None) -> NDArray[np.float32]:
        """Logits of some rows of the pictures (`start` None) or of a cut's stored activations, shape (m, n_classes)."""
        model = self.model if start is None else self._split(start)[1]
        if start not in self._forwards:
            self._forwards[start] = make_forward(model)
        forward = self._forwards[start]
        parts = []
        for chunk in chunks(rows, array.shape[1:]):
            life.sign()
            parts.append(forward(*on_device(array, chunk)))
        return np.concatenate(parts) if parts else np.empty((0, self.n_classes), np.float32)

    def activations(
        self, pictures: NDArray[np.uint8], cuts: Sequence[str], view: AnyView | None = None
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Activations of cuts for all pictures, in chunks: an array (chunk, ...) per cut.

        Parameters
        ----------
        pictures : ndarray of uint8, shape (n, size, size, 1)
        cuts : sequence of str
            What is `stored_as` one may be among them.
        view : View, FixedView or None
            How the pictures are varied before; None takes them as they are.
        """
        forward = self._forward(tuple(cuts), len(pictures))

        def call(chunk: tuple[NDArray[np.int64], Any, NDArray[np.int64]]) -> dict[str, NDArray[np.float32]]:
            numbers, array, rows = chunk
            if view is not None:
                array, rows = view.of(array, rows, numbers), np.arange(len(numbers))
            return forward(array, rows)  # type: ignore[no-any-return]

        numbers = chunks(np.arange(len(pictures)), pictures.shape[1:])
        return overlapping(call, ((chunk, *on_device(pictures, chunk, stays=on_gpu())) for chunk in numbers))

    def _forward(self, ends: tuple[str, ...], n_pictures: int) -> Forward:
        """From pictures to the activations of cuts, by their names."""
        import keras

        if ends not in self._forwards:
            tensors = {cut: self._up_to(cut).outputs[0] for cut in ends}
            # What comes before a cut is not trained: pretrained, it has these weights in all jobs.
            long = n_pictures * max(map(self.frozen_macs, ends), default=0) > LONG_PASS
            constant = self._pretrained is not None and long
            self._forwards[ends] = make_forward(keras.Model(self.model.inputs, tensors), constant=constant)
        return self._forwards[ends]

    def _up_to(self, cut: str) -> keras.Model:
        return self._pools.model if self._pools and cut == self._pools.model.name else self._split(cut)[0]

    def _split(self, cut: str) -> tuple[keras.Model, keras.Model]:
        from fdsearch.models.graph import split

        if cut not in self._halves:
            self._halves[cut] = split(self.model, cut)
        return self._halves[cut]


def borrow(config: TrialConfig, n_classes: int, plugins: Sequence[Path]) -> Network:
    """The process's network for a configuration, built if it is not among the last `KEPT`; `reset` it before use."""
    from fdsearch.models.weights import weights_digest

    names = _BUILT_FROM if weights_digest(config.backbone, config.weights) else (*_BUILT_FROM, "dropout")
    fields = config.to_json()
    key = digest_json([[fields[name] for name in names], n_classes, [digest_file(plugin) for plugin in plugins]])
    if key in _kept:
        _kept.move_to_end(key)
    else:
        while len(_kept) >= KEPT:
            _kept.popitem(last=False)
        _kept[key] = Network(config, n_classes)
    _kept[key].set_dropout(config.dropout)
    return _kept[key]


def forget() -> None:
    """Drop the process's networks; the next job builds its own."""
    _kept.clear()


def _random_states(layer: keras.Layer) -> list[keras.Variable]:
    """The states of a layer's random generators, of layers inside it too: variables that are no weights."""
    weights = {id(variable) for variable in layer.weights}
    return [variable for variable in layer.variables if id(variable) not in weights]
