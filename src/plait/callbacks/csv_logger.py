"""`CSVLogger`: the logs of every epoch as a table."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from plait.training.callback import Callback, Logs

_MISSING = "NA"


class CSVLogger(Callback):
    """Write the logs of every epoch to a CSV file, which is complete after each.

    Columns: ``epoch``, then the logs by name. A log that only appears later gets a column then;
    where there is no value is "NA". Arrays are written as ``[1.0, 2.0]``.

    Args:
        filename: the file.
        separator: what separates columns.
        append: keep what the file has; else it is overwritten when training begins.

    Raises:
        OSError: when training begins, the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import plait
        >>> file = Path(tempfile.mkdtemp()) / "log.csv"
        >>> logger = plait.callbacks.CSVLogger(file)
        >>> logger.on_train_begin()
        >>> logger.on_epoch_end(0, {"loss": 0.5})
        >>> file.read_text().split()
        ['epoch,loss', '0,0.5']
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._columns: list[str] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin the file, or see which columns it has."""
        keep = self.append and os.path.exists(self.filename)
        self._columns = self._read()[0] if keep else []
        if not keep:
            open(self.filename, "w").close()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append a row."""
        row = {"epoch": epoch} | {name: _cell(value) for name, value in (logs or {}).items()}
        new = [name for name in row if name not in self._columns]
        if new:
            _, rows = self._read()
            self._columns += sorted(new, key=lambda name: (name != "epoch", name))
            header = dict(zip(self._columns, self._columns, strict=True))
            self._write([header, *rows, row], "w")
        else:
            self._write([row], "a")

    def _read(self) -> tuple[list[str], list[dict[str, Any]]]:
        with open(self.filename, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter=self.separator)
            rows = list(reader)
            return list(reader.fieldnames or []), rows

    def _write(self, rows: Iterable[dict[str, Any]], mode: str) -> None:
        with open(self.filename, mode, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, restval=_MISSING, delimiter=self.separator)
            writer.writerows(rows)


def _cell(value: Any) -> Any:
    if isinstance(value, str) or np.ndim(value) == 0:
        return value
    return f"[{', '.join(map(str, np.asarray(value).tolist()))}]"
