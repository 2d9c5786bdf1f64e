"""Reading ``.keras`` archives and JSON within bounds, and naming the file in every error."""

from __future__ import annotations

import json
import mmap
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from plait.errors import FileError, PlaitError

_MAX_MEMBERS = 10_000
_MAX_JSON = 64 << 20
_MAX_DEPTH = 200
_FREE_EXPANSION = 16 << 20  # what a small compressed member may unfold to
_MAX_EXPANSION = 100


@contextmanager
def errors_naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn every error in the block into a FileError that names the file."""
    name = f"'{os.fspath(path)}'"
    try:
        with errors_in(name):
            yield
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot read {name}: {error.strerror or error}.") from error


@contextmanager
def errors_in(name: str) -> Iterator[None]:
    """Turn every error in the block, but those of the system, into a FileError."""
    try:
        yield
    except PlaitError as error:
        if name in error.what:
            raise
        verb = ":" if isinstance(error, FileError) else " cannot be read:"
        what = f"{name}{verb} {error.what}"
        raise FileError(what, details=error.details, fix=error.fix) from error
    except OSError:
        raise
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FileError(f"{name} cannot be read: {first}") from error


def contents(path: str | os.PathLike[str]) -> Any:
    """Return the bytes of a file, mapped into memory."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise FileError(f"'{os.fspath(path)}' is empty.")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def members(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Return the members of a ``.keras`` archive that hold its model.

    Raises:
        FileError: it is no archive, is damaged, or has members that unfold to too much, are
            links, or lie outside the archive's folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > _MAX_MEMBERS:
                raise FileError(f"it has {len(entries)} members.")
            by_name = {entry.filename: entry for entry in entries}
            if len(by_name) != len(entries):
                raise FileError("it has two members of one name.")
            for entry in entries:
                _check(entry)
            wanted = ("metadata.json", "config.json", "model.weights.h5")
            return {name: archive.read(name) for name in wanted if name in by_name}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(
            f"'{os.fspath(path)}' is no archive, or is damaged: {error}.",
            fix="take another copy of the file",
        ) from error


def _check(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise FileError(f"its member {name!r} lies outside of the archive.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise FileError(f"its member {name!r} is a link.")
    if entry.flag_bits & 1:
        raise FileError(f"its member {name!r} is encrypted.")
    stored = entry.compress_type == zipfile.ZIP_STORED
    if not stored and entry.compress_type != zipfile.ZIP_DEFLATED:
        raise FileError(f"its member {name!r} is compressed in a way that is not read.")
    bound = entry.compress_size * _MAX_EXPANSION + _FREE_EXPANSION
    if entry.file_size > (entry.compress_size if stored else bound):
        raise FileError(f"its member {name!r} would unfold to {entry.file_size:,} bytes.")


def parse_json(text: str | bytes) -> Any:
    """Return what JSON text says.

    Raises:
        FileError: it is no JSON, too long or nested too deeply.
    """
    if len(text) > _MAX_JSON:
        raise FileError(f"its JSON has {len(text):,} bytes; at most {_MAX_JSON:,} are read.")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"its JSON is damaged: {error}.") from error
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            raise FileError(f"its JSON is nested more than {_MAX_DEPTH} levels deep.")
        level = [child for item in level if isinstance(item, list | dict) for child in _inner(item)]
    return value


def _inner(item: Any) -> Any:
    return item.values() if isinstance(item, dict) else item
