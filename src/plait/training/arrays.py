"""What a user may write for arrays -> arrays with one row a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plait.errors import DataError
from plait.graph import tree
from plait.training import frames


def to_arrays(value: Any, what: str, names: Sequence[str] | None = None) -> Any:
    """Return nested arrays of what a user may write for them: numbers, arrays, frames, tensors.

    Args:
        value: arrays, frames, tensors, numbers in lists, or lists and dicts of these.
        what: what errors call it.
        names: the names of the inputs or outputs that it is for.

    Raises:
        DataError: something in it is no array of numbers, named by its place.
    """
    if value is None:
        return None
    if frames.is_frame(value):
        value = frames.columns(value, names)
    if is_written_out(value, names):
        return _array(value, what)
    if tree.is_leaf(value):
        return _array(value, what)
    paths = iter([path for path, _ in tree.leaves_with_path(value)])
    return tree.map_structure(lambda leaf: _array(leaf, f"{what}[{shown(next(paths))}]"), value)


def shown(path: tuple[str, ...]) -> str:
    """Return a place in a nested structure as errors show it, without the outer brackets."""
    return "][".join(part if part.isdigit() else repr(part) for part in path)


def is_written_out(value: Any, names: Sequence[str] | None) -> bool:
    """Return whether a list is one array written out, rather than a list of arrays."""
    if not isinstance(value, list | tuple) or not value:
        return False
    if names is not None and len(names) > 1 and len(value) == len(names):
        return False
    return all(isinstance(leaf, int | float | str | np.generic) for leaf in tree.flatten(value))


def _array(leaf: Any, what: str) -> Any:
    if leaf is None:
        return None
    if frames.is_frame(leaf):
        leaf = frames.columns(leaf, None)
    if hasattr(leaf, "detach"):
        leaf = leaf.detach().cpu().numpy()
    if not _is_sliceable(leaf):
        leaf = _from_anything(leaf, what)
    if np.dtype(leaf.dtype).kind not in "biufc" and not _is_small_float(leaf.dtype):
        raise DataError(
            f"{what} holds {_named(leaf.dtype)}, not numbers.",
            fix=_numbers_fix(leaf, what),
        )
    if len(leaf.shape) == 0:
        raise DataError(f"{what} is a single number, not an array of samples.", fix="pass an array")
    return leaf


def _numbers_fix(leaf: Any, what: str) -> str:
    if np.dtype(leaf.dtype).kind == "O" and isinstance(leaf, np.ndarray):
        kinds = {type(value) for value in leaf.flat}
        if kinds and all(issubclass(kind, int | float | np.number | np.bool_) for kind in kinds):
            return f"{what}.astype('float32'): its objects are numbers"
        if type(None) in kinds:
            return "leave out or fill in the samples that are None"
    return "turn text into numbers first, and give every sample the same shape"


def _from_anything(leaf: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(leaf)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise DataError(f"{what} is a {type(leaf).__name__}, which is no array.") from error
        raise DataError(
            f"{what} is ragged: its samples have different lengths.",
            fix="make them equally long, for instance by filling up with zeros",
        ) from error
    except Exception as error:
        raise DataError(f"{what} is a {type(leaf).__name__}, which is no array.") from error


def _is_sliceable(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray) or type(leaf).__module__ == "h5py._hl.dataset"


def _is_small_float(dtype: Any) -> bool:
    return np.dtype(dtype).kind == "V" and np.dtype(dtype).type is not np.void


def _named(dtype: Any) -> str:
    return {"U": "text", "S": "text", "O": "Python objects"}.get(np.dtype(dtype).kind, str(dtype))


def sample_count(x: Any) -> int:
    """Return the number of samples in arrays, at least 1."""
    arrays = [leaf for leaf in tree.flatten(x) if leaf is not None]
    return max(int(arrays[0].shape[0]), 1) if arrays else 1


def check_lengths(x: Any, y: Any, sample_weight: Any) -> int:
    """Return the number of samples of all arrays.

    Raises:
        DataError: they have different numbers, or there are none.
    """
    rows = []
    for what, value in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        for path, leaf in tree.leaves_with_path(value):
            if leaf is not None:
                name = f"{what}[{shown(path)}]" if path else what
                rows.append((name, int(leaf.shape[0]), tuple(leaf.shape)))
    sizes = {size for _, size, _ in rows}
    if len(sizes) > 1:
        raise DataError(
            f"the data have different numbers of samples: {', '.join(map(str, sorted(sizes)))}.",
            details=[(name, f"{size} samples", shape) for name, size, shape in rows],
            fix="every array needs one row for each sample",
        )
    if all(leaf is None for leaf in tree.flatten(x)):
        raise DataError("there are no data: x is None.", fix="model.fit(x, y)")
    return sizes.pop()


def take(leaf: Any, rows: Any) -> Any:
    """Return rows of an array in memory or in a file, given as a slice or as numbers."""
    if leaf is None:
        return None
    if isinstance(leaf, np.ndarray) or isinstance(rows, slice):
        return np.asarray(leaf[rows])
    ascending = np.argsort(rows)
    return np.asarray(leaf[rows[ascending]])[np.argsort(ascending)]
