"""Files that hold the state of a run: one safetensors file each.

Its arrays are weights, optimizer slots and whatever else the state holds as arrays; the rest is
JSON in the header. Nothing in it is code, and a checksum tells a damaged file.
"""

from __future__ import annotations

import json
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from plait.errors import ArgumentTypeError, FileError
from plait.saving.atomic import replacing

_FORMAT = "plait.checkpoint.1"
_NATIVE = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8")


def pack(state: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Split a state into its arrays, by path, and JSON for the rest.

    Args:
        state: None, booleans, numbers, strings, arrays, and lists and dicts of them with strings as
            keys. Tuples become lists.

    Raises:
        ArgumentTypeError: there is something else in it, named by its path.
    """
    arrays: dict[str, Any] = {}

    def plain(value: Any, path: str) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            prefix = f"{path}/" if path else ""
            return {key: plain(item, f"{prefix}{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item, f"{path}/{index}") for index, item in enumerate(value)]
        if not hasattr(value, "dtype") or not hasattr(value, "shape"):
            raise ArgumentTypeError(
                f"a checkpoint cannot hold {path}: a {type(value).__name__}.",
                fix="numbers, strings, arrays, and lists and dicts of them with strings as keys",
            )
        arrays[path] = np.array(value) if isinstance(value, np.ndarray) else value
        return {"__array__": path, "dtype": np.dtype(value.dtype).name, "shape": [*value.shape]}

    return arrays, json.dumps(plain(state, ""))


def write(path: pathlib.Path, arrays: Mapping[str, Any], text: str) -> None:
    """Write what `pack` gave: all of it, or what was there before stays.

    Raises:
        FileError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    on_host = {name: _native(np.asarray(value, order="C")) for name, value in arrays.items()}
    header = {"format": _FORMAT, "state": text, "crc32": _checksum(on_host, text)}
    with replacing(path) as temporary:
        try:
            save_file(on_host, temporary, header)
        except SafetensorError as error:
            raise FileError(f"cannot write '{path}': {error}.") from error


def read(path: pathlib.Path) -> dict[str, Any]:
    """Return the state in a file.

    Raises:
        FileError: it is damaged, or holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            if header.get("format") != _FORMAT:
                raise FileError(f"'{path}' is no checkpoint of a run.")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, AttributeError, TypeError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"'{path}' is damaged: {error}.") from error
    if header.get("crc32") != _checksum(arrays, header.get("state", "")):
        raise FileError(f"'{path}' is damaged: its checksum is wrong.")

    def whole(value: dict[str, Any]) -> Any:
        if "__array__" not in value:
            return value
        array, dtype = arrays[value["__array__"]], np.dtype(value["dtype"])
        return array if array.dtype == dtype else array.view(dtype).reshape(value["shape"])

    return json.loads(header["state"], object_hook=whole)  # type: ignore[no-any-return]


def _native(array: np.ndarray) -> np.ndarray:
    native = array.dtype.str[1:] in _NATIVE or array.dtype.name == "bfloat16"
    return array if native else array.reshape(-1).view(np.uint8)


def _checksum(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """Return a checksum of everything: names, dtypes, shapes, contents, and the text."""
    value = zlib.crc32(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        value = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), value)
        value = zlib.crc32(array.reshape(-1).view(np.uint8).data, value)
    return f"{value:08x}"
