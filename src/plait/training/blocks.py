"""Blocks: some batches of one size in one array, for one call of the engine.

On a CPU the data stay where they are, and the rows of a block are gathered on the host into memory
that XLA reads in place, while the block before is at work. On another device the data are put
there once, if they fit in a share of its memory, and blocks are gathered there.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from plait.graph import tree
from plait.training.arrays import take

_DEVICE_SHARE = 0.3
_ALIGNMENT = 64  # From here on XLA for CPUs reads NumPy's memory without a copy.


class Block(NamedTuple):
    """Batches of one size.

    Attributes:
        data: ``(x, y, sample_weight)``; every array has an axis of batches in front of that of
            rows. What lies behind the first `batches` may be anything.
        batches: how many there are.
    """

    data: Any
    batches: int


class Rows(NamedTuple):
    """Rows of the data: numbers `start` to `stop` of an order, or of the data if it is None."""

    order: np.ndarray | None
    start: int
    stop: int

    @property
    def index(self) -> Any:
        """A slice, or the numbers of the rows."""
        rows = slice(self.start, self.stop)
        return rows if self.order is None else self.order[rows]


def single(batch: Any) -> Block:
    """Return a block of one batch."""
    return Block(tree.map_structure(_alone, batch), 1)


def _alone(leaf: Any) -> Any:
    if leaf is None:
        return None
    return leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)[None]


def stand_in(leaf: Any, shape: tuple[int, ...]) -> Any:
    """Return an array with other axes in place of the first of `leaf`, that takes no memory."""
    if leaf is None:
        return None
    dtype = jax.dtypes.canonicalize_dtype(leaf.dtype)
    return np.broadcast_to(np.zeros((), dtype), (*shape, *leaf.shape[1:]))


class Stage:
    """Gathers blocks from arrays.

    Args:
        data: nested arrays with one row a sample.
        batch_size: rows of a batch.
        length: batches of a block.
    """

    def __init__(self, data: Any, batch_size: int, length: int) -> None:
        self.batch_size, self.length = batch_size, length
        self._data = data
        self._on_device = _fits_device(data)
        if self._on_device:
            self._data = tree.map_structure(_to_device, data)

    def block(self, rows: Rows) -> Block:
        """Return the block that holds these rows, whole batches of them."""
        count = (rows.stop - rows.start) // self.batch_size
        if not self._on_device:
            gather = functools.partial(self._gather, rows=rows, count=count)
            return Block(tree.map_structure(gather, self._data), count)
        index = np.zeros(self.length * self.batch_size, np.int32)
        chosen = rows.index
        index[: count * self.batch_size] = (
            np.arange(rows.start, rows.stop) if isinstance(chosen, slice) else chosen
        )
        return Block(_gather_on_device(self._data, index.reshape(self.length, -1)), count)

    def _gather(self, leaf: Any, rows: Rows, count: int) -> Any:
        if leaf is None:
            return None
        shape = (self.length, self.batch_size, *leaf.shape[1:])
        dtype = jax.dtypes.canonicalize_dtype(leaf.dtype)
        whole = rows.order is None and count == self.length
        if whole and isinstance(leaf, np.ndarray) and leaf.dtype == dtype:
            return leaf[rows.index].reshape(shape)
        block = _aligned(shape, dtype)
        given = block[:count].reshape(count * self.batch_size, *leaf.shape[1:])
        if rows.order is not None and isinstance(leaf, np.ndarray) and leaf.dtype == block.dtype:
            np.take(leaf, rows.index, axis=0, out=given, mode="clip")
        else:
            given[...] = take(leaf, rows.index)
        return block


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _fits_device(data: Any) -> bool:
    if jax.default_backend() == "cpu":
        return False
    stats = jax.devices()[0].memory_stats() or {}
    free = stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0)
    return (
        sum(leaf.nbytes for leaf in tree.flatten(data) if leaf is not None) < free * _DEVICE_SHARE
    )


def _to_device(leaf: Any) -> Any:
    return None if leaf is None else jnp.asarray(np.asarray(leaf))


@jax.jit
def _gather_on_device(data: Any, index: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], data)
