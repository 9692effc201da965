"""The blocks of a backbone: the units in which a share of it is unfrozen.

Derived from the cuts of the graph, so that a plugin's backbone has blocks like the shipped ones; layers named like
``block3_...`` or ``stage_1_block_2_...`` are kept together. `graph` uses them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdsearch.layers import FEATURES, PREPROCESSING
from fdsearch.models.topology import backbone, body

if TYPE_CHECKING:
    import keras

_BLOCK_NAME = re.compile(r"^(?:.*_)?(?:block|expanded_conv)_?\d*[a-z]?(?=_)")


@dataclass(frozen=True)
class Block:
    """A residual block, an Inception module, a convolution with its pool.

    Parameters
    ----------
    start : str
        Name of the cut its input comes from; where maps of several stages are pooled, of what would be one without.
    layers : tuple of keras.Layer
        In the order of ``model.layers``.
    """

    start: str
    layers: tuple[keras.Layer, ...]


def blocks(model: keras.Model) -> list[Block]:
    """List the blocks of a backbone, from the pictures to the head.

    A block ends at a cut and starts with a layer that has a kernel: normalisation, activation and pooling belong to the
    block before them. Blocks whose layers are named as one (``block3_...``) are one.

    Examples
    --------
    >>> from fdsearch.models.builders import build_model
    >>> from fdsearch.trial import TrialConfig
    >>> model = build_model(TrialConfig.from_params({"backbone": "s_cnn_02", "image_size": 32}), 3)
    >>> [[layer.name for layer in block.layers] for block in blocks(model)]
    [['conv_1', 'pool_1'], ['conv_2', 'pool_2', 'flatten'], ['hidden_1']]
    """
    order = {id(layer): position for position, layer in enumerate(model.layers)}
    found = []
    for start, operations in _merged(_segments(model)):
        members = [operation for operation in operations if id(operation) in order]
        found.append(Block(start, tuple(sorted(members, key=lambda layer: order[id(layer)]))))
    return found


def ends_of_stages(pictures: keras.KerasTensor, maps: keras.KerasTensor, n: int) -> list[keras.KerasTensor]:
    """The last maps of the stages before the last one; a stage is what has one resolution and one number of channels.

    Parameters
    ----------
    pictures, maps : KerasTensor
        Input and output of a backbone with a layer ``preprocessing`` in between.
    n : int
        Number of stages, those nearest to `maps`; there may be fewer.

    Returns
    -------
    list of KerasTensor, shapes (None, h, w, c)
        The finest first.
    """
    import keras

    model = keras.Model(pictures, keras.layers.GlobalAveragePooling2D(name=FEATURES)(maps))
    outputs = {step.name: step.output for step in body(model)}
    between = [outputs[block.start] for block in blocks(model)[1:]]
    ends = {tuple(each.shape[1:]): each for each in between if len(each.shape) == 4}
    ends.pop(tuple(maps.shape[1:]), None)
    return list(ends.values())[-n:]


def _segments(model: keras.Model) -> list[tuple[str, list[Any]]]:
    """The backbone's operations between neighbouring cuts, each with the name of the cut before them."""
    segments, start = [], PREPROCESSING
    operations: list[Any] = []
    for step in backbone(model):
        operations.append(step.operation)
        if step.is_cut:
            segments.append((start, operations))
            start, operations = step.name, []
    return segments


def _merged(segments: Sequence[tuple[str, list[Any]]]) -> list[tuple[str, list[Any]]]:
    found: list[tuple[str, list[Any]]] = []
    for start, operations in segments:
        # An opening without a kernel (padding) belongs to the first block, which then is still all there is.
        if found and (
            not _has_kernel(operations) or not _has_kernel(found[-1][1]) or _same_block(found[-1][1], operations)
        ):
            found[-1][1].extend(operations)
        else:
            found.append((start, operations))
    return found


def _same_block(before: Sequence[Any], after: Sequence[Any]) -> bool:
    name = _block_name(before)
    return name is not None and name == _block_name(after)


def _block_name(operations: Sequence[Any]) -> str | None:
    first = next((operation.name for operation in operations if _has_kernel([operation])), "")
    match = _BLOCK_NAME.match(first)
    return match[0] if match else None


def _has_kernel(operations: Sequence[Any]) -> bool:
    """Whether a weight has at least two dimensions; normalisation holds vectors."""
    weights = (weight for operation in operations for weight in getattr(operation, "weights", ()))
    return any(len(weight.shape) > 1 for weight in weights)
