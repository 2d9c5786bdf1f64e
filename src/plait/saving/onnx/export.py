"""Write a model's graph as an ONNX file."""

from __future__ import annotations

from typing import Any

import jax
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from plait.graph import tree
from plait.saving.onnx import (  # noqa: F401  (each registers its converters)
    attention,
    basic,
    convolution,
    merging,
    normalization,
    operations,
    recurrent,
    wrappers,
)
from plait.saving.onnx.converters import run_graph
from plait.saving.onnx.tensor import Tensor, cast, wide
from plait.saving.onnx.writer import IR_VERSION, OPSET, Writer, tensor_type, value


def onnx_bytes(model: Any, version: str) -> bytes:
    """Return the contents of an ONNX file that computes what a model computes in inference.

    Args:
        model: a model with a graph.
        version: plait's, to be named in the file.

    Raises:
        ExportError: a layer, named with its line, has nothing in ONNX.
    """
    graph, names = model.graph, [*model.input_names, *model.output_names]
    writer = Writer(names)
    inputs = [
        value(name, symbol.dtype, _dimensions(name, symbol.shape))
        for name, symbol in zip(model.input_names, graph.inputs, strict=True)
    ]
    tensors = []
    for source, symbol in zip(inputs, graph.inputs, strict=True):
        given = Tensor(writer, source, symbol.shape, symbol.dtype)
        tensors.append(cast(given, wide(jax.dtypes.canonicalize_dtype(symbol.dtype))))
    results = tree.flatten(run_graph(graph, tensors))
    outputs: list[ir.Value] = []
    for name, result in zip(model.output_names, results, strict=True):
        source = result.value
        if source.producer() is None or any(source is other for other in outputs):
            source = writer.add("Identity", source)
        source.name = name if name not in model.input_names else writer.name(name)
        source.type = tensor_type(result.dtype)
        source.shape = ir.Shape(result.shape)  # an open size has no name: it may be any
        outputs.append(source)
    made = ir.Graph(
        inputs,
        outputs,
        nodes=writer.nodes,
        initializers=writer.constants,
        opset_imports={"": OPSET},
        name=model.name,
    )
    whole = ir.Model(made, ir_version=IR_VERSION, producer_name="plait", producer_version=version)
    RemoveUnusedNodesPass()(whole)
    return ir.to_proto(whole).SerializeToString()


def _dimensions(name: str, shape: Any) -> list[int | str]:
    """Return the sizes of an input, with a name for each that is open."""
    return [
        size if size is not None else ("batch" if axis == 0 else f"{name}_{axis}")
        for axis, size in enumerate(shape)
    ]
