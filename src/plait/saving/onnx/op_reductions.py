"""Sums, means, extrema and running totals along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from plait.saving.onnx.arrays import expand_dims, reshape, squeeze, unary
from plait.saving.onnx.op_elementwise import cast_to
from plait.saving.onnx.reductions import axes_of, mean, reduce, some, total, variance
from plait.saving.onnx.registry import Converter
from plait.saving.onnx.tensor import (
    Tensor,
    cast,
    elementwise,
    shape_of,
)


def _reduction(kind: str) -> Converter:
    return lambda x, axis=None, keepdims=False: reduce(kind, x, axis, keepdims)


def _extremum(kind: str) -> Converter:
    def apply(x: Tensor, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Tensor:
        made = cast(reduce(f"Reduce{kind}", x, axis, keepdims), x.dtype)
        return made if initial is None else cast(elementwise(kind, made, initial), x.dtype)

    return apply


def _prod(x: Tensor, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    return reduce("ReduceProd", x if dtype is None else cast_to(x, dtype), axis, keepdims)


def _std(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return unary("Sqrt", variance(x, axis, keepdims))


def _logsumexp(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    high = reduce("ReduceMax", x, axis, keepdims=True)
    summed = unary("Log", total(unary("Exp", x - high), axis, keepdims=True)) + high
    return summed if keepdims else squeeze(summed, axes_of(x, axis))


def _arg(kind: str) -> Converter:
    def apply(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        x = cast(x, "int32") if "float" not in x.dtype else x
        rank = x.ndim
        if axis is None:
            x, axis = reshape(x, [-1]), 0
        axis %= x.ndim
        source = x.writer.add(kind, x.value, axis=axis, keepdims=0)
        shape = (*x.shape[:axis], *x.shape[axis + 1 :])
        found = cast(Tensor(x.writer, source, shape, "int64"), "int32")
        if not keepdims:
            return found
        return expand_dims(found, axis if len(shape) else tuple(range(rank)))

    return apply


def _all(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    true = cast(cast(x, "bool"), "int32")
    return cast(reduce("ReduceMin", true, axis, keepdims), "bool")


def _count_nonzero(x: Tensor, axis: Any = None) -> Tensor:
    return total(cast(x, "bool"), axis)


def _cumsum(x: Tensor, axis: Any = None, dtype: Any = None) -> Tensor:
    x = x if dtype is None else cast_to(x, dtype)
    x = cast(x, "int32") if "float" not in x.dtype else x
    if axis is None:
        x, axis = reshape(x, [-1]), 0
    place = x.writer.constant(np.array(x.axes[axis % x.ndim], np.int64))
    return x.like(x.writer.add("CumSum", x.source, place))


def _average(x: Tensor, axis: Any = None, weights: Any = None) -> Tensor:
    if weights is None:
        return mean(x, axis)
    if len(shape_of(weights)) == 1 and x.ndim > 1 and isinstance(axis, int):
        weights = expand_dims(
            weights, tuple(item for item in range(x.ndim) if item != axis % x.ndim)
        )
    summed = total(x * weights, axis)
    spread = elementwise("Add", x * 0, weights)
    return summed / total(spread, axis)


TABLE: dict[str, Converter] = {
    **{name: _reduction(kind) for name, kind in {"sum": "ReduceSum"}.items()},
    **{
        name: _extremum(kind)
        for name, kind in {
            "amax": "Max",
            "amin": "Min",
            "max": "Max",
            "min": "Min",
        }.items()
    },
    "all": _all,
    "any": some,
    "argmax": _arg("ArgMax"),
    "argmin": _arg("ArgMin"),
    "average": _average,
    "count_nonzero": _count_nonzero,
    "cumsum": _cumsum,
    "logsumexp": _logsumexp,
    "mean": mean,
    "prod": _prod,
    "ptp": lambda x, axis=None, keepdims=False: (
        reduce("ReduceMax", x, axis, keepdims) - reduce("ReduceMin", x, axis, keepdims)
    ),
    "std": _std,
    "var": variance,
}
"""Name in `plait.ops` -> what it becomes."""
