"""What the functions of `plait.ops`, and operators on symbolic tensors, become in ONNX."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait.errors import ExportError
from plait.ops.operation import Op
from plait.ops.shaping import axis_groups
from plait.saving.onnx import activations, arrays
from plait.saving.onnx.arrays import (
    axes_of,
    broadcast_to,
    clip,
    concatenate,
    einsum,
    equal,
    expand_dims,
    flip,
    gather,
    greater,
    index_axis,
    logical,
    matmul,
    mean,
    moveaxis,
    one_hot,
    pad,
    reduce,
    repeat,
    reshape,
    size,
    sizes,
    slice_axis,
    softmax,
    squeeze,
    stack,
    tile,
    total,
    unary,
    variance,
)
from plait.saving.onnx.basic import resize
from plait.saving.onnx.convolution import conv, conv_transpose, depthwise_kernel, pool
from plait.saving.onnx.registry import onnx_converter, refuse
from plait.saving.onnx.tensor import (
    Tensor,
    cast,
    constant,
    divide,
    elementwise,
    result_dtype,
    shape_of,
    where,
    wide,
    writer_of,
)

Operation = Callable[..., Any]


@onnx_converter(Op)
def convert_operation(layer: Op, *args: Any, **kwargs: Any) -> Any:
    """Write a function of `plait.ops`."""
    if layer.function not in OPERATIONS:
        refuse(f"there is no converter for ops.{layer.function}.")
    try:
        return OPERATIONS[layer.function](*args, **kwargs)
    except TypeError as error:
        raise ExportError(f"it is called in a way that has no converter: {error}.") from error


def _tensor(x: Any, like: Any) -> Tensor:
    """Return a tensor for an operand that may be a constant."""
    if isinstance(x, Tensor):
        return x
    stored = constant(x)
    writer = writer_of(like)
    return Tensor(writer, writer.constant(stored.array, stored.name), stored.shape, stored.dtype)


# -- element by element ---------------------------------------------------------------------


def _floats(kind: str) -> Operation:
    return lambda x: unary(kind, x)


def _plain(kind: str) -> Operation:
    return lambda x: elementwise(kind, x)


def _rounding(kind: str) -> Operation:
    return lambda x: unary(kind, x) if "float" in x.dtype else cast(x, "float32")


def _binary(kind: str) -> Operation:
    return lambda x1, x2: elementwise(kind, x1, x2)


def _comparison(kind: str) -> Operation:
    return lambda x1, x2: elementwise(kind, x1, x2, out="bool")


def _logical(kind: str) -> Operation:
    return lambda x1, x2: logical(kind, x1, x2)


def _bitwise(kind: str) -> Operation:
    def apply(x: Any, y: Any) -> Tensor:
        if result_dtype(x, y) == "bool":
            return logical(kind, x, y)
        return elementwise(f"Bitwise{kind}", x, y)

    return apply


def _bitwise_not(x: Tensor) -> Tensor:
    return logical("Not", x) if x.dtype == "bool" else elementwise("BitwiseNot", x)


def _reciprocal(x: Tensor) -> Tensor:
    return 1.0 / x


def _square(x: Tensor) -> Tensor:
    return x * x


def _floor_divide(x1: Any, x2: Any) -> Tensor:
    dtype = result_dtype(x1, x2)
    if "float" in dtype:
        return unary("Floor", divide(x1, x2))
    quotient = elementwise("Div", x1, x2)  # towards 0
    rest = elementwise("Sub", x1, quotient * x2)
    apart = logical("Xor", greater(0, rest), greater(0, elementwise("Add", x2, rest * 0)))
    down = logical("And", logical("Not", equal(rest, 0)), apart)
    return cast(quotient - cast(down, dtype), dtype)


def _mod(x1: Any, x2: Any) -> Tensor:
    if "float" in result_dtype(x1, x2):
        rest = elementwise("Mod", x1, x2, fmod=1)
        apart = logical("Xor", greater(0.0, rest), greater(0.0, rest * 0.0 + x2))
        return where(logical("And", logical("Not", equal(rest, 0.0)), apart), rest + x2, rest)
    return elementwise("Mod", x1, x2)


def _divide_no_nan(x1: Any, x2: Any) -> Tensor:
    zero = equal(x2, 0) if isinstance(x2, Tensor) else constant(constant(x2).array == 0)
    return where(zero, 0.0, divide(x1, where(zero, 1, x2) if isinstance(zero, Tensor) else x2))


def _power(x1: Any, x2: Any) -> Tensor:
    dtype = result_dtype(x1, x2)
    return elementwise("Pow", x1, x2, dtypes=[dtype, dtype], out=dtype)


def _round(x: Tensor, decimals: int = 0) -> Tensor:
    if "float" not in x.dtype:
        return x if decimals >= 0 else refuse("it rounds whole numbers to tens.")
    if not decimals:
        return unary("Round", x)
    factor = 10.0**decimals
    return unary("Round", x * factor) / factor


def _clip(x: Tensor, x_min: Any, x_max: Any) -> Tensor:
    return clip(cast(x, "int32") if x.dtype == "bool" else x, x_min, x_max)


def _isfinite(x: Tensor) -> Tensor:
    if "float" not in x.dtype:
        return equal(x, x)
    return logical("Not", logical("Or", _isinf(x), _isnan(x)))


def _isnan(x: Tensor) -> Tensor:
    return Tensor(x.writer, x.writer.add("IsNaN", x.source), x.shape, "bool", x.axes)


def _isinf(x: Tensor) -> Tensor:
    return Tensor(x.writer, x.writer.add("IsInf", x.source), x.shape, "bool", x.axes)


def _nan_to_num(x: Tensor, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    if "float" not in x.dtype:
        return x
    limits = np.finfo(x.dtype)
    x = where(_isnan(x), float(nan), x)
    x = where(equal(x, math.inf), float(limits.max if posinf is None else posinf), x)
    return where(equal(x, -math.inf), float(limits.min if neginf is None else neginf), x)


def _logaddexp(x1: Any, x2: Any) -> Tensor:
    high, low = elementwise("Max", x1, x2), elementwise("Min", x1, x2)
    return high + activations.log1p(unary("Exp", low - high))


def _isclose(
    x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    if equal_nan:
        refuse("it counts NaN as close to NaN.", fix="equal_nan=False")
    distance = unary("Abs", elementwise("Sub", x1, x2))
    allowed = elementwise("Abs", x2) if isinstance(x2, Tensor) else np.abs(constant(x2).array)
    near = elementwise("LessOrEqual", distance, allowed * rtol + atol, out="bool")
    return logical("Or", near, equal(x1, x2))


def _arctan2(x1: Any, x2: Any) -> Tensor:
    x1, x2 = _tensor(x1, [x1, x2]), _tensor(x2, [x1, x2])
    side = where(greater(0.0, x1), -math.pi, math.pi)
    angle = unary("Atan", divide(x1, where(equal(x2, 0), 1.0, x2)))
    turned = angle + where(greater(0, x2), side, 0.0)
    upright = where(equal(x1, 0), 0.0, side / 2)
    return where(equal(x2, 0), upright, turned)


def _cbrt(x: Tensor) -> Tensor:
    return elementwise("Sign", x) * _power(unary("Abs", x), 1 / 3)


def _sinc(x: Tensor) -> Tensor:
    turned = x * math.pi
    none = equal(x, 0)
    return where(none, 1.0, unary("Sin", turned) / where(none, 1.0, turned))


def _heaviside(x1: Any, x2: Any) -> Tensor:
    sign = where(greater(x1, 0), 1.0, 0.0)
    return where(equal(x1, 0), x2, sign)


def _where(condition: Any, x1: Any = None, x2: Any = None) -> Tensor:
    if x1 is None or x2 is None:
        refuse("it returns places, whose number depends on values.", fix="give x1 and x2")
    return where(condition, x1, x2)


def _cast(x: Tensor, dtype: Any) -> Tensor:
    return cast(x, jax.dtypes.canonicalize_dtype(jnp.dtype(dtype)))


# -- reductions -----------------------------------------------------------------------------


def _reduction(kind: str) -> Operation:
    return lambda x, axis=None, keepdims=False: reduce(kind, x, axis, keepdims)


def _extremum(kind: str) -> Operation:
    def apply(x: Tensor, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Tensor:
        made = cast(reduce(f"Reduce{kind}", x, axis, keepdims), x.dtype)
        return made if initial is None else cast(elementwise(kind, made, initial), x.dtype)

    return apply


def _prod(x: Tensor, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    return reduce("ReduceProd", x if dtype is None else _cast(x, dtype), axis, keepdims)


def _std(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return unary("Sqrt", variance(x, axis, keepdims))


def _logsumexp(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    high = reduce("ReduceMax", x, axis, keepdims=True)
    summed = unary("Log", total(unary("Exp", x - high), axis, keepdims=True)) + high
    return summed if keepdims else squeeze(summed, axes_of(x, axis))


def _arg(kind: str) -> Operation:
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


def _any(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return arrays.some(x, axis, keepdims)


def _all(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    true = cast(cast(x, "bool"), "int32")
    return cast(reduce("ReduceMin", true, axis, keepdims), "bool")


def _count_nonzero(x: Tensor, axis: Any = None) -> Tensor:
    return total(cast(x, "bool"), axis)


def _cumsum(x: Tensor, axis: Any = None, dtype: Any = None) -> Tensor:
    x = x if dtype is None else _cast(x, dtype)
    x = cast(x, "int32") if "float" not in x.dtype else x
    if axis is None:
        x, axis = reshape(x, [-1]), 0
    place = x.writer.constant(np.array(x.axes[axis % x.ndim], np.int64))
    return x.like(x.writer.add("CumSum", x.source, place))


def _norm(x: Tensor, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    axes = axes_of(x, axis)
    if ord not in (None, 2, "fro", "euclidean") or (ord == 2 and len(axes) > 1):
        if ord == 1 and len(axes) == 1:
            return total(unary("Abs", x), axes, keepdims)
        refuse(f"it is the norm of order {ord!r}.", fix="ord=2, or a sum of your own")
    x = x if "float" in x.dtype else cast(x, "float32")
    return unary("Sqrt", total(x * x, axes, keepdims))


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


# -- other shapes ---------------------------------------------------------------------------


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
    return concatenate([reshape(_tensor(x, [x1, x2]), [-1]) for x in (x1, x2)], 0)


def _blocks(last: str, first: str) -> Operation:
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
    x = _tensor(x, [x])
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
            known[unknown[0]] = whole if others == 1 else _floor_divide(whole, others)
    names = [name for group in before for name in group]
    split = reshape(tensor, [known[name] for name in names])
    moved = split.transpose([names.index(name) for group in after for name in group])
    return reshape(moved, [arrays.product([known[name] for name in group]) for group in after])


def _triangle(keep: Callable[..., np.ndarray]) -> Operation:
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


# -- picking --------------------------------------------------------------------------------


def _get_item(x: Any, key: Any) -> Tensor:
    keys = list(key) if isinstance(key, tuple) else [key]
    x = _tensor(x, keys)
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
        x, axis = reshape(_tensor(x, [indices]), [-1]), 0
    numbers = indices
    if isinstance(indices, Tensor) and "int" not in indices.dtype:
        numbers = cast(indices, "int32")
    return gather(x, numbers, axis)


def _take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    x = _tensor(x, [indices])
    numbers = cast(_tensor(indices, [x]), "int64")
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


def _filled(x: Tensor, value: Any, dtype: Any) -> Tensor:
    fill = constant(np.asarray(value, wide(dtype or x.dtype)))
    return broadcast_to(fill, sizes(x), x.writer)


# -- products and networks ------------------------------------------------------------------


def _dot(x1: Any, x2: Any) -> Tensor:
    if len(shape_of(x1)) == 0 or len(shape_of(x2)) == 0:
        return elementwise("Mul", x1, x2)
    if len(shape_of(x2)) <= 2:
        return matmul(x1, x2)
    return _tensordot(x1, x2, ([-1], [-2]))


def _tensordot(x1: Any, x2: Any, axes: Any = 2) -> Tensor:
    first, second = len(shape_of(x1)), len(shape_of(x2))
    if isinstance(axes, int):
        axes = (list(range(first - axes, first)), list(range(axes)))
    left, right = ([item] if isinstance(item, int) else list(item) for item in axes)
    letters = [chr(ord("a") + index) for index in range(first)]
    others = [chr(ord("A") + index) for index in range(second)]
    for a, b in zip(left, right, strict=True):
        others[b % second] = letters[a % first]
    gone = {letters[a % first] for a in left}
    output = [item for item in [*letters, *others] if item not in gone]
    return einsum(f"{''.join(letters)},{''.join(others)}->{''.join(output)}", x1, x2)


def _inner(x1: Any, x2: Any) -> Tensor:
    if len(shape_of(x1)) == 0 or len(shape_of(x2)) == 0:
        return elementwise("Mul", x1, x2)
    return _tensordot(x1, x2, ([-1], [-1]))


def _select(condlist: list[Any], choicelist: list[Any], default: Any = 0) -> Tensor:
    result = default
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        result = where(condition, choice, result)
    return result


def _outer(x1: Any, x2: Any) -> Tensor:
    first = reshape(_tensor(x1, [x1, x2]), [-1, 1])
    return first * reshape(_tensor(x2, [x1, x2]), [1, -1])


def _normalize(x: Tensor, axis: Any = -1, order: int = 2, epsilon: float | None = None) -> Tensor:
    if order != 2:
        refuse(f"it normalizes by the norm of order {order}.", fix="order=2")
    length = unary("Sqrt", total(x * x, axis, keepdims=True))
    return x * arrays.minimum(1.0 / length, 1 / (1e-7 if epsilon is None else epsilon))


def _moments(
    x: Tensor, axes: Any, keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    return mean(x, axes, keepdims), variance(x, axes, keepdims)


def _layer_normalization(
    x: Tensor,
    gamma: Any = None,
    beta: Any = None,
    axis: Any = -1,
    epsilon: float | None = None,
) -> Tensor:
    from plait.saving.onnx.normalization import standardized

    axes = axes_of(x, axis)
    made = standardized(x, axes, 1e-7 if epsilon is None else epsilon)

    def along(weight: Any) -> Any:
        missing = [item for item in range(x.ndim) if item not in axes]
        full = len(shape_of(weight)) == x.ndim
        return weight if full else expand_dims(weight, tuple(missing))

    made = made if gamma is None else made * along(gamma)
    return made if beta is None else made + along(beta)


def _rms_normalization(
    x: Tensor, scale: Any = None, axis: Any = -1, epsilon: float | None = None
) -> Tensor:
    square = mean(x * x, axis, keepdims=True) + (1e-7 if epsilon is None else epsilon)
    made = x / unary("Sqrt", square)
    return made if scale is None else made * scale


def _batch_normalization(
    x: Tensor,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Tensor:
    others = tuple(item for item in range(x.ndim) if item != axis % x.ndim)

    def along(vector: Any) -> Tensor:
        return _tensor(expand_dims(vector, others), [x])

    factor = 1.0 / unary("Sqrt", along(variance) + epsilon)
    factor = factor if scale is None else factor * along(scale)
    made = x * factor - along(mean) * factor
    return made if offset is None else made + along(offset)


def _dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    from plait.saving.onnx.attention import causal_mask

    depth = query.shape[-1]
    if depth is None or query.shape[2] != key.shape[2]:
        refuse("its heads have no known or different numbers of features.")
    scores = einsum("bthd,bshd->bhts", query, key)
    scores = scores * (1 / math.sqrt(depth) if scale is None else float(scale))
    scores = scores if bias is None else scores + bias
    seen = [] if mask is None else [mask]
    seen += [causal_mask(query, key, 1)] if is_causal else []
    for item in seen:
        scores = where(item, scores, float(-0.7 * np.finfo(np.float32).max))
    return einsum("bhts,bshd->bthd", softmax(scores, -1), value)


def _window(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _conv(
    inputs: Tensor,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    rank = inputs.ndim - 2
    return conv(
        inputs, kernel, _window(strides, rank), padding, _window(dilation_rate, rank),
        data_format or "channels_last",
    )  # fmt: skip


def _depthwise_conv(inputs: Tensor, kernel: Any, *args: Any, **kwargs: Any) -> Tensor:
    return _conv(inputs, depthwise_kernel(kernel), *args, **kwargs)


def _separable_conv(
    inputs: Tensor,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    each = _depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return _conv(each, pointwise_kernel, data_format=data_format)


def _conv_transpose(
    inputs: Tensor,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    rank = inputs.ndim - 2
    return conv_transpose(
        inputs, kernel, _window(strides, rank), padding,
        None if output_padding is None else _window(output_padding, rank),
        _window(dilation_rate, rank), data_format or "channels_last",
    )  # fmt: skip


def _pool(kind: str) -> Operation:
    def apply(
        inputs: Tensor,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
    ) -> Tensor:
        window = _window(pool_size, inputs.ndim - 2)
        steps = window if strides is None else _window(strides, len(window))
        return pool(kind, inputs, window, steps, padding, data_format or "channels_last")

    return apply


def _resize(
    images: Tensor,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Tensor:
    if crop_to_aspect_ratio or pad_to_aspect_ratio or "float" not in images.dtype:
        refuse("it crops, pads or rounds beside resizing.", fix="resize floats to a plain size")
    first = images.ndim - (3 if data_format != "channels_first" else 2)
    return resize(images, [first, first + 1], list(size), interpolation, antialias)


OPERATIONS: dict[str, Operation] = {
    **activations.FUNCTIONS,
    "gelu": lambda x, approximate=True: activations.gelu(x, approximate),
    **{name: _floats(kind) for name, kind in {
        "arccos": "Acos", "arccosh": "Acosh", "arcsin": "Asin", "arcsinh": "Asinh",
        "arctan": "Atan", "arctanh": "Atanh", "cos": "Cos", "cosh": "Cosh", "erf": "Erf",
        "exp": "Exp", "log": "Log", "sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt", "tan": "Tan",
        "tanh": "Tanh",
    }.items()},
    **{name: _plain(kind) for name, kind in {
        "abs": "Abs", "absolute": "Abs", "negative": "Neg", "sign": "Sign",
    }.items()},
    **{name: _rounding(kind) for name, kind in {"ceil": "Ceil", "floor": "Floor"}.items()},
    **{name: _binary(kind) for name, kind in {
        "add": "Add", "maximum": "Max", "minimum": "Min", "multiply": "Mul", "subtract": "Sub",
    }.items()},
    **{name: _comparison(kind) for name, kind in {
        "equal": "Equal", "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less",
        "less_equal": "LessOrEqual",
    }.items()},
    **{f"logical_{kind.lower()}": _logical(kind) for kind in ("And", "Or", "Xor")},
    **{f"bitwise_{kind.lower()}": _bitwise(kind) for kind in ("And", "Or", "Xor")},
    **{name: _reduction(kind) for name, kind in {"sum": "ReduceSum"}.items()},
    **{name: _extremum(kind) for name, kind in {
        "amax": "Max", "amin": "Min", "max": "Max", "min": "Min",
    }.items()},
    "all": _all,
    "any": _any,
    "append": _append,
    "arctan2": _arctan2,
    "argmax": _arg("ArgMax"),
    "argmin": _arg("ArgMin"),
    "argsort": lambda x, axis=-1: _sorted(x, axis)[1],
    "array_split": _array_split,
    "average": _average,
    "average_pool": _pool("AveragePool"),
    "batch_normalization": _batch_normalization,
    "bitwise_invert": _bitwise_not,
    "bitwise_not": _bitwise_not,
    "broadcast_to": _broadcast_to,
    "cbrt": _cbrt,
    "cast": _cast,
    "clip": _clip,
    "concatenate": lambda xs, axis=0: concatenate(xs, axis),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "copy": lambda x: x,
    "count_nonzero": _count_nonzero,
    "cumsum": _cumsum,
    "deg2rad": lambda x: x * (math.pi / 180),
    "depth_to_space": _blocks(
        "n h w (p q c) -> n (h p) (w q) c", "n (c p q) h w -> n c (h p) (w q)"
    ),
    "depthwise_conv": _depthwise_conv,
    "diff": _diff,
    "divide": divide,
    "divide_no_nan": _divide_no_nan,
    "dot": _dot,
    "dot_product_attention": _dot_product_attention,
    "einsum": einsum,
    "erfc": lambda x: 1.0 - unary("Erf", x),
    "exp2": lambda x: unary("Exp", x * math.log(2)),
    "expand_dims": expand_dims,
    "expm1": activations.expm1,
    "fabs": lambda x: unary("Abs", x),
    "flip": _flip,
    "fliplr": lambda x: flip(x, 1),
    "flipud": lambda x: flip(x, 0),
    "floor_divide": _floor_divide,
    "full_like": lambda x, fill_value, dtype=None: _filled(x, fill_value, dtype),
    "get_item": _get_item,
    "heaviside": _heaviside,
    "hstack": _hstack,
    "hypot": lambda x1, x2: unary("Sqrt", _square(_tensor(x1, [x2])) + _square(_tensor(x2, [x1]))),
    "image.resize": _resize,
    "inner": _inner,
    "isclose": _isclose,
    "isfinite": _isfinite,
    "isinf": _isinf,
    "isnan": _isnan,
    "isneginf": lambda x: equal(x, -math.inf),
    "isposinf": lambda x: equal(x, math.inf),
    "layer_normalization": _layer_normalization,
    "log10": lambda x: unary("Log", x) / math.log(10),
    "log1p": activations.log1p,
    "log2": lambda x: unary("Log", x) / math.log(2),
    "logaddexp": _logaddexp,
    "logical_not": lambda x: logical("Not", x),
    "logsumexp": _logsumexp,
    "matmul": matmul,
    "max_pool": _pool("MaxPool"),
    "mean": mean,
    "mod": _mod,
    "moments": _moments,
    "moveaxis": moveaxis,
    "multi_hot": _multi_hot,
    "nan_to_num": _nan_to_num,
    "norm": _norm,
    "normalize": _normalize,
    "not_equal": lambda x1, x2: logical("Not", equal(x1, x2)),
    "one_hot": _one_hot,
    "ones_like": lambda x, dtype=None: _filled(x, 1, dtype),
    "outer": _outer,
    "pad": _pad,
    "power": _power,
    "prod": _prod,
    "ptp": lambda x, axis=None, keepdims=False: (
        reduce("ReduceMax", x, axis, keepdims) - reduce("ReduceMin", x, axis, keepdims)
    ),
    "rad2deg": lambda x: x * (180 / math.pi),
    "ravel": lambda x: reshape(x, [-1]),
    "rearrange": _rearrange,
    "reciprocal": _reciprocal,
    "repeat": _repeat,
    "reshape": _reshape,
    "rms_normalization": _rms_normalization,
    "roll": _roll,
    "round": _round,
    "rsqrt": lambda x: 1.0 / unary("Sqrt", x),
    "select": _select,
    "separable_conv": _separable_conv,
    "sinc": _sinc,
    "slice": _slice,
    "sort": lambda x, axis=-1: _sorted(x, axis)[0],
    "space_to_depth": _blocks(
        "n (h p) (w q) c -> n h w (p q c)", "n c (h p) (w q) -> n (c p q) h w"
    ),
    "split": _split,
    "square": _square,
    "squeeze": squeeze,
    "stack": stack,
    "std": _std,
    "stop_gradient": lambda variable: variable,
    "swapaxes": _swapaxes,
    "take": _take,
    "take_along_axis": _take_along_axis,
    "tensordot": _tensordot,
    "tile": _tile,
    "top_k": _top_k,
    "transpose": _transpose,
    "tril": _triangle(np.tril),
    "triu": _triangle(np.triu),
    "true_divide": divide,
    "trunc": lambda x: unary("Floor", unary("Abs", x)) * elementwise("Sign", x),
    "unstack": _unstack,
    "var": variance,
    "vstack": _vstack,
    "where": _where,
    "zeros_like": lambda x, dtype=None: _filled(x, 0, dtype),
}  # fmt: skip
"""Name in `plait.ops` -> converter."""
