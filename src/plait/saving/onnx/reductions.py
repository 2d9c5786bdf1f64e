"""Reductions and products of tensors of an ONNX graph, as NumPy has them."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from plait.graph.tensor import Shape
from plait.ops.arguments import broadcast
from plait.saving.onnx.arrays import unary
from plait.saving.onnx.tensor import (
    NARROW,
    Tensor,
    cast,
    materialize,
    result_dtype,
    shape_of,
    writer_of,
)

_SUMMED = NARROW | {"bool"}


def axes_of(x: Tensor, axis: Any) -> tuple[int, ...]:
    """Return ``axis=`` as sorted numbers from 0; None is all axes."""
    if axis is None:
        return tuple(range(x.ndim))
    given = (axis,) if isinstance(axis, int | np.integer) else axis
    return tuple(sorted({int(item) % x.ndim for item in given}))


def reduce(kind: str, x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Reduce axes with a node such as ``ReduceSum``, in any order of axes."""
    if x.dtype in _SUMMED:
        x = cast(x, "int32")
    axes = axes_of(x, axis)
    if not axes:
        return x
    places = x.writer.integers(*sorted(x.axes[item] for item in axes))
    source = x.writer.add(kind, x.source, places, keepdims=int(keepdims))
    if keepdims:
        shape = tuple(1 if item in axes else have for item, have in enumerate(x.shape))
        return Tensor(x.writer, source, shape, x.dtype, x.axes)
    left = [item for item in range(x.ndim) if item not in axes]
    ranks = sorted(x.axes[item] for item in left)
    order = tuple(ranks.index(x.axes[item]) for item in left)
    return Tensor(x.writer, source, tuple(x.shape[item] for item in left), x.dtype, order)


def mean(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the mean over axes, in floats."""
    return reduce("ReduceMean", _floating(x), axis, keepdims)


def variance(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the mean squared distance from the mean."""
    apart = _floating(x) - mean(x, axis, keepdims=True)
    return mean(apart * apart, axis, keepdims)


def _floating(x: Tensor) -> Tensor:
    return x if "float" in x.dtype else cast(x, "float32")


def total(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the sum over axes."""
    return reduce("ReduceSum", x, axis, keepdims)


def some(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return whether any entry along axes is true."""
    return cast(reduce("ReduceMax", cast(cast(x, "bool"), "int32"), axis, keepdims), "bool")


def softmax(x: Tensor, axis: Any = -1, log: bool = False) -> Tensor:
    """Return the softmax along one axis or several, or its logarithm."""
    x = _floating(x)
    axes = axes_of(x, axis)
    if len(axes) == 1:
        kind = "LogSoftmax" if log else "Softmax"
        return x.like(x.writer.add(kind, x.source, axis=x.axes[axes[0]]))
    shifted = x - reduce("ReduceMax", x, axes, keepdims=True)
    if log:
        return shifted - reduce("ReduceLogSumExp", shifted, axes, keepdims=True)
    raised = unary("Exp", shifted)
    return raised / total(raised, axes, keepdims=True)


def matmul(a: Any, b: Any) -> Tensor:
    """Return the product of matrices, as `jax.numpy.matmul`."""
    writer, dtype = writer_of([a, b]), result_dtype(a, b)
    used = "int32" if dtype in _SUMMED else dtype
    first, second = shape_of(a), shape_of(b)
    batch: Shape = ()
    if len(first) > 1 or len(second) > 1:
        batch = broadcast([first[:-2], second[:-2]]) or ()
    rows = first[-2:-1] if len(first) > 1 else ()
    columns = second[-1:] if len(second) > 1 else ()
    source = writer.add("MatMul", materialize(writer, a, used), materialize(writer, b, used))
    return cast(Tensor(writer, source, (*batch, *rows, *columns), used), dtype)


def einsum(equation: str, *operands: Any) -> Tensor:
    """Return the sum of products that an equation describes."""
    writer, dtype = writer_of(operands), result_dtype(*operands)
    equation = equation.replace(" ", "")
    inputs, _, output = equation.partition("->")
    letters: dict[str, int | None] = {}
    elided: Shape = ()
    for term, operand in zip(inputs.split(","), operands, strict=True):
        shape = shape_of(operand)
        before, dots, after = term.partition("...")
        middle = shape[len(before) : len(shape) - len(after)]
        elided = middle if dots and len(middle) >= len(elided) else elided
        for letter, have in [
            *zip(before, shape, strict=False),
            *zip(after[::-1], shape[::-1], strict=False),
        ]:
            letters[letter] = letters.get(letter) if have in (None, 1) else have
            letters[letter] = have if letters[letter] is None else letters[letter]
    if "->" not in equation:
        once = sorted(item for item in letters if inputs.count(item) == 1)
        output = ("..." if "..." in inputs else "") + "".join(once)
        equation = f"{inputs}->{output}"
    shape = ()
    before, dots, after = output.partition("...")
    shape = (
        *(letters[item] for item in before),
        *(elided if dots else ()),
        *(letters[item] for item in after),
    )
    values = [materialize(writer, operand, dtype) for operand in operands]
    return Tensor(writer, writer.add("Einsum", *values, equation=equation), shape, dtype)


def dot_general(
    a: Tensor, b: Tensor, contracted: tuple[int, int], batch: tuple[int, ...] = (0,)
) -> Tensor:
    """Return the products of two tensors summed along one axis of each, batch axes first."""
    letters = iter(string.ascii_lowercase)
    first = [next(letters) for _ in range(a.ndim)]
    second = [next(letters) for _ in range(b.ndim)]
    for axis in batch:
        second[axis] = first[axis]
    second[contracted[1]] = first[contracted[0]]
    output = [
        *(first[axis] for axis in batch),
        *(item for axis, item in enumerate(first) if axis not in (*batch, contracted[0])),
        *(item for axis, item in enumerate(second) if axis not in (*batch, contracted[1])),
    ]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(output)}", a, b)
