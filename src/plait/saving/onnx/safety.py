"""Look over an ONNX file before a runtime opens it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import onnx_ir as ir

from plait.errors import FileError
from plait.saving.exported import damaged


def check_contents(path: pathlib.Path, contents: bytes) -> None:
    """Refuse a file that is no ONNX model, or that refers to other files.

    Raises:
        FileError: it is one of these.
    """
    import onnx

    try:
        model = ir.from_proto(onnx.ModelProto.FromString(contents))
        outside = any(isinstance(tensor, ir.ExternalTensor) for tensor in _tensors(model))
    except Exception as error:
        raise damaged(path, error) from error
    if outside:
        raise FileError(
            f"'{path}' keeps weights in other files, which are not opened.",
            fix="write it as one file",
        )


def _tensors(model: ir.Model) -> Iterator[Any]:
    functions = [function.graph for function in model.functions.values()]
    for graph in [model.graph, *functions]:
        yield from _constants(graph)
        for node in ir.traversal.RecursiveGraphIterator(graph):
            for attribute in node.attributes.values():
                if attribute.is_ref():
                    continue
                if attribute.type == ir.AttributeType.TENSOR:
                    yield attribute.as_tensor()
                elif attribute.type == ir.AttributeType.TENSORS:
                    yield from attribute.as_tensors()
                elif attribute.type == ir.AttributeType.GRAPH:
                    yield from _constants(attribute.as_graph())
                elif attribute.type == ir.AttributeType.GRAPHS:
                    for inner in attribute.as_graphs():
                        yield from _constants(inner)


def _constants(graph: Any) -> Iterator[Any]:
    for value in graph.initializers.values():
        yield value.const_value
