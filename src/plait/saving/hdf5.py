"""Reading HDF5 files without the HDF5 library, and writing them with it.

The library is written in C, and bytes that were changed by accident or on purpose can crash it. So
files are read here, in Python, where every step is checked against the size of the file: the part
of the format that h5py writes by default and Keras uses (groups, attributes, arrays in one piece).
What a file can do beyond that (links to other files, virtual datasets, compressed pieces that
unfold to any size) is not read. The format: https://docs.hdfgroup.org/hdf5/develop/_f_m_t3.html
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import ml_dtypes
import numpy as np

from plait.errors import FileError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_OBJECTS = 1_000_000


@dataclass(frozen=True)
class Dataset:
    """An array in a file.

    Attributes:
        shape: its shape.
        dtype: its dtype, that of ``bfloat16`` included.
        data: its bytes, where they lie in the file.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    data: memoryview

    def read(self) -> np.ndarray:
        """Return the array, over the bytes of the file."""
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)


class Hdf5:
    """The groups of an HDF5 file.

    Args:
        data: the bytes of the file; `mmap` is fine.
        who: how errors name it.

    Attributes:
        datasets: path -> dataset.
        attributes: path of a group, "" for the file -> its attributes.

    Raises:
        FileError: it is damaged, or uses what is not read here.
    """

    def __init__(self, data: Any, who: str) -> None:
        self.datasets: dict[str, Dataset] = {}
        self.attributes: dict[str, dict[str, Any]] = {}
        self._data, self._who = memoryview(data), who
        self._heaps: dict[int, dict[int, memoryview]] = {}
        if self._bytes(0, 8) != _SIGNATURE:
            raise self._damaged("it is no HDF5 file")
        if self._number(8, 1) > 1 or self._bytes(13, 2) != b"\x08\x08":
            raise self._unread("its version of the format")
        start = 24 + (4 if self._number(8, 1) == 1 else 0)
        if self._number(start, 8) != 0:
            raise self._unread("a block in front")
        self._walk(self._number(start + 40, 8))

    def _damaged(self, why: str) -> FileError:
        return FileError(f"{self._who} is damaged: {why}.", fix="take another copy of the file")

    def _unread(self, what: str) -> FileError:
        return FileError(
            f"{self._who} uses what plait does not read from HDF5 files: {what}.",
            fix="write it anew with model.save or save_weights of Keras 3",
        )

    def _bytes(self, offset: int, size: int) -> memoryview:
        if offset + size > len(self._data):
            raise self._damaged("it ends too early")
        return self._data[offset : offset + size]

    def _number(self, offset: int, size: int) -> int:
        return int.from_bytes(self._bytes(offset, size), "little")

    # -- groups -----------------------------------------------------------------------------

    def _walk(self, root: int) -> None:
        stack, seen = [("", root)], {root}
        while stack:
            path, address = stack.pop()
            messages = list(self._messages(address))
            kinds = {kind for kind, _ in messages}
            if kinds & {0x0002, 0x0006}:
                raise self._unread("groups of a newer form")
            if 0x0007 in kinds:
                raise self._unread("data in other files")
            attributes = dict(self._attribute(body) for kind, body in messages if kind == 0x000C)
            table = next((body for kind, body in messages if kind == 0x0011), None)
            if table is None:
                self.datasets[path] = self._dataset(path, messages, attributes)
                continue
            self.attributes[path] = attributes
            for name, child in self._members(*struct.unpack_from("<QQ", self._sized(table, 16))):
                if child in seen or len(seen) > _MAX_OBJECTS:
                    raise self._damaged("an object is in it twice")
                seen.add(child)
                stack.append((f"{path}/{name}" if path else name, child))

    def _sized(self, body: memoryview, size: int) -> memoryview:
        if len(body) < size:
            raise self._damaged("a part is too short")
        return body

    def _members(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        """Yield name and address of the members of a group."""
        if self._bytes(heap, 4) != b"HEAP":
            raise self._damaged("a table of names is none")
        names = self._bytes(self._number(heap + 24, 8), self._number(heap + 8, 8))
        stack, seen = [tree], {tree}
        while stack:
            node = stack.pop()
            kind = bytes(self._bytes(node, 4))
            if kind == b"SNOD":
                yield from self._symbols(node, names)
            elif kind == b"TREE":
                for entry in reversed(range(self._number(node + 6, 2))):
                    child = self._number(node + 32 + 16 * entry, 8)
                    if child in seen:
                        raise self._damaged("a table of contents runs in a circle")
                    seen.add(child)
                    stack.append(child)
            else:
                raise self._damaged("a table of contents is none")

    def _symbols(self, node: int, names: memoryview) -> Iterator[tuple[str, int]]:
        for index in range(self._number(node + 6, 2)):
            entry = node + 8 + 40 * index
            if self._number(entry + 16, 4) == 2:
                raise self._unread("links")
            yield self._name(names, self._number(entry, 8)), self._number(entry + 8, 8)

    def _name(self, names: memoryview, start: int) -> str:
        raw = bytes(names[start : start + 1024]).split(b"\0", 1)[0]
        name = raw.decode("utf-8", "replace")
        if not name or "/" in name or name in (".", ".."):
            raise self._damaged(f"{name!r} is no name")
        return name

    def _messages(self, address: int) -> Iterator[tuple[int, memoryview]]:
        """Yield kind and content of the parts of an object's header."""
        if self._number(address, 1) != 1:
            raise self._damaged("an object has no header, or one of another version")
        count = self._number(address + 2, 2)
        blocks, seen = [(address + 16, self._number(address + 8, 4))], {address}
        while blocks:
            offset, size = blocks.pop(0)
            end = offset + size
            while count > 0 and offset + 8 <= end:
                kind, length = self._number(offset, 2), self._number(offset + 2, 2)
                if self._number(offset + 4, 1) & 2:
                    raise self._unread("shared parts")
                body = self._bytes(offset + 8, length)
                offset, count = offset + 8 + length, count - 1
                if kind != 0x0010:
                    yield kind, body
                    continue
                block = struct.unpack_from("<QQ", self._sized(body, 16))
                if block[0] in seen:
                    raise self._damaged("a header runs in a circle")
                seen.add(block[0])
                blocks.append(block)

    # -- arrays and attributes --------------------------------------------------------------

    def _dataset(self, path: str, messages: list[Any], attributes: dict[str, Any]) -> Dataset:
        parts = dict(reversed(messages))
        if not {0x0001, 0x0003, 0x0008} <= parts.keys():
            raise self._damaged(f"'{path}' is neither a group nor an array")
        if 0x000B in parts:
            raise self._unread(f"compression (of '{path}')")
        shape = self._shape(parts[0x0001])
        dtype = self._dtype(parts[0x0003])
        if dtype is None:
            raise self._unread(f"the type of '{path}'")
        if attributes.get("dtype") == "bfloat16" and dtype.itemsize == 2:
            dtype = np.dtype(ml_dtypes.bfloat16)
        layout = self._sized(parts[0x0008], 4)
        size = prod(shape) * dtype.itemsize
        if layout[0] != 3 or layout[1] > 1:
            raise self._unread(f"an array that is not in one piece ('{path}')")
        if layout[1] == 0:
            data = layout[4 : 4 + int.from_bytes(layout[2:4], "little")]
        else:
            address, stored = struct.unpack_from("<QQ", self._sized(layout, 18), 2)
            data = self._bytes(address, stored) if size else memoryview(b"")
        if len(data) < size:
            raise self._damaged(f"'{path}' {shape} has {len(data)} bytes instead of {size}")
        return Dataset(shape, dtype, data[:size])

    def _shape(self, body: memoryview) -> tuple[int, ...]:
        version, rank = self._sized(body, 4)[:2]
        start = {1: 8, 2: 4}.get(version)
        if start is None or (version == 2 and body[3] == 2) or rank > 32:
            raise self._damaged("an array has no shape")
        return struct.unpack_from(f"<{rank}Q", self._sized(body, start + 8 * rank), start)

    def _dtype(self, body: memoryview) -> np.dtype | None:
        """Return a dtype; None for a string of any length, and for types that are not read."""
        kind, bits, size = (
            self._sized(body, 8)[0] & 15,
            body[1],
            int.from_bytes(body[4:8], "little"),
        )
        order = ">" if bits & 1 else "<"
        if kind == 0 and size in (1, 2, 4, 8):
            return np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}")
        if kind == 1 and size in (2, 4, 8):
            exponent = self._sized(body, 20)[13]
            if size == 2 and exponent == 8 and order == "<":
                return np.dtype(ml_dtypes.bfloat16)
            known = {2: 5, 4: 8, 8: 11}[size] == exponent
            return np.dtype(f"{order}f{size}") if known else None
        if kind == 3 and 0 < size < 1 << 16:
            return np.dtype(f"S{size}")
        if kind == 5 and size == 2:
            return np.dtype("V2")
        if kind == 8 and size == 1:
            return np.dtype("?")
        return None

    def _attribute(self, body: memoryview) -> tuple[str, Any]:
        version = self._sized(body, 9)[0]
        sizes = struct.unpack_from("<HHH", body, 2)
        offset = 9 if version == 3 else 8
        parts = []
        for size in sizes:
            parts.append(self._sized(body, offset + size)[offset : offset + size])
            offset += size + (-size % 8 if version == 1 else 0)
        name = bytes(parts[0]).split(b"\0", 1)[0].decode("utf-8", "replace")
        shape, dtype, data = self._shape(parts[2]), self._dtype(parts[1]), body[offset:]
        count = prod(shape)
        if dtype is None and parts[1][0] & 15 == 9:
            values = [self._text(self._sized(data, 16 * (i + 1)), 16 * i) for i in range(count)]
            return name, values if shape else values[0]
        if dtype is None or count * dtype.itemsize > len(data):
            raise self._damaged(f"attribute {name!r} cannot be read")
        array = np.frombuffer(data, dtype, count).reshape(shape)
        return name, array[()] if not shape else array

    def _text(self, data: memoryview, offset: int) -> str:
        """Return a string of any length, which lies in a heap of the file."""
        length, address, index = struct.unpack_from("<IQI", data, offset)
        if not length:
            return ""
        if address not in self._heaps:
            self._heaps[address] = dict(self._heap(address))
        found = self._heaps[address].get(index)
        if found is None or len(found) < length:
            raise self._damaged("a text is not where it should be")
        return bytes(found[:length]).decode("utf-8", "replace")

    def _heap(self, address: int) -> Iterator[tuple[int, memoryview]]:
        if self._bytes(address, 4) != b"GCOL":
            raise self._damaged("a text is not where it should be")
        end = address + self._number(address + 8, 8)
        offset = address + 16
        while offset + 16 <= end:
            index, size = self._number(offset, 2), self._number(offset + 8, 8)
            if not index:
                return
            yield index, self._bytes(offset + 16, size)
            offset += 16 + size + -size % 8


def write(groups: list[tuple[str, str, list[Any]]]) -> bytes:
    """Return an HDF5 file as Keras 3 writes it.

    Args:
        groups: path, name of the layer, and arrays of each group.
    """
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, name, arrays in groups:
            place = file.create_group(f"{path}/vars" if path else "vars")
            place.attrs["name"] = name
            for index, array in enumerate(arrays):
                dataset = place.create_dataset(str(index), data=array)
                if np.asarray(array).dtype.name == "bfloat16":
                    dataset.attrs["dtype"] = "bfloat16"
    return buffer.getvalue()
