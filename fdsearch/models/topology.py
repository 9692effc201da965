"""A model's graph, read from Keras: its calls in topological order, the cuts among them, and stable names.

The only module that looks at what Keras keeps to itself. `graph` and `blocks` are built on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fdsearch.layers import FEATURES, POOLING, PREPROCESSING

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
    """The steps from ``preprocessing`` to ``features``, both included; parents are positions among them."""
    steps = all_steps(model)
    names = [step.name for step in steps]
    first = names.index(PREPROCESSING)
    return [
        replace(step, parents=tuple(parent - first for parent in step.parents if parent >= first))
        for step in steps[first : names.index(FEATURES) + 1]
    ]


def backbone(model: keras.Model) -> list[Step]:
    """The steps after ``preprocessing`` up to the last cut before ``features``.

    Cuts are those of the model without pooling, its features made of the deepest maps alone: to pool maps of several
    depths keeps them open up to the end, which leaves no cut behind the first of them, and changes nothing about what
    the blocks of the backbone are.
    """
    steps = _spine(body(model))
    last = max(index for index, step in enumerate(steps[:-1]) if step.is_cut)
    return steps[1 : last + 1]


def _spine(steps: Sequence[Step]) -> list[Step]:
    """The steps of a body without what pools, ``features`` made of the maps that no other maps are made of."""
    pooling: set[int] = set()
    for position, step in enumerate(steps[:-1]):
        if step.name.startswith(POOLING) or pooling & set(step.parents):
            pooling.add(position)
    maps = _sources(steps, pooling)
    deepest = tuple(sorted(maps - _ancestors(steps, maps)))
    kept = [position for position in range(len(steps)) if position not in pooling]
    place = {position: index for index, position in enumerate(kept)}
    spine = []
    for position in kept:
        parents = deepest if position == len(steps) - 1 else steps[position].parents
        spine.append(replace(steps[position], parents=tuple(place[parent] for parent in parents)))
    _mark_cuts(spine)
    return spine


def _sources(steps: Sequence[Step], pooling: Set[int]) -> set[int]:
    """What the last step is made of, seen through the steps that pool."""
    waiting, found = list(steps[-1].parents), set()
    while waiting:
        position = waiting.pop()
        if position in pooling:
            waiting += steps[position].parents
        else:
            found.add(position)
    return found


def _ancestors(steps: Sequence[Step], positions: Set[int]) -> set[int]:
    waiting, found = [parent for position in positions for parent in steps[position].parents], set()
    while waiting:
        position = waiting.pop()
        if position not in found:
            found.add(position)
            waiting += steps[position].parents
    return found


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
    _mark_cuts(steps)
    for step, node in zip(steps, nodes, strict=True):
        step.is_cut = step.is_cut and len(node.output_tensors) == 1
    return steps


def _mark_cuts(steps: Sequence[Step]) -> None:
    waiting = [0] * len(steps)
    for step in steps:
        for parent in step.parents:
            waiting[parent] += 1
    n_open = 0
    for position, step in enumerate(steps):
        for parent in step.parents:
            waiting[parent] -= 1
            n_open -= waiting[parent] == 0
        n_open += waiting[position] > 0
        step.is_cut = n_open == 1 and waiting[position] > 0


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
