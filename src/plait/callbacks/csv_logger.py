"""`CSVLogger`: the logs of every epoch as a table."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import Any, TextIO

import numpy as np

from plait.saving.atomic import replacing
from plait.training.callback import Callback, Logs

_MISSING = "NA"


class CSVLogger(Callback):
    """Write the logs of every epoch to a CSV file, which is complete after each.

    A run that goes on after it was killed takes away the rows of the epochs that it trains again.
    Columns: ``epoch``, then the logs by name. A log that only appears later gets a column then;
    where there is no value is "NA". Arrays are written as ``[1.0, 2.0]``.

    Args:
        filename: the file.
        separator: what separates columns.
        append: keep what the file has; else it is overwritten by the first epoch.

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
        self._begun = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin the file, or see which columns it has."""
        open(self.filename, "a").close()
        self._begun = self.append
        self._columns = self._read()[0] if self.append else []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append a row."""
        row = {"epoch": epoch} | {name: _cell(value) for name, value in (logs or {}).items()}
        new = [name for name in row if name not in self._columns]
        if new or not self._begun:
            rows = self._read()[1] if self._begun else []
            self._columns += sorted(new, key=lambda name: (name != "epoch", name))
            self._replace([*rows, row])
        else:
            with open(self.filename, "a", newline="", encoding="utf-8") as file:
                self._writer(file).writerow(row)

    def get_state(self) -> Any:
        """Return how much of the file is of epochs that are over."""
        return {"columns": self._columns, "rows": len(self._read()[1]) if self._begun else 0}

    def set_state(self, state: Any) -> None:
        """Take the rows away that an earlier run wrote after what it goes on from."""
        rows = self._read()[1][: state["rows"]]
        self._columns = state["columns"]
        self._replace(rows)

    def _read(self) -> tuple[list[str], list[dict[str, Any]]]:
        with open(self.filename, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter=self.separator)
            rows = list(reader)
            return list(reader.fieldnames or []), rows

    def _replace(self, rows: Iterable[dict[str, Any]]) -> None:
        with (
            replacing(self.filename) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = self._writer(file)
            if self._columns:
                writer.writeheader()
            writer.writerows(rows)
        self._begun = True

    def _writer(self, file: TextIO) -> csv.DictWriter:
        return csv.DictWriter(
            file, self._columns, _MISSING, extrasaction="ignore", delimiter=self.separator
        )


def _cell(value: Any) -> Any:
    if isinstance(value, str) or np.ndim(value) == 0:
        return value
    return f"[{', '.join(map(str, np.asarray(value).tolist()))}]"
