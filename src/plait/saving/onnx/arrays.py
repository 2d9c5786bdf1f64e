"""What converters compute with: NumPy's functions on tensors of an ONNX graph.

Sizes that are not known stay open: they are read from the tensor when the file runs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from plait.graph.tensor import Shape
from plait.saving.onnx.tensor import (
    NARROW,
    Constant,
    Tensor,
    cast,
    constant,
    elementwise,
    materialize,
    result_dtype,
    shape_of,
    wide,
    writer_of,
)
from plait.saving.onnx.writer import Writer, ir

_END = np.iinfo(np.int64).max

Size = Any
"""A size: a number, or a vector of one number if it is known only when the file runs."""


def as_tensor(x: Any, others: Sequence[Any]) -> Tensor:
    """Return a tensor for an operand that may be a constant, in the graph of `others`."""
    if isinstance(x, Tensor):
        return x
    stored, writer = constant(x), writer_of(others)
    return Tensor(writer, writer.constant(stored.array, stored.name), stored.shape, stored.dtype)


def unary(kind: str, x: Tensor, dtype: str | None = None, **attributes: Any) -> Tensor:
    """Apply a node of one input that keeps the shape; whole numbers become floats."""
    wanted = dtype or ("float32" if "float" not in x.dtype else x.dtype)
    x = cast(x, wanted)
    return x.like(x.writer.add(kind, x.source, **attributes))


def equal(a: Any, b: Any) -> Tensor:
    """Return where two operands are equal."""
    return elementwise("Equal", a, b, out="bool")


def greater(a: Any, b: Any) -> Tensor:
    """Return where `a` is greater than `b`."""
    return elementwise("Greater", a, b, out="bool")


def logical(kind: str, *operands: Any) -> Tensor:
    """Return ``And``, ``Or``, ``Xor`` or ``Not`` of operands that are true where not 0."""
    return elementwise(kind, *operands, dtypes=["bool"] * len(operands), out="bool")


def maximum(a: Any, b: Any) -> Tensor:
    """Return the larger one, element by element."""
    return elementwise("Max", a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """Return the smaller one, element by element."""
    return elementwise("Min", a, b)


def clip(x: Any, low: Any, high: Any) -> Any:
    """Keep `x` between two limits, either of which may be None."""
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


# -- sizes and shapes -----------------------------------------------------------------------


def size(x: Tensor, axis: int) -> Size:
    """Return the size of an axis."""
    known = x.shape[axis]
    if known is not None:
        return known
    place = x.axes[axis]
    shape = x.writer.add("Shape", x.source, start=place, end=place + 1)
    return Tensor(x.writer, shape, (1,), "int64")


def sizes(x: Tensor) -> list[Size]:
    """Return the sizes of all axes."""
    return [size(x, axis) for axis in range(x.ndim)]


def known(sizes: Sequence[Size]) -> Shape:
    """Return the sizes with None for those that are known only when the file runs."""
    return tuple(item if isinstance(item, int) else None for item in sizes)


def shape_value(writer: Writer, sizes: Sequence[Size]) -> ir.Value:
    """Return the vector of sizes."""
    if all(isinstance(item, int) for item in sizes):
        return writer.integers(*sizes)
    parts = [
        writer.integers(item) if isinstance(item, int) else cast(item, "int64").value
        for item in sizes
    ]
    return writer.add("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]


def product(sizes: Sequence[Size]) -> Size:
    """Return the product of sizes."""
    return functools.reduce(lambda a, b: a * b, sizes, 1)


def reshape(x: Tensor, sizes: Sequence[Size], shape: Shape | None = None) -> Tensor:
    """Return `x` in another shape; one size may be -1.

    Args:
        x: a tensor.
        sizes: the sizes.
        shape: what is known of them; default: those that are numbers.
    """
    wanted = list(sizes)
    if -1 in [item for item in wanted if isinstance(item, int)] and None not in x.shape:
        rest = math.prod(item for item in wanted if item != -1)
        wanted = [math.prod(x.shape) // rest if item == -1 else item for item in wanted]  # type: ignore[arg-type]
    result = shape or tuple(
        item if isinstance(item, int) and item != -1 else None for item in wanted
    )
    open_ = [index for index, item in enumerate(wanted) if not isinstance(item, int)]
    if len(open_) == 1 and -1 not in [item for item in wanted if isinstance(item, int)]:
        wanted[open_[0]] = -1
    source = x.writer.add("Reshape", x.value, shape_value(x.writer, wanted))
    return Tensor(x.writer, source, result, x.dtype)


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """Return `x` with axes of size 1 put in."""
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    if not isinstance(x, Tensor):
        stored = constant(x)
        return Constant(np.expand_dims(stored.array, given), stored.name)
    rank = x.ndim + len(given)
    places = sorted(item % rank for item in given)
    if not places:
        return x
    rest = iter(x.shape)
    shape = tuple(1 if place in places else next(rest) for place in range(rank))
    source = x.writer.add("Unsqueeze", x.value, x.writer.integers(*places))
    return Tensor(x.writer, source, shape, x.dtype)


def squeeze(x: Tensor, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return `x` without axes of size 1."""
    if axis is None:
        axis = [place for place, item in enumerate(x.shape) if item == 1]
    places = sorted({item % x.ndim for item in ((axis,) if isinstance(axis, int) else axis)})
    if not places:
        return x
    shape = tuple(item for place, item in enumerate(x.shape) if place not in places)
    source = x.writer.add("Squeeze", x.value, x.writer.integers(*places))
    return Tensor(x.writer, source, shape, x.dtype)


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Return `x` with axes moved to other places."""
    rank = len(shape_of(x))
    left = [item % rank for item in ((source,) if isinstance(source, int) else source)]
    right = [
        item % rank for item in ((destination,) if isinstance(destination, int) else destination)
    ]
    order = [axis for axis in range(rank) if axis not in left]
    for place, axis in sorted(zip(right, left, strict=True)):
        order.insert(place, axis)
    return x.transpose(order)


def flip(x: Tensor, axis: int | Sequence[int]) -> Tensor:
    """Return `x` in reverse along axes."""
    for item in (axis,) if isinstance(axis, int) else axis:
        x = slice_axis(x, item, None, None, -1)
    return x


def slice_axis(
    x: Tensor, axis: int, start: int | None, stop: int | None, step: int | None = None
) -> Tensor:
    """Return ``x[start:stop:step]`` along an axis."""
    axis, step = axis % x.ndim, 1 if step is None else step
    have = x.shape[axis]
    length = None if have is None else len(range(*slice(start, stop, step).indices(have)))
    if (start, stop, step) in ((None, None, 1), (0, None, 1)):
        return x
    ends = (0 if start is None else start, _END if stop is None else stop)
    if step < 0:
        ends = (_END if start is None else start, -_END if stop is None else stop)
    writer = x.writer
    source = writer.add(
        "Slice", x.source, writer.integers(ends[0]), writer.integers(ends[1]),
        writer.integers(x.axes[axis]), writer.integers(step),
    )  # fmt: skip
    shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
    return Tensor(writer, source, shape, x.dtype, x.axes)


def index_axis(x: Tensor, axis: int, index: int) -> Tensor:
    """Return ``x[index]`` along an axis, which goes."""
    axis %= x.ndim
    source = x.writer.add(
        "Gather", x.value, x.writer.constant(np.array(index, np.int64)), axis=axis
    )
    return Tensor(x.writer, source, (*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype)


def gather(x: Any, indices: Any, axis: int = 0) -> Tensor:
    """Return the entries of `x` along an axis that `indices` number."""
    writer = writer_of([x, indices])
    shape = shape_of(x)
    axis %= len(shape)
    dtype = x.dtype if isinstance(x, Tensor) else constant(x).dtype
    numbers = materialize(writer, indices, "int32" if _dtype_of(indices) != "int64" else "int64")
    source = writer.add("Gather", materialize(writer, x, dtype), numbers, axis=axis)
    return Tensor(writer, source, (*shape[:axis], *shape_of(indices), *shape[axis + 1 :]), dtype)


def _dtype_of(x: Any) -> str:
    return x.dtype if isinstance(x, Tensor) else constant(x).dtype


def concatenate(xs: Sequence[Any], axis: int = -1) -> Tensor:
    """Join tensors along an axis."""
    writer, dtype = writer_of(xs), result_dtype(*xs)
    rank = len(shape_of(xs[0]))
    axis %= rank
    tensors = [cast(x, dtype) if isinstance(x, Tensor) else constant(x).cast(dtype) for x in xs]
    orders = [x.axes for x in tensors if isinstance(x, Tensor)]
    order = orders[0] if len(set(orders)) == 1 else tuple(range(rank))
    values = [
        x.arranged(order)
        if isinstance(x, Tensor)
        else writer.constant(x.array.transpose(np.argsort(order)), x.name)
        for x in tensors
    ]
    shape: list[int | None] = []
    for place, found in enumerate(zip(*(x.shape for x in tensors), strict=True)):
        if place == axis:
            shape.append(None if None in found else sum(found))  # type: ignore[arg-type]
        else:
            shape.append(next((item for item in found if item is not None), None))
    source = writer.add("Concat", *values, axis=order[axis])
    return Tensor(writer, source, tuple(shape), dtype, order)


def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors along a new axis."""
    axis %= len(shape_of(xs[0])) + 1
    return concatenate([expand_dims(x, axis) for x in xs], axis)


def broadcast_to(x: Any, wanted: Sequence[Size], writer: Writer | None = None) -> Tensor:
    """Return `x` repeated to a shape."""
    writer = writer or writer_of([x, *wanted])
    dtype = _dtype_of(x)
    source = writer.add("Expand", materialize(writer, x, dtype), shape_value(writer, wanted))
    return Tensor(writer, source, known(wanted), dtype)


def repeat(x: Tensor, count: int, axis: int) -> Tensor:
    """Return `x` with each entry along an axis repeated."""
    axis %= x.ndim
    if count == 1:
        return x
    parts = sizes(x)
    spread = broadcast_to(expand_dims(x, axis + 1), [*parts[: axis + 1], count, *parts[axis + 1 :]])
    return reshape(spread, [*parts[:axis], parts[axis] * count, *parts[axis + 1 :]])


def tile(x: Tensor, repeats: Sequence[int]) -> Tensor:
    """Return `x` repeated as a whole."""
    repeats = [1] * (x.ndim - len(repeats)) + list(repeats)
    x = expand_dims(x, tuple(range(len(repeats) - x.ndim)))
    source = x.writer.add("Tile", x.value, x.writer.integers(*repeats))
    shape = tuple(
        None if have is None else have * times for have, times in zip(x.shape, repeats, strict=True)
    )
    return Tensor(x.writer, source, shape, x.dtype)


def pad(x: Tensor, pairs: Sequence[Sequence[int]], fill: Any = 0, mode: str = "constant") -> Tensor:
    """Add entries before and after those of each axis."""
    if not any(map(any, pairs)):
        return x
    before, after = [0] * x.ndim, [0] * x.ndim
    for place, (left, right) in zip(x.axes, pairs, strict=True):
        before[place], after[place] = int(left), int(right)
    writer = x.writer
    inputs = [writer.integers(*before, *after)]
    narrow = cast(x, "int32") if x.dtype in NARROW or x.dtype == "bool" else x
    if mode == "constant":
        inputs.append(writer.constant(np.array(fill, narrow.dtype)))
    source = writer.add("Pad", narrow.source, *inputs, mode=mode)
    shape = tuple(
        None if have is None else have + left + right
        for have, (left, right) in zip(x.shape, pairs, strict=True)
    )
    return cast(Tensor(writer, source, shape, narrow.dtype, x.axes), x.dtype)


def arange(count: Size, writer: Writer) -> Any:
    """Return 0, 1, ... below a size, as int32."""
    if isinstance(count, int):
        return Constant(np.arange(count, dtype=np.int32))
    stop = cast(squeeze(count, 0), "int32").value
    numbers = [writer.constant(np.array(number, np.int32)) for number in (0, 1)]
    return Tensor(writer, writer.add("Range", numbers[0], stop, numbers[1]), (None,), "int32")


def one_hot(x: Any, count: int, dtype: str, axis: int = -1) -> Tensor:
    """Return vectors of 0 with a 1 at the place that each number names; none if it is outside."""
    axis %= len(shape_of(x)) + 1
    shape = [1] * (len(shape_of(x)) + 1)
    shape[axis] = count
    places = Constant(np.arange(count, dtype=np.int32).reshape(shape))
    return cast(equal(expand_dims(x, axis), places), wide(dtype))
