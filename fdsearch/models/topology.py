"""A model's graph, read from Keras: its calls in topological order, the cuts among them, and stable names.

The only module that looks at what Keras keeps to itself. `graph` and `blocks` are built on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdsearch.layers import FEATURES, PREPROCESSING

if TYPE_CHECKING:
    import keras


@dataclass
class Step:
    """One call of an operation, a layer mostly, in the graph of a model.

    `parents` are positions in the list of steps; `is_cut` says that `output` is all that later steps see of this step
    and of those before it.
    """

    operation: Any
    output: Any
    parents: tuple[int, ...]
    is_cut: bool = False

    @property
    def name(self) -> str:
        return str(self.operation.name)


def body(model: keras.Model) -> list[Step]:
    """The steps from ``preprocessing`` to ``features``, both included."""
    steps = all_steps(model)
    names = [step.name for step in steps]
    return steps[names.index(PREPROCESSING) : names.index(FEATURES) + 1]


def backbone(model: keras.Model) -> list[Step]:
    """The steps after ``preprocessing`` up to the last cut before ``features``."""
    steps = body(model)
    last = max(index for index, step in enumerate(steps[:-1]) if step.is_cut)
    return steps[1 : last + 1]


def all_steps(model: keras.Model) -> list[Step]:
    """All calls of a model in topological order, cuts marked.

    In any topological order a step is a cut exactly when nothing but its own output is still waiting to be consumed.
    """
    nodes = _topological(model)
    index = {id(node): position for position, node in enumerate(nodes)}
    steps = [
        Step(node.operation, node.output_tensors[0], tuple({index[id(parent)] for parent in node.parent_nodes}))
        for node in nodes
    ]
    waiting = [0] * len(steps)
    for step in steps:
        for parent in step.parents:
            waiting[parent] += 1
    n_open = 0
    for position, (step, node) in enumerate(zip(steps, nodes, strict=True)):
        for parent in step.parents:
            waiting[parent] -= 1
            n_open -= waiting[parent] == 0
        n_open += waiting[position] > 0
        step.is_cut = n_open == 1 and waiting[position] > 0 and len(node.output_tensors) == 1
    return steps


def _topological(model: keras.Model) -> list[Any]:
    """The graph's nodes, parents before children.

    Keras shows the graph in no public way but the serialized configuration; `_keras_history` is what its own functional
    models are rebuilt from.
    """
    output = model.outputs[0]._keras_history
    stack, seen, done = [(output.operation._inbound_nodes[output.node_index], False)], set(), []
    while stack:
        node, expanded = stack.pop()
        if expanded:
            done.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(node.parent_nodes))
    return done


def name_stably(model: keras.Model) -> None:
    """Renumber the names Keras made up (``conv2d_7``), so that they depend on the architecture alone.

    Keras counts through a process: InceptionV3 built second would call other layers ``conv2d_7`` than built first, and
    caches keyed by the name of a cut would mix them up.
    """
    import keras

    operations = [step.operation for step in all_steps(model)]
    automatic = re.compile(r"^(.*?)(?:_\d+)?$")
    made_up = []
    for operation in operations:
        stem = _snake_case(type(operation).__name__)
        match = automatic.match(operation.name)
        if match and match[1] == stem and not isinstance(operation, keras.layers.InputLayer):
            made_up.append((operation, stem))
    taken = {operation.name for operation in operations} - {operation.name for operation, _ in made_up}
    for operation, stem in made_up:
        operation.name = next(name for name in _numbered(stem) if name not in taken)
        taken.add(operation.name)


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 0
    while True:
        number += 1
        yield f"{stem}_{number}"


def _snake_case(name: str) -> str:
    """As Keras derives a layer's name from its class."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()
