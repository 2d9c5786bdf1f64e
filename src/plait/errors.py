"""Every exception plait raises on purpose, and the one builder of their messages.

A message names the thing as the user wrote it, says where it was made, what was expected and
received, and ends with one concrete fix::

    ShapeError: Add 'add' (train.py:41) cannot add (None, 32, 32, 64) and (None, 32, 32, 3).
      inputs[0] (None, 32, 32, 64)  from BatchNormalization 'bn'  train.py:40
    Fix: project the shortcut first: shortcut = layers.Conv2D(64, 1)(shortcut)
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Location(NamedTuple):
    """A line of the user's source."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"


def user_location() -> Location | None:
    """Return the innermost line on the stack that lies outside plait, or None."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if is_user_file(file):
            return Location(file, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return None


@functools.cache
def is_user_file(file: str) -> bool:
    """Return whether a source file is neither plait's nor of what lies between it and a user."""
    library = f"{os.sep}site-packages{os.sep}jax" in file or f"{os.sep}contextlib.py" in file
    return not library and not file.startswith((_PACKAGE, "<frozen"))


class PlaitError(Exception):
    """Base of plait's errors; builds the message.

    Args:
        what: one or two sentences: which thing, where, expected against received.
        details: rows of cells, printed under it in aligned columns.
        fix: one concrete thing to do, often a line of code.
    """

    def __init__(
        self, what: str, *, details: Iterable[Sequence[object]] = (), fix: str | None = None
    ) -> None:
        rows = [[str(cell) for cell in row] for row in details]
        columns = max((len(row) for row in rows), default=0)
        widths = [
            max((len(row[i]) for row in rows if i < len(row)), default=0) for i in range(columns)
        ]
        lines = [what]
        lines += [
            ("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=False))).rstrip()
            for row in rows
        ]
        if fix:
            lines.append(f"Fix: {fix}")
        super().__init__("\n".join(lines))
        self.what, self.details, self.fix = what, rows, fix
        self.located = False

    def at(self, who: str, details: Iterable[Sequence[object]] = ()) -> Self:
        """Return this error with the thing that raised it named in front.

        Layers raise "cannot add ..."; whoever calls them knows their name and line.
        """
        error = type(self)(f"{who} {self.what}", details=self.details or details, fix=self.fix)
        error.located = True
        return error


class ShapeError(PlaitError, ValueError):
    """Shapes that do not fit together."""


class GraphError(PlaitError, ValueError):
    """A graph of layers that is not one: disconnected, cyclic, or with clashing names."""


class DataError(PlaitError, ValueError):
    """Data that does not fit the model it is given to."""


class ConfigError(PlaitError, ValueError):
    """An argument or a configuration that names or holds something impossible."""


class ArgumentTypeError(PlaitError, TypeError):
    """An argument of the wrong type."""


class ExportError(PlaitError, ValueError):
    """A model that a format cannot express."""


class NotBuiltError(PlaitError, ValueError, AttributeError):
    """Something was asked that exists only once shapes are known."""


class NotCompiledError(PlaitError, ValueError):
    """Training was asked of a model that was not compiled."""


class FileError(PlaitError, OSError, ValueError):
    """A file that cannot be written or read, or does not hold what it should."""


class NanError(PlaitError, FloatingPointError):
    """A training step that made NaN, found by ``fit(nan="locate")``.

    Attributes:
        epoch: the number of the epoch, from 1.
        batch: the number of the batch in it, from 1.
        phase: "data", "forward", "loss", "backward", "optimizer" or "step".
        layer: the layer that made it, None if it was none.
    """

    epoch: int
    batch: int
    phase: str
    layer: Any = None


class ModelWarning(UserWarning):
    """Something in a model that was compiled looks wrong; see `plait.check`."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest known name, or an empty string.

    Unless one differs by a letter, a name with all the words of `name` comes first:
    "sparse_crossentropy" and "f1" are short for "sparse_categorical_crossentropy" and "f1_score".
    """
    from difflib import get_close_matches

    names, words = list(known), set(name.split("_"))
    longer = sorted((other for other in names if words < set(other.split("_"))), key=len)
    close = (
        get_close_matches(name, names, n=1, cutoff=0.9)
        or longer
        or get_close_matches(name, names, n=1, cutoff=0.6)
    )
    return f" Did you mean {close[0]!r}?" if close else ""


for _error in (
    PlaitError,
    ShapeError,
    GraphError,
    DataError,
    ConfigError,
    ArgumentTypeError,
    ExportError,
    NotBuiltError,
    NotCompiledError,
    FileError,
    ModelWarning,
    NanError,
):
    _error.__module__ = "plait"
