"""An ONNX graph while it is written: its nodes, its constants and their names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx_ir as ir

OPSET = 20
IR_VERSION = 9


class Writer:
    """Collects nodes and constants.

    Attributes:
        path: the names of the layers being converted, outermost first; they name nodes.
        masks: id of a tensor -> (the tensor, its mask).
    """

    def __init__(self, reserved: Sequence[str]) -> None:
        self.nodes: list[ir.Node] = []
        self.path: list[str] = []
        self.masks: dict[int, tuple[Any, Any]] = {}
        self._constants: dict[tuple[Any, ...], ir.Value] = {}
        self._counts: dict[str, int] = dict.fromkeys(reserved, 1)

    @property
    def constants(self) -> list[ir.Value]:
        """The constants, in the order in which they were needed."""
        return list(self._constants.values())

    def name(self, wanted: str) -> str:
        """Return a name that nothing in the graph has yet."""
        count = self._counts.get(wanted, 0)
        self._counts[wanted] = count + 1
        return self.name(f"{wanted}_{count}") if count else wanted

    def add(self, kind: str, *inputs: ir.Value | None, count: int = 1, **attributes: Any) -> Any:
        """Add a node and return its output, or the list of them if there are several."""
        name = self.name("/".join([*self.path, kind]))
        node = ir.node(kind, list(inputs), attributes, num_outputs=count, name=name)
        for index, output in enumerate(node.outputs):
            output.name = name if index == 0 else self.name(f"{name}:{index}")
        self.nodes.append(node)
        return node.outputs[0] if count == 1 else list(node.outputs)

    def constant(self, array: np.ndarray, name: str | None = None) -> ir.Value:
        """Return a constant; equal ones are stored once."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = (array.dtype.str, array.shape, hashlib.blake2b(array.tobytes()).digest())
        if key not in self._constants:
            name = self.name(name or "/".join([*self.path, "constant"]))
            self._constants[key] = ir.Value(
                name=name,
                shape=ir.Shape(array.shape),
                type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
                const_value=ir.tensor(array, name=name),
            )
        return self._constants[key]

    def integers(self, *values: int) -> ir.Value:
        """Return a vector of whole numbers, as ONNX takes axes and sizes."""
        return self.constant(np.array(values, np.int64))

    @contextmanager
    def body(self) -> Iterator[list[ir.Node]]:
        """Collect the nodes added within the block apart: the body of a loop."""
        outer, self.nodes = self.nodes, []
        try:
            yield self.nodes
        finally:
            self.nodes = outer


def value(name: str, dtype: str, shape: Sequence[int | str | None]) -> ir.Value:
    """Return an input of a graph."""
    return ir.Value(name=name, shape=ir.Shape(shape), type=tensor_type(dtype))


def tensor_type(dtype: str) -> ir.TensorType:
    """Return the ONNX type of tensors of a dtype."""
    return ir.TensorType(ir.DataType.from_numpy(np.dtype(dtype)))
