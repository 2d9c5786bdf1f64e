"""Tensors of an ONNX graph, with operators, broadcasting and JAX's dtypes.

A transposition is only noted on the tensor. Most nodes work in any order of axes, so a chain of
convolutions with channels last becomes one transposition at its beginning and one at its end, or
none. Float16 and bfloat16 are computed in float32, which every runtime has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx_ir as ir

from plait.core.variable import Variable
from plait.errors import ShapeError
from plait.graph.tensor import Shape
from plait.ops.arguments import broadcast
from plait.saving.onnx.writer import Writer, tensor_type

Axes = tuple[int, ...]

NARROW = frozenset({"int8", "uint8", "int16", "uint16", "uint32"})
"""Whole numbers that runtimes do not compute with: they are widened to int32 meanwhile."""


def wide(dtype: Any) -> str:
    """Return the dtype that stands for `dtype` in the file: half precision becomes float32."""
    name = jnp.dtype(dtype).name
    return "float32" if name in ("float16", "bfloat16") else name


@dataclass(frozen=True)
class Constant:
    """An array that is stored in the file, and what to call it."""

    array: np.ndarray
    name: str | None = None

    @property
    def shape(self) -> Shape:
        """The sizes."""
        return self.array.shape

    @property
    def dtype(self) -> str:
        """The name of the dtype."""
        return self.array.dtype.name

    @property
    def ndim(self) -> int:
        """The rank."""
        return self.array.ndim

    def transpose(self, axes: Sequence[int]) -> Constant:
        """Return it with its axes in another order."""
        return Constant(self.array.transpose(axes), self.name)

    def reshape(self, *shape: int) -> Constant:
        """Return it in another shape."""
        return Constant(self.array.reshape(shape), self.name)

    def cast(self, dtype: Any) -> Constant:
        """Return it in another dtype."""
        return Constant(self.array.astype(dtype), self.name)


def constant(data: Any, name: str | None = None) -> Constant:
    """Return a variable, an array or a number as a constant, in the dtype it has in the file."""
    if isinstance(data, Constant):
        return data
    if isinstance(data, Variable):
        return Constant(data.numpy().astype(wide(data.dtype)), name or data.path)
    array = np.asarray(data)
    return Constant(array.astype(wide(jax.dtypes.canonicalize_dtype(array.dtype))), name)


class Tensor:
    """A tensor that some node makes.

    Axis i of the tensor is axis ``axes[i]`` of `source`, the value in the ONNX graph.
    """

    __slots__ = ("_arranged", "axes", "dtype", "shape", "source", "writer")
    __array_priority__ = 1000

    def __init__(
        self, writer: Writer, source: ir.Value, shape: Shape, dtype: str, axes: Axes | None = None
    ) -> None:
        self.writer, self.source, self.dtype = writer, source, dtype
        self.shape = tuple(shape)
        self.axes = axes or tuple(range(len(self.shape)))
        self._arranged = {self.axes: source}

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.shape)

    @property
    def value(self) -> ir.Value:
        """The value with the axes in the tensor's own order."""
        return self.arranged(tuple(range(self.ndim)))

    def arranged(self, axes: Axes) -> ir.Value:
        """Return the value with axis i of the tensor on its axis ``axes[i]``."""
        if axes not in self._arranged:
            order = [0] * self.ndim
            for mine, wanted in zip(self.axes, axes, strict=True):
                order[wanted] = mine
            self._arranged[axes] = self.writer.add("Transpose", self.source, perm=order)
        return self._arranged[axes]

    def like(self, source: ir.Value, dtype: str | None = None) -> Tensor:
        """Return a tensor of the same shape and order of axes."""
        return Tensor(self.writer, source, self.shape, dtype or self.dtype, self.axes)

    def transpose(self, order: Sequence[int]) -> Tensor:
        """Return the tensor whose axis i is axis ``order[i]`` of this one; adds no node."""
        order = [axis % self.ndim for axis in order]
        shape = tuple(self.shape[axis] for axis in order)
        axes = tuple(self.axes[axis] for axis in order)
        moved = Tensor(self.writer, self.source, shape, self.dtype, axes)
        return self if axes == self.axes else moved

    def __add__(self, other: Any) -> Tensor:
        return elementwise("Add", self, other)

    def __radd__(self, other: Any) -> Tensor:
        return elementwise("Add", other, self)

    def __sub__(self, other: Any) -> Tensor:
        return elementwise("Sub", self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return elementwise("Sub", other, self)

    def __mul__(self, other: Any) -> Tensor:
        return elementwise("Mul", self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return elementwise("Mul", other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return divide(other, self)

    def __neg__(self) -> Tensor:
        return elementwise("Neg", self)

    def __repr__(self) -> str:
        return f"<Tensor {self.source.name} {self.shape} {self.dtype}>"


def writer_of(operands: Sequence[Any]) -> Writer:
    """Return the writer of the first tensor among `operands`."""
    return next(operand.writer for operand in operands if isinstance(operand, Tensor))


def result_dtype(*operands: Any) -> str:
    """Return the dtype that JAX computes in for these operands."""
    kinds = [
        operand
        if isinstance(operand, bool | int | float)
        else jax.dtypes.canonicalize_dtype(_dtype(operand))
        for operand in operands
    ]
    return wide(jnp.result_type(*kinds))


def _dtype(operand: Any) -> Any:
    return operand.dtype if isinstance(operand, Tensor) else constant(operand).dtype


def shape_of(operand: Any) -> Shape:
    """Return the shape of a tensor or of anything that becomes a constant."""
    return operand.shape if hasattr(operand, "shape") else np.shape(operand)


def cast(x: Tensor, dtype: Any) -> Tensor:
    """Return `x` in another dtype; half precision rounds and stays float32."""
    name = jnp.dtype(dtype).name
    if name == x.dtype:
        return x
    data_type = tensor_type(name).dtype if name != "bfloat16" else ir.DataType.BFLOAT16
    source = x.writer.add("Cast", x.source, to=int(data_type))
    if wide(name) != name:
        source = x.writer.add("Cast", source, to=int(ir.DataType.FLOAT))
    return x.like(source, wide(name))


def materialize(writer: Writer, operand: Any, dtype: str) -> ir.Value:
    """Return the value of an operand in a dtype."""
    if isinstance(operand, Tensor):
        return cast(operand, dtype).value
    stored = constant(operand)
    return writer.constant(stored.array.astype(dtype), stored.name)


def elementwise(
    kind: str,
    *operands: Any,
    dtypes: Sequence[str] | None = None,
    out: str | None = None,
    **attributes: Any,
) -> Tensor:
    """Add a node that works on every element of operands that broadcast.

    Args:
        kind: the ONNX operator.
        operands: tensors and constants.
        dtypes: what each is cast to; default: the dtype that JAX computes in.
        out: the dtype of the result; default: that.
        **attributes: of the node.
    """
    common = result_dtype(*operands)
    result = out or common
    if dtypes is None:
        common = "int32" if common in NARROW else common
        dtypes = [common] * len(operands)
    tensors = [
        cast(operand, dtype)
        for operand, dtype in zip(operands, dtypes, strict=True)
        if isinstance(operand, Tensor)
    ]
    shape = broadcast([shape_of(operand) for operand in operands])
    if shape is None:
        raise ShapeError(f"cannot combine {[shape_of(operand) for operand in operands]}.")
    rank, axes, writer = len(shape), _order(tensors, len(shape)), tensors[0].writer
    remaining = iter(tensors)
    values = [
        _aligned(next(remaining), rank, axes)
        if isinstance(operand, Tensor)
        else writer.constant(*_aligned_constant(operand, dtype, rank, axes))
        for operand, dtype in zip(operands, dtypes, strict=True)
    ]
    made = Tensor(writer, writer.add(kind, *values, **attributes), shape, out or common, axes)
    return cast(made, result)


def _order(tensors: Sequence[Tensor], rank: int) -> Axes:
    """Return the order of axes to compute in: one that a tensor has, rather than none."""
    plain = tuple(range(rank))
    orders = [tensor.axes for tensor in tensors if tensor.ndim == rank]
    return next((axes for axes in orders if axes != plain), plain)


def _aligned(x: Tensor, rank: int, axes: Axes) -> ir.Value:
    if x.ndim == rank:
        return x.arranged(axes)
    plain = axes == tuple(range(rank))
    if plain or not x.ndim:
        return x.value
    missing = rank - x.ndim
    source = x.writer.add("Unsqueeze", x.value, x.writer.integers(*range(missing)))
    return Tensor(x.writer, source, (1,) * missing + x.shape, x.dtype).arranged(axes)


def _aligned_constant(
    operand: Any, dtype: str, rank: int, axes: Axes
) -> tuple[np.ndarray, str | None]:
    stored = constant(operand)
    array = stored.array.astype(dtype)
    if axes != tuple(range(rank)) and array.ndim:
        array = array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(np.argsort(axes))
    return array, stored.name


def divide(a: Any, b: Any) -> Tensor:
    """Return ``a / b``, in floats."""
    dtype = result_dtype(a, b, 1.0)
    return elementwise("Div", a, b, dtypes=[dtype, dtype], out=dtype)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """Return `a` where `condition` is true and `b` elsewhere."""
    dtype = result_dtype(a, b)
    narrow = "int32" if dtype in NARROW else dtype
    chosen = elementwise("Where", condition, a, b, dtypes=["bool", narrow, narrow], out=narrow)
    return cast(chosen, dtype)
