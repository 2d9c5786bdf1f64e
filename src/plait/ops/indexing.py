"""Picking, placing, sorting, searching, and sums by segment."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from plait.core import dtypes
from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.graph.tensor import any_symbolic
from plait.ops.arguments import Function, Table, array
from plait.ops.reductions import no_sparse

_REDUCTIONS = {None: "set", "add": "add", "max": "max", "min": "min", "mul": "multiply"}


def _segment(function: Function) -> Function:
    return lambda data, segment_ids, num_segments=None, sorted=False: function(
        data, segment_ids, num_segments, indices_are_sorted=sorted
    )


def get_item(x: Any, key: Any) -> jax.Array:
    """Return ``x[key]``; lists in the key are arrays of indices or masks.

    Raises:
        ArgumentTypeError: the key slices up to a symbolic tensor.
    """
    keys = key if isinstance(key, tuple) else (key,)
    for item in keys:
        if isinstance(item, slice) and any_symbolic((item.start, item.stop, item.step)):
            raise ArgumentTypeError(
                "cannot slice up to a tensor: the size of the result would not be known.",
                fix="ops.slice(x, start_indices, shape) takes a tensor as start, or mask instead",
            )
    return array(x)[tuple(np.asarray(item) if isinstance(item, list) else item for item in keys)]


def _slice(inputs: jax.Array, start_indices: Any, shape: Any) -> jax.Array:
    """Return the block of `shape` at `start_indices`; -1 is all that is left on an axis."""
    sizes = [
        inputs.shape[axis] - start_indices[axis] if size in (-1, None) else size
        for axis, size in enumerate(shape)
    ]
    return lax.dynamic_slice(inputs, start_indices, sizes)


def _scatter(indices: jax.Array, values: jax.Array, shape: Any) -> jax.Array:
    """Return zeros of `shape` with `values` added at `indices`."""
    return jnp.zeros(shape, values.dtype).at[tuple(jnp.moveaxis(indices, -1, 0))].add(values)


def _scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """Return `inputs` with `updates` set at, or combined with, what is at `indices`."""
    if reduction not in _REDUCTIONS:
        raise ConfigError(
            f"has no reduction {reduction!r}.", fix="one of None, 'add', 'max', 'min', 'mul'"
        )
    return getattr(inputs.at[tuple(indices.T)], _REDUCTIONS[reduction])(updates)


def _in_top_k(targets: jax.Array, predictions: jax.Array, k: int) -> jax.Array:
    """Return whether each target is among the `k` largest predictions; NaN never is."""
    chosen = jnp.take_along_axis(predictions, targets[..., None], axis=-1)
    chosen = jnp.where(jnp.isnan(chosen), -jnp.inf, chosen)
    return jnp.sum(predictions > chosen, axis=-1) < k


def _one_hot(
    x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> jax.Array:
    no_sparse(sparse)
    return jax.nn.one_hot(x, num_classes, axis=axis, dtype=dtype or dtypes.floatx())


def _multi_hot(
    inputs: Any,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
) -> jax.Array:
    """Return 1 for every class that occurs in a row of `inputs`."""
    if num_classes is None:
        raise ConfigError("needs num_classes.", fix="ops.multi_hot(x, num_classes=10)")
    hot = _one_hot(inputs.astype(jnp.int32), num_classes, axis, dtype, sparse)
    return jnp.max(hot, axis=min(inputs.ndim - 1, 1))


def _searchsorted(sorted_sequence: jax.Array, values: jax.Array, side: str = "left") -> jax.Array:
    if sorted_sequence.ndim != 1:
        raise ShapeError(
            f"searches sequences of one axis, received {sorted_sequence.shape}.",
            fix="ops.vectorized_map(lambda s: ops.searchsorted(s[0], s[1]), (sequences, values))",
        )
    return jnp.searchsorted(sorted_sequence, values, side)


def _argpartition(x: jax.Array, kth: int, axis: int | None = -1) -> jax.Array:
    if axis is None:
        x, axis = jnp.ravel(x), 0
    return jnp.argpartition(x, kth, axis)


def _unique(
    x: jax.Array,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    return jnp.unique(
        x,
        return_index,
        return_inverse,
        return_counts,
        axis,
        equal_nan=False,
        size=size,
        fill_value=fill_value,
        sorted=sorted,
    )


TABLE: Table = {
    **{f"segment_{name}": _segment(getattr(jax.ops, f"segment_{name}"))
       for name in ("max", "min", "prod", "sum")},
    "argpartition": _argpartition,
    "argsort": lambda x, axis=-1: jnp.argsort(x, axis=None if x.ndim == 0 else axis),
    "digitize": lambda x, bins: jnp.digitize(x, array(bins)),
    "in_top_k": _in_top_k,
    "isin": lambda x1, x2, assume_unique=False, invert=False: jnp.isin(
        x1, x2, assume_unique, invert
    ),
    "multi_hot": _multi_hot,
    "nonzero": lambda x: jnp.nonzero(x),
    "one_hot": _one_hot,
    "scatter": _scatter,
    "scatter_update": _scatter_update,
    "searchsorted": _searchsorted,
    "select": lambda condlist, choicelist, default=0: jnp.select(condlist, choicelist, default),
    "slice": _slice,
    "slice_update": lambda inputs, start_indices, updates: lax.dynamic_update_slice(
        inputs, updates, start_indices
    ),
    "sort": lambda x, axis=-1: jnp.sort(x, axis),
    "take": lambda x, indices, axis=None: jnp.take(x, indices, axis),
    "take_along_axis": lambda x, indices, axis=None: jnp.take_along_axis(x, indices, axis),
    "top_k": lambda x, k, sorted=True: tuple(lax.top_k(x, k)),
    "unique": _unique,
    "unravel_index": lambda indices, shape: jnp.unravel_index(indices, shape),
    "where": lambda condition, x1=None, x2=None: jnp.where(condition, x1, x2),
}  # fmt: skip
