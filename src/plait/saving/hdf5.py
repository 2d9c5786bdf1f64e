"""Reading and writing HDF5 files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from plait.errors import FileError


class Hdf5:
    """The datasets and attributes of an HDF5 file.

    Attributes:
        arrays: path -> array.
        attributes: path of a group -> its attributes.
    """

    def __init__(self, data: bytes, who: str) -> None:
        self.arrays: dict[str, Any] = {}
        self.attributes: dict[str, dict[str, Any]] = {}
        try:
            with h5py.File(io.BytesIO(data), "r") as file:
                self.attributes[""] = dict(file.attrs)
                for path, item in _items(file):
                    if isinstance(item, h5py.Dataset):
                        self.arrays[path] = item[()]
                    else:
                        self.attributes[path] = dict(item.attrs)
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise FileError(f"{who} holds no readable HDF5 data: {error}.") from error


def _items(file: Any) -> Iterator[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    file.visititems(lambda path, item: found.append((path, item)))
    yield from found


def write(groups: list[tuple[str, str, list[Any]]]) -> bytes:
    """Return an HDF5 file as Keras 3 writes it.

    Args:
        groups: path, name of the layer, and arrays of each group.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, name, arrays in groups:
            place = file.create_group(f"{path}/vars" if path else "vars")
            place.attrs["name"] = name
            for index, array in enumerate(arrays):
                array = np.asarray(array)
                dataset = place.create_dataset(str(index), data=array)
                if array.dtype.name == "bfloat16":
                    dataset.attrs["dtype"] = "bfloat16"
    return buffer.getvalue()
