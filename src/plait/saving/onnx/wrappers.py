"""Layers around layers: both directions of time, and one layer for every time step."""

from __future__ import annotations

from typing import Any

import numpy as np

from plait import layers
from plait.graph import tree
from plait.saving.onnx.arrays import (
    concatenate,
    flip,
    reshape,
    size,
)
from plait.saving.onnx.converters import call
from plait.saving.onnx.registry import mask_of, onnx_converter
from plait.saving.onnx.tensor import Tensor


@onnx_converter(layers.Bidirectional)
def convert_bidirectional(
    layer: layers.Bidirectional, sequences: Tensor, initial_state: Any = None, mask: Any = None
) -> Any:
    """Write `Bidirectional`."""
    states: tuple[Any, ...] = ()
    outputs = []
    for directed, given in zip(
        (layer.forward_layer, layer.backward_layer), layer._halves(initial_state), strict=True
    ):
        known = {"initial_state": given, "mask": mask}
        kwargs = {k: v for k, v in known.items() if k in directed._call_parameters}
        output = call(directed, sequences, **kwargs)
        if layer.return_state:
            output, *last = output
            states += tuple(last)
        outputs.append(output)
    forward, backward = outputs
    if layer.return_sequences:
        backward = flip(backward, 1)
    merged = _MERGES[layer.merge_mode](forward, backward)
    if not layer.return_state:
        return merged
    return (*(merged if layer.merge_mode is None else (merged,)), *states)


_MERGES: dict[str | None, Any] = {
    "sum": lambda forward, backward: forward + backward,
    "mul": lambda forward, backward: forward * backward,
    "ave": lambda forward, backward: (forward + backward) / 2,
    "concat": lambda forward, backward: concatenate([forward, backward], axis=-1),
    None: lambda forward, backward: (forward, backward),
}


@mask_of(layers.Bidirectional)
def mask_of_bidirectional(layer: layers.Bidirectional, inputs: Any, previous: Any) -> Any:
    """Return the mask of the steps for the outputs of all steps, none for the rest."""
    mask = tree.flatten(previous)[0] if layer.return_sequences else None
    return (mask, mask) if layer.merge_mode is None else mask


@onnx_converter(layers.TimeDistributed)
def convert_time_distributed(
    layer: layers.TimeDistributed, inputs: Tensor, mask: Any = None
) -> Any:
    """Write `TimeDistributed`: batch and time become one axis while the layer runs."""
    batch, time = size(inputs, 0), size(inputs, 1)

    def joined(x: Tensor) -> Tensor:
        rest = [size(x, axis) for axis in range(2, x.ndim)]
        return reshape(x, [batch * time, *rest], (_product(inputs.shape[:2]), *x.shape[2:]))

    kwargs = {}
    if mask is not None and "mask" in layer.layer._call_parameters:
        kwargs["mask"] = joined(mask)
    outputs = call(layer.layer, joined(inputs), **kwargs)

    def apart(x: Tensor) -> Tensor:
        rest = [size(x, axis) for axis in range(1, x.ndim)]
        return reshape(x, [batch, time, *rest], (*inputs.shape[:2], *x.shape[1:]))

    return tree.map_structure(apart, outputs)


def _product(shape: Any) -> int | None:
    return None if None in shape else int(np.prod(shape))
