"""Why tensors cannot be merged, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plait.core.spec import is_shape
from plait.errors import ArgumentTypeError, ShapeError
from plait.graph.tensor import Shape


def check_list(name: str, verb: str, shapes: Any, most: int | None = None) -> None:
    """Check that `shapes` are those of a list of at least two tensors, or of exactly `most`.

    Raises:
        ArgumentTypeError: they are not.
    """
    wanted = f"{most} tensors" if most else "at least two tensors"
    fix = f"call it on a list: layers.{name}({'axes=1' if name == 'Dot' else ''})([a, b])"
    if shapes is None or (is_shape(shapes) and shapes != []):
        raise ArgumentTypeError(f"takes a list of {wanted}, received one tensor.", fix=fix)
    if len(shapes) < 2:
        raise ArgumentTypeError(
            f"takes a list of {wanted}, received a list of {len(shapes)}.",
            fix=fix if not shapes else f"leave {name} out where there is one tensor to {verb}",
        )
    if most and len(shapes) != most:
        raise ArgumentTypeError(f"takes a list of {wanted}, received {len(shapes)}.", fix=fix)


def cannot_merge(verb: str, shapes: Sequence[Shape], index: int, axis: int) -> ShapeError:
    """Return the error for `shapes[index]`, which clashes on `axis` with one before it.

    Args:
        verb: what the layer does to its inputs, "add".
        shapes: of all inputs.
        index: which one does not fit.
        axis: where; 0 is the batch, others are negative.
    """
    second = shapes[index]
    never = (None, second[axis]) if axis == 0 else (None, 1, second[axis])
    other = next(i for i, s in enumerate(shapes) if len(s) >= abs(axis) and s[axis] not in never)
    pair = _named_pair(shapes, other, index)
    if axis == 0:
        return ShapeError(
            f"cannot {verb} {pair}: their batches differ.", fix="give every input the same batch"
        )
    return ShapeError(f"cannot {verb} {pair}.", fix=_advice(shapes[other], second))


def cannot_concatenate(shapes: Sequence[Shape], index: int, axis: int) -> ShapeError:
    """Return the error for `shapes[index]`, which does not fit one before it outside `axis`.

    Args:
        shapes: of all inputs.
        index: which one does not fit.
        axis: along what they are concatenated, not negative.
    """
    second = shapes[index]
    if len(shapes[0]) != len(second):
        return ShapeError(
            f"cannot concatenate {_named_pair(shapes, 0, index)}: they have {len(shapes[0])} and "
            f"{len(second)} axes.",
            fix="bring both to the same rank first, for instance with layers.Flatten() or "
            "layers.Reshape(...)",
        )
    others = [other for other in range(len(second)) if other != axis]
    earlier, clashes = next(
        (i, differ)
        for i, shape in enumerate(shapes)
        if (differ := [other for other in others if _differ(shape[other], second[other])])
    )
    first, clash = shapes[earlier], clashes[0]
    fix = f"bring axis {clash} to the same size first: pad, crop or pool one of them"
    if clashes == [clash] and clash != 0 and first[axis] == second[axis]:
        fix = f"layers.Concatenate(axis={clash}), if that is the axis they should be joined along"
    return ShapeError(
        f"cannot concatenate {_named_pair(shapes, earlier, index)} along axis {axis}: "
        f"axis {clash} is {first[clash]} and {second[clash]}.",
        fix=fix,
    )


def _named_pair(shapes: Sequence[Shape], first: int, second: int) -> str:
    if len(shapes) == 2:
        return f"{shapes[first]} and {shapes[second]}"
    return f"inputs[{first}] {shapes[first]} and inputs[{second}] {shapes[second]}"


def _advice(first: Shape, second: Shape) -> str:
    rank = len(first)
    if rank != len(second):
        low, high = sorted((first, second), key=len)
        missing = (1,) * (len(high) - len(low))
        return f"give both the same rank: x = layers.Reshape({(*low[1:], *missing)})(x)"
    differ = [axis for axis in range(1, rank) if _clash(first[axis], second[axis])]
    if differ != [rank - 1]:
        return _spatial_advice(first, second, [axis for axis in differ if axis != rank - 1])
    width = max(size for size in (first[-1], second[-1]) if size is not None)
    if rank == 4:
        return f"project the shortcut first: shortcut = layers.Conv2D({width}, 1)(shortcut)"
    return f"project the narrower one first: x = layers.Dense({width})(x)"


def _spatial_advice(first: Shape, second: Shape, differ: list[int]) -> str:
    rank = len(first)
    wide, narrow = (first, second) if first[differ[0]] > second[differ[0]] else (second, first)  # type: ignore[operator]
    ratios = {wide[axis] / narrow[axis] for axis in differ}  # type: ignore[operator]
    channels, ratio = narrow[-1], ratios.pop()
    if rank in (3, 4, 5) and not ratios and ratio == int(ratio) and channels:
        name = f"Conv{rank - 2}D"
        return (
            f"shrink the larger one to {narrow[1:-1]}: shortcut = "
            f"layers.{name}({channels}, 1, strides={int(ratio)})(shortcut), or pool it"
        )
    return (
        f"bring both to {narrow[1:-1]} first: padding='same' in the convolutions before keeps "
        "sizes, layers.Cropping and layers.ZeroPadding change them"
    )


def _differ(a: int | None, b: int | None) -> bool:
    return a != b and None not in (a, b)


def _clash(a: int | None, b: int | None) -> bool:
    return _differ(a, b) and 1 not in (a, b)
