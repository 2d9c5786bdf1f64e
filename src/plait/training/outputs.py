"""`Outputs`: what `predict` returns, gathered batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from plait.graph import tree


class Outputs:
    """Gathers nested outputs of batches into whole arrays.

    Args:
        rows: how many rows there will be, if that is known: arrays are then made once.
    """

    def __init__(self, rows: int | None) -> None:
        self._rows = rows
        self._done = 0
        self._whole: Any = None
        self._parts: list[Any] = []

    def add(self, part: Any) -> None:
        """Take the outputs of the next rows, NumPy arrays."""
        sizes = {leaf.shape[0] for leaf in tree.flatten(part)}
        if len(sizes) != 1 or self._rows is None or self._parts or sizes == {self._rows}:
            self._split()
            self._parts.append(part)
            return
        end = self._done + sizes.pop()
        if self._whole is None and end <= self._rows:
            self._whole = tree.map_structure(self._empty, part)
        if end > self._rows:
            self._split()
            self._parts.append(part)
            return
        for whole, leaf in zip(tree.flatten(self._whole), tree.flatten(part), strict=True):
            whole[self._done : end] = leaf
        self._done = end

    def _empty(self, leaf: Any) -> Any:
        return np.empty((self._rows, *leaf.shape[1:]), leaf.dtype)

    def _split(self) -> None:
        """Go on with parts: their sizes are not those of the batches."""
        if self._whole is not None:
            self._parts.append(tree.map_structure(lambda leaf: leaf[: self._done], self._whole))
            self._whole = None

    def result(self) -> Any:
        """Return the outputs of all batches, None if there were none."""
        if self._whole is not None:
            return tree.map_structure(lambda leaf: leaf[: self._done], self._whole)
        if not self._parts:
            return None
        return tree.map_structure(lambda *leaves: np.concatenate(leaves), *self._parts)
