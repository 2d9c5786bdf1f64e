"""Writing files so that nothing is lost: a temporary file, synced, then renamed."""

from __future__ import annotations

import os
import pathlib
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from plait.errors import FileError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yield a temporary path to write to; when the block ends well, it takes the place of `path`.

    The temporary file lies beside `path`, as ``.NAME.*.tmp``. It is synced to the disk before it is
    renamed, so that at every instant `path` is the whole old file or the whole new one. When the
    block raises, the old file is as it was. A link stays a link to the file that is replaced.

    Raises:
        FileError: the file cannot be written: no such folder, no permission, a full disk.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> with replacing(folder / "notes.txt") as temporary:
        ...     _ = temporary.write_text("done")
        >>> [file.name for file in folder.iterdir()]
        ['notes.txt']
    """
    target = pathlib.Path(os.path.realpath(path))
    temporary = target.parent / f".{target.name[:200]}.{secrets.token_hex(4)}.tmp"
    try:
        if target.is_dir():
            raise IsADirectoryError("it is a folder")
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot write '{os.fspath(path)}': {_reason(error, target)}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _reason(error: OSError, target: pathlib.Path) -> str:
    if not target.parent.is_dir():
        return f"there is no folder '{target.parent}'"
    return (error.strerror or str(error)).rstrip(".").lower()


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
