"""Sequences of different lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from plait.errors import ConfigError, DataError

_Side = Literal["pre", "post"]


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: _Side = "pre",
    truncating: _Side = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Return sequences as one array, filled up or cut to one length.

    Args:
        sequences: lists or arrays, ``(steps, ...)`` each.
        maxlen: the length; default: that of the longest.
        dtype: of the array.
        padding: whether values are added before ("pre") or after ("post").
        truncating: whether steps are cut from the beginning ("pre") or the end ("post").
        value: what is added.

    Returns:
        An array of shape ``(samples, maxlen, ...)``.

    Raises:
        ConfigError: `padding` or `truncating` is neither, or `value` is text for another dtype.
        DataError: something is no sequence, or steps have different shapes.

    Example:
        >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2).tolist()
        [[0, 1], [2, 3], [5, 6]]
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ConfigError(f"{name} is 'pre' or 'post'; received {side!r}.", fix=f"{name}='pre'")
    dtype = np.dtype(dtype)
    if isinstance(value, str) and dtype.kind not in "OU":
        raise ConfigError(
            f"the value {value!r} does not go into an array of {dtype}.", fix="dtype=object"
        )
    rows = [_steps(index, sequence, dtype) for index, sequence in enumerate(sequences)]
    length = max(map(len, rows), default=0) if maxlen is None else maxlen
    step = next((row.shape[1:] for row in rows if len(row)), ())
    result = np.full((len(rows), length, *step), value, dtype)
    for index, row in enumerate(rows):
        if not len(row) or not length:
            continue
        if row.shape[1:] != step:
            raise DataError(
                f"sequences[{index}] has steps of shape {row.shape[1:]}; others have {step}.",
                fix="give the steps of all sequences one shape",
            )
        kept = row[-length:] if truncating == "pre" else row[:length]
        if padding == "pre":
            result[index, -len(kept) :] = kept
        else:
            result[index, : len(kept)] = kept
    return result


def _steps(index: int, sequence: Any, dtype: np.dtype) -> np.ndarray:
    if not hasattr(sequence, "__len__") or isinstance(sequence, str):
        raise DataError(
            f"sequences[{index}] is no sequence: {sequence!r}.",
            fix="pass a list of lists: [[1, 2], [3]]",
        )
    try:
        return np.asarray(sequence, dtype)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"sequences[{index}] does not fit an array of {dtype}: {error}.",
            fix="turn words into numbers first, or pass dtype=object",
        ) from error


__all__ = ["pad_sequences"]
