"""Picking, choosing and sorting entries."""

from __future__ import annotations

from typing import Any

import numpy as np

from plait.saving.onnx.arrays import (
    as_tensor,
    expand_dims,
    gather,
    index_axis,
    moveaxis,
    one_hot,
    reshape,
    slice_axis,
)
from plait.saving.onnx.reductions import reduce
from plait.saving.onnx.registry import Converter, refuse
from plait.saving.onnx.tensor import (
    Tensor,
    cast,
    shape_of,
    where,
)


def _where(condition: Any, x1: Any = None, x2: Any = None) -> Tensor:
    if x1 is None or x2 is None:
        refuse("it returns places, whose number depends on values.", fix="give x1 and x2")
    return where(condition, x1, x2)


def _get_item(x: Any, key: Any) -> Tensor:
    keys = list(key) if isinstance(key, tuple) else [key]
    x = as_tensor(x, keys)
    used = sum(1 for item in keys if item is not None and item is not Ellipsis)
    if Ellipsis in [item for item in keys if not isinstance(item, Tensor | np.ndarray)]:
        place = next(index for index, item in enumerate(keys) if item is Ellipsis)
        keys[place : place + 1] = [slice(None)] * (x.ndim - used)
    picked = [item for item in keys if not isinstance(item, slice | int) and item is not None]
    if len(picked) > 1:
        refuse("it picks with several arrays at once.", fix="ops.take along one axis")
    axis = 0
    for item in keys:
        if item is None:
            x, axis = expand_dims(x, axis), axis + 1
        elif isinstance(item, slice):
            start, stop, step = (
                None if part is None else int(part) for part in (item.start, item.stop, item.step)
            )
            x, axis = slice_axis(x, axis, start, stop, step), axis + 1
        elif isinstance(item, int | np.integer) and not isinstance(item, bool):
            x = index_axis(x, axis, int(item))
        else:
            indices = item if isinstance(item, Tensor) else np.asarray(item)
            if "int" not in str(indices.dtype):
                refuse("it picks with a mask, so the size of the result depends on values.")
            x, axis = gather(x, indices, axis), axis + len(shape_of(indices))
    return x


def _take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    if axis is None:
        x, axis = reshape(as_tensor(x, [indices]), [-1]), 0
    numbers = indices
    if isinstance(indices, Tensor) and "int" not in indices.dtype:
        numbers = cast(indices, "int32")
    return gather(x, numbers, axis)


def _take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    x = as_tensor(x, [indices])
    numbers = cast(as_tensor(indices, [x]), "int64")
    if axis is None:
        x, numbers, axis = reshape(x, [-1]), reshape(numbers, [-1]), 0
    axis %= x.ndim
    fits = all(
        a == b
        for place, (a, b) in enumerate(zip(x.shape, numbers.shape, strict=True))
        if place != axis
    )
    if not fits:
        refuse("its tensor and its indices have different sizes beside the axis.")
    source = x.writer.add("GatherElements", x.value, numbers.value, axis=axis)
    return Tensor(x.writer, source, numbers.shape, x.dtype)


def _one_hot(
    x: Tensor, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Tensor:
    return one_hot(x, num_classes, dtype or "float32", axis)


def _multi_hot(
    inputs: Tensor, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Tensor:
    hot = one_hot(cast(inputs, "int32"), num_classes, dtype or "float32", axis)
    return cast(reduce("ReduceMax", hot, min(inputs.ndim - 1, 1)), hot.dtype)


def _top_k(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    values, places = x.writer.add("TopK", x.value, x.writer.integers(int(k)), count=2)
    shape = (*x.shape[:-1], int(k))
    found = cast(Tensor(x.writer, places, shape, "int64"), "int32")
    return Tensor(x.writer, values, shape, x.dtype), found


def _sorted(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    moved = moveaxis(x, axis, -1)
    count = moved.shape[-1]
    if count is None:
        refuse(f"axis {axis} of its input has no known size.", fix="give it in Input(shape=...)")
    values, places = x.writer.add("TopK", moved.value, x.writer.integers(count), count=2, largest=0)
    found = Tensor(x.writer, places, moved.shape, "int64")
    made = Tensor(x.writer, values, moved.shape, x.dtype)
    return moveaxis(made, -1, axis), moveaxis(cast(found, "int32"), -1, axis)


def _slice(inputs: Tensor, start_indices: Any, shape: Any) -> Tensor:
    if isinstance(start_indices, Tensor):
        refuse("it begins where a tensor says.")
    for axis, (start, count) in enumerate(zip(start_indices, shape, strict=True)):
        stop = None if count in (-1, None) else int(start) + int(count)
        inputs = slice_axis(inputs, axis, int(start), stop)
    return inputs


def _select(condlist: list[Any], choicelist: list[Any], default: Any = 0) -> Tensor:
    result = default
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        result = where(condition, choice, result)
    return result


TABLE: dict[str, Converter] = {
    "argsort": lambda x, axis=-1: _sorted(x, axis)[1],
    "get_item": _get_item,
    "multi_hot": _multi_hot,
    "one_hot": _one_hot,
    "select": _select,
    "slice": _slice,
    "sort": lambda x, axis=-1: _sorted(x, axis)[0],
    "take": _take,
    "take_along_axis": _take_along_axis,
    "top_k": _top_k,
    "where": _where,
}
"""Name in `plait.ops` -> what it becomes."""
