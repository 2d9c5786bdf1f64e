"""Columns of pandas and polars frames as arrays, without importing either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plait.errors import DataError


def is_frame(value: Any) -> bool:
    """Return whether a value is a frame or a series of pandas or polars."""
    return type(value).__module__.split(".")[0] in ("pandas", "polars") and hasattr(
        value, "to_numpy"
    )


def columns(frame: Any, names: Sequence[str] | None) -> Any:
    """Return a frame as a dict of columns if these have the names asked for, else as one array.

    Raises:
        DataError: a column holds no numbers, or some of several inputs have no column.
    """
    if not hasattr(frame, "columns"):
        return _numbers(frame, getattr(frame, "name", None) or "series")
    known = [str(name) for name in frame.columns]
    if names and all(name in known for name in names):
        return {name: _numbers(frame[name], name) for name in names}
    if names and len(names) > 1:
        missing = [name for name in names if name not in known]
        raise DataError(
            f"the frame has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, known))}.",
            fix="name its columns as the model's inputs, or pass a dict",
        )
    return np.stack([_numbers(frame[name], str(name)) for name in frame.columns], axis=1)


def _numbers(column: Any, name: str) -> np.ndarray:
    array = np.asarray(column.to_numpy())
    if array.dtype.kind == "O" and len(array) and isinstance(array[0], np.ndarray | list):
        array = np.stack([np.asarray(item) for item in array])
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"column '{name}' holds {array.dtype}, not numbers.",
            fix="encode it first, for instance with frame[name].astype('category').cat.codes",
        )
    return array
