"""Other shapes and other orders of axes; tensors joined and taken apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from plait.ops.shaping import axis_groups
from plait.saving.onnx.arrays import (
    as_tensor,
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    index_axis,
    moveaxis,
    pad,
    product,
    repeat,
    reshape,
    size,
    sizes,
    slice_axis,
    squeeze,
    stack,
    tile,
)
from plait.saving.onnx.op_elementwise import floor_divide
from plait.saving.onnx.reductions import axes_of
from plait.saving.onnx.registry import Converter, refuse
from plait.saving.onnx.tensor import (
    Tensor,
    cast,
    constant,
    shape_of,
    where,
    wide,
)


def _reshape(x: Tensor, newshape: Any) -> Tensor:
    wanted = [newshape] if isinstance(newshape, int) else list(newshape)
    wanted = [-1 if item is None else item for item in wanted]
    if wanted.count(-1) > 1:
        # A size that is not known and stands where it stood before is that size.
        wanted = [
            size(x, axis) if item == -1 and axis < x.ndim and x.shape[axis] is None else item
            for axis, item in enumerate(wanted)
        ]
    return reshape(x, wanted)


def _transpose(x: Tensor, axes: Any = None) -> Tensor:
    return x.transpose(range(x.ndim)[::-1] if axes is None else axes)


def _swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return x.transpose(order)


def _split(x: Tensor, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    if isinstance(indices_or_sections, int):
        whole = x.shape[axis]
        if whole is None:
            refuse(f"axis {axis} of its input has no known size.", fix="give the places to split")
        part = whole // indices_or_sections
        places = [part * index for index in range(1, indices_or_sections)]
    else:
        places = [int(place) for place in np.asarray(indices_or_sections)]
    ends = [None, *places, None]
    return [slice_axis(x, axis, start, stop) for start, stop in itertools.pairwise(ends)]


def _unstack(x: Tensor, num: int | None = None, axis: int = 0) -> list[Tensor]:
    count = num if num is not None else x.shape[axis]
    assert count is not None
    return [index_axis(x, axis, index) for index in range(count)]


def _flip(x: Tensor, axis: Any = None) -> Tensor:
    return flip(x, axes_of(x, axis))


def _roll(x: Tensor, shift: int, axis: Any = None) -> Tensor:
    if axis is None or not isinstance(axis, int) or not isinstance(shift, int):
        refuse("it rolls more than one axis.", fix="ops.roll(x, shift, axis) for each axis")
    whole = x.shape[axis]
    shift = shift if whole is None else shift % max(whole, 1)
    if not shift:
        return x
    return concatenate([slice_axis(x, axis, -shift, None), slice_axis(x, axis, 0, -shift)], axis)


def _repeat(x: Tensor, repeats: Any, axis: int | None = None) -> Tensor:
    if not isinstance(repeats, int):
        refuse("it repeats entries a different number of times.")
    return repeat(reshape(x, [-1]), repeats, 0) if axis is None else repeat(x, repeats, axis)


def _array_split(x: Tensor, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    whole = x.shape[axis]
    if not isinstance(indices_or_sections, int) or whole is None:
        return _split(x, indices_or_sections, axis)
    parts = np.array_split(np.arange(whole), indices_or_sections)
    return _split(x, np.cumsum([len(part) for part in parts])[:-1], axis)


def _hstack(xs: list[Any]) -> Tensor:
    return concatenate(xs, 0 if len(shape_of(xs[0])) == 1 else 1)


def _vstack(xs: list[Any]) -> Tensor:
    return concatenate([expand_dims(x, 0) if len(shape_of(x)) == 1 else x for x in xs], 0)


def _append(x1: Any, x2: Any, axis: int | None = None) -> Tensor:
    if axis is not None:
        return concatenate([x1, x2], axis)
    return concatenate([reshape(as_tensor(x, [x1, x2]), [-1]) for x in (x1, x2)], 0)


def _blocks(last: str, first: str) -> Converter:
    def apply(x: Tensor, block_size: int, data_format: str = "channels_last") -> Tensor:
        pattern = last if data_format == "channels_last" else first
        return _rearrange(x, pattern, p=block_size, q=block_size)

    return apply


def _tile(x: Tensor, repeats: Any) -> Tensor:
    return tile(x, [repeats] if isinstance(repeats, int) else list(repeats))


def _pad(x: Tensor, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Tensor:
    pairs = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    if mode not in ("constant", "reflect", "edge"):
        refuse(f"it pads in mode {mode!r}.", fix="mode='constant', 'reflect' or 'edge'")
    return pad(x, pairs, 0 if constant_values is None else constant_values, mode)


def _broadcast_to(x: Any, shape: Any) -> Tensor:
    x = as_tensor(x, [x])
    missing = len(shape) - x.ndim
    wanted = [
        size(x, axis - missing) if item is None or item == -1 else item
        for axis, item in enumerate(shape)
    ]
    return broadcast_to(x, wanted)


def _rearrange(tensor: Tensor, pattern: str, **axes_lengths: int) -> Tensor:
    source, _, target = pattern.partition("->")
    before, after = axis_groups(source), axis_groups(target)
    known: dict[str, Any] = dict(axes_lengths)
    for axis, group in enumerate(before):
        unknown = [name for name in group if name not in known]
        if not unknown:
            continue
        others = math.prod(known[name] for name in group if name != unknown[0])
        whole = size(tensor, axis)
        if isinstance(whole, int):
            known[unknown[0]] = whole // others
        else:
            known[unknown[0]] = whole if others == 1 else floor_divide(whole, others)
    names = [name for group in before for name in group]
    split = reshape(tensor, [known[name] for name in names])
    moved = split.transpose([names.index(name) for group in after for name in group])
    return reshape(moved, [product([known[name] for name in group]) for group in after])


def _triangle(keep: Callable[..., np.ndarray]) -> Converter:
    def apply(x: Tensor, k: int = 0) -> Tensor:
        rows, columns = x.shape[-2:]
        if rows is None or columns is None:
            refuse("the sizes of its matrices are not known.", fix="give them in Input(shape=...)")
        return cast(where(keep(np.ones((rows, columns), bool), k), x, 0), x.dtype)

    return apply


def _diff(a: Tensor, n: int = 1, axis: int = -1) -> Tensor:
    for _ in range(n):
        a = slice_axis(a, axis, 1, None) - slice_axis(a, axis, 0, -1)
    return a


def _filled(x: Tensor, value: Any, dtype: Any) -> Tensor:
    fill = constant(np.asarray(value, wide(dtype or x.dtype)))
    return broadcast_to(fill, sizes(x), x.writer)


TABLE: dict[str, Converter] = {
    "append": _append,
    "array_split": _array_split,
    "broadcast_to": _broadcast_to,
    "concatenate": lambda xs, axis=0: concatenate(xs, axis),
    "depth_to_space": _blocks(
        "n h w (p q c) -> n (h p) (w q) c", "n (c p q) h w -> n c (h p) (w q)"
    ),
    "diff": _diff,
    "expand_dims": expand_dims,
    "flip": _flip,
    "fliplr": lambda x: flip(x, 1),
    "flipud": lambda x: flip(x, 0),
    "full_like": lambda x, fill_value, dtype=None: _filled(x, fill_value, dtype),
    "hstack": _hstack,
    "moveaxis": moveaxis,
    "ones_like": lambda x, dtype=None: _filled(x, 1, dtype),
    "pad": _pad,
    "ravel": lambda x: reshape(x, [-1]),
    "rearrange": _rearrange,
    "repeat": _repeat,
    "reshape": _reshape,
    "roll": _roll,
    "space_to_depth": _blocks(
        "n (h p) (w q) c -> n h w (p q c)", "n c (h p) (w q) -> n (c p q) h w"
    ),
    "split": _split,
    "squeeze": squeeze,
    "stack": stack,
    "swapaxes": _swapaxes,
    "tile": _tile,
    "transpose": _transpose,
    "tril": _triangle(np.tril),
    "triu": _triangle(np.triu),
    "unstack": _unstack,
    "vstack": _vstack,
    "zeros_like": lambda x, dtype=None: _filled(x, 0, dtype),
}
"""Name in `plait.ops` -> what it becomes."""
