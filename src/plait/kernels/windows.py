"""Windows that slide over axes: how many fit, and what is padded for them.

Sizes follow Keras: with "valid" a window lies within the input, with "same" and "causal" there is
one for every stride begun; "same" pads both ends, the odd one at the end, "causal" the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plait.errors import ShapeError

Sizes = tuple[int, ...]


def per_axis(value: int | Sequence[int], rank: int) -> Sizes:
    """Return one number for each of `rank` axes."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def spans(window: Sequence[int], dilation: Sequence[int]) -> Sizes:
    """Return how many steps a dilated window reaches over."""
    return tuple((size - 1) * rate + 1 for size, rate in zip(window, dilation, strict=True))


def output_sizes(
    sizes: Sequence[int | None],
    window: Sequence[int],
    strides: Sequence[int],
    padding: str,
    dilation: Sequence[int] | None = None,
    what: str = "kernel",
) -> tuple[int | None, ...]:
    """Return how many windows fit on each axis; None where the size is None.

    Args:
        sizes: the sizes of the axes.
        window: the sizes of the window.
        strides: the steps between windows.
        padding: "valid", "same" or "causal".
        dilation: the steps between the elements of a window; default: 1.
        what: the word for the window in an error.

    Raises:
        ShapeError: the window is larger than the input and `padding` is "valid", or they have
            different numbers of axes.
    """
    if len(sizes) != len(window):
        raise ShapeError(
            f"cannot move a {what} over {len(window)} axes, {tuple(window)}, on {len(sizes)}: "
            f"{tuple(sizes)}.",
            fix="the input is a batch with one axis of channels and as many others as the "
            f"{what} has",
        )
    reach = tuple(window) if dilation is None else spans(window, dilation)
    if padding == "valid":
        _require_fit(sizes, tuple(window), reach, what)
        rooms = [_plus(size, 1 - span) for size, span in zip(sizes, reach, strict=True)]
    else:
        rooms = list(sizes)
    return tuple(
        None if room is None else (room + stride - 1) // stride
        for room, stride in zip(rooms, strides, strict=True)
    )


def _plus(size: int | None, number: int) -> int | None:
    return None if size is None else size + number


def _require_fit(sizes: Sequence[int | None], window: Sizes, reach: Sizes, what: str) -> None:
    if all(
        not isinstance(size, int) or size >= span for size, span in zip(sizes, reach, strict=True)
    ):
        return
    dilated = f", dilated to {reach}," if reach != window else ""
    verb = "convolve" if what == "kernel" else "pool"
    raise ShapeError(
        f"cannot {verb}: its {what} {window}{dilated} is larger than the input {tuple(sizes)}.",
        fix="padding='same', or fewer strides and poolings before it",
    )


def same_padding(sizes: Sequence[Any], reach: Sizes, strides: Sizes) -> list[tuple[int, int]]:
    """Return (before, after) for each axis of what "same" pads."""
    totals = [
        max((-(-size // stride) - 1) * stride + span - size, 0)
        for size, span, stride in zip(sizes, reach, strides, strict=True)
    ]
    return [(total // 2, total - total // 2) for total in totals]
