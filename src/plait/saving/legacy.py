"""Weights in the HDF5 files of Keras 2, and of ``save("m.h5")`` in Keras 3."""

from __future__ import annotations

from typing import Any

import numpy as np

from plait.errors import FileError
from plait.saving.hdf5 import Hdf5
from plait.saving.matching import Stored


def legacy_arrays(file: Hdf5) -> list[Stored]:
    """Return the weights of a legacy file, in the order in which they were written.

    Each layer is a group, whose attribute names its arrays (``dense/kernel:0``).

    Raises:
        FileError: a name leads nowhere.
    """
    root = "model_weights" if "model_weights" in file.attributes else ""
    found = []
    count = 0
    for layer in names(file, root, "layer_names"):
        group = f"{root}/{layer}" if root else layer
        weights = names(file, group, "weight_names")
        for index, name in enumerate(weights):
            path = f"{group}/{name}"
            dataset = file.datasets.get(path)
            if dataset is None:
                raise FileError(f"it says that it holds '{path}', but it does not.")
            key, place = f"{layer}:{index}", f"{count}:{index}"
            found.append(Stored(path, key, place, dataset.shape, dataset.read))
        count += bool(weights)
    return found


def names(file: Hdf5, group: str, attribute: str) -> list[str]:
    """Return a list of names in an attribute, which long lists are spread over several of."""
    attributes = file.attributes.get(group, {})
    pieces = [attributes[attribute]] if attribute in attributes else []
    while f"{attribute}{len(pieces)}" in attributes:
        pieces.append(attributes[f"{attribute}{len(pieces)}"])
    return [_text(item) for piece in pieces for item in np.ravel(piece)]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
