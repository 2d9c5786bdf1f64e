"""`ModelCheckpoint`: keep models on the disk while they train."""

from __future__ import annotations

import os
import pathlib
from contextlib import suppress
from typing import Any

import numpy as np

from plait.callbacks.monitor import MonitorCallback
from plait.core.variable import values_as_of
from plait.errors import ConfigError
from plait.saving.background import Background
from plait.training.callback import Logs
from plait.training.identity import named_variables

_WEIGHTS = (".weights.h5", ".safetensors")


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, at the end of epochs or after so many batches.

    Files are written beside training, one at a time, each as a whole or not at all; all are there
    when `fit` returns. To go on with a run that was killed, use ``fit(resume=...)``.

    Args:
        filepath: where to; ends in ".keras", for weights alone in ".weights.h5" or ".safetensors".
            ``"{epoch:02d}-{val_loss:.2f}.keras"`` takes in the number of the epoch (from 1), of the
            ``{batch}`` (from 1) where batches are counted, and the logs. Folders are made.
        monitor: the log that says which model is best.
        verbose: 1: say so.
        save_best_only: save only a model that beats the best so far.
        save_weights_only: weights alone.
        mode: "min": smaller is better; "max": larger is; "auto": as suits the loss or metric.
        save_freq: "epoch", or a number of batches.
        initial_value_threshold: save only a model that beats this.
        every: with ``save_freq="epoch"``, save at every so many epochs.
        keep: how many of the files stay: the newest; None: all.

    Attributes:
        best: the best value so far.

    Raises:
        ConfigError: the ending of `filepath`, or a number, is wrong; or, when saving, the logs lack
            something that `filepath` names.
        FileError: a file could not be written; at the next one, or when training ends.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import plait
        >>> from pathlib import Path
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> folder = Path(tempfile.mkdtemp())
        >>> save = plait.callbacks.ModelCheckpoint(folder / "{epoch:02d}.keras", keep=2)
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> _ = model.fit(x, y, epochs=3, verbose=0, callbacks=[save])
        >>> sorted(file.name for file in folder.iterdir())
        ['02.keras', '03.keras']
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        *,
        every: int = 1,
        keep: int | None = None,
    ) -> None:
        super().__init__(monitor, mode, baseline=initial_value_threshold)
        self.filepath = os.fspath(filepath)
        endings = _WEIGHTS if save_weights_only else (".keras",)
        if not self.filepath.endswith(endings):
            raise ConfigError(
                f"ModelCheckpoint: filepath ends in {' or '.join(endings)} with save_weights_only="
                f"{save_weights_only}; received '{self.filepath}'.",
                fix=f"ModelCheckpoint('model{endings[0]}', save_weights_only={save_weights_only})",
            )
        if save_freq != "epoch":
            _check_whole("save_freq", save_freq, "'epoch' or a number of batches")
            # Set here, so that nothing is called for each batch where batches do not count.
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]
        _check_whole("every", every, "a number of epochs")
        if keep is not None:
            _check_whole("keep", keep, "None or a number of files")
        self.verbose = verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq, self.every, self.keep = save_freq, every, keep
        self._epoch = 0
        self._since = 0
        self._files: list[str] = []
        self._background = Background()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Know which epoch it is."""
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, if this is the time."""
        if self.save_freq == "epoch" and (epoch + 1) % self.every == 0:
            self._save(self._path({**(logs or {}), "epoch": epoch + 1}), logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """See that all is written."""
        self._background.wait()

    def on_abort(self) -> None:
        """End what is being written: an exception has ended the run."""
        with suppress(Exception):
            self._background.wait()

    def _after_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._since += 1
        if self._since == self.save_freq:
            self._since = 0
            logs = logs or {}
            place = {"epoch": self._epoch + 1, "batch": batch + 1}
            self._save(self._path(place | logs), logs)

    def get_state(self) -> Any:
        """Return the best value, the batches since the last file, and the files: they are there."""
        self._background.wait()
        return {"best": self.best, "since": self._since, "files": self._files}

    def set_state(self, state: Any) -> None:
        """Go on where an earlier run was."""
        self.best, self._since, self._files = state["best"], state["since"], state["files"]

    def _path(self, values: Logs) -> str:
        try:
            return self.filepath.format(**values)
        except KeyError as error:
            raise ConfigError(
                f"ModelCheckpoint: '{self.filepath}' names {error}, which the logs do not have.",
                fix=f"one of {', '.join(f'{{{name}}}' for name in values)}",
            ) from error

    def _save(self, path: str, logs: Logs | None) -> None:
        if not self._is_wanted(logs):
            return
        model = self.model
        now = {v: v.concrete_value() for v in named_variables(model).values()}
        files = [*(file for file in self._files if file != path), path]
        gone = files[: -self.keep] if self.keep is not None else []
        self._files = files[len(gone) :]

        def write() -> None:
            with suppress(OSError):  # what writes there names the file
                pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
            with values_as_of(now):
                save = model.save_weights if self.save_weights_only else model.save
                save(path, overwrite=True)
            for file in gone:
                pathlib.Path(file).unlink(missing_ok=True)

        self._background.start(write)
        if self.verbose:
            print(f"Epoch {self._epoch + 1}: saving '{path}'.", flush=True)

    def _is_wanted(self, logs: Logs | None) -> bool:
        """Return whether to save; where nothing can be compared, as in Keras, it is."""
        if not self.save_best_only:
            return True
        value = self.monitored(logs)
        if value is None:
            return True
        if np.ndim(value) > 0:
            raise ConfigError(
                f"ModelCheckpoint: {self.monitor} is an array {np.shape(value)}; which model is "
                "best takes one number.",
                fix="monitor='val_loss'",
            )
        if not self.is_improvement(value, self.best):
            return False
        if self.verbose:
            before = "" if self.best is None else f" from {self.best:.5f}"
            print(
                f"Epoch {self._epoch + 1}: {self.monitor} improved{before} to {value:.5f}.",
                flush=True,
            )
        self.best = value
        return True


def _check_whole(name: str, value: Any, what: str) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"ModelCheckpoint: {name} is {what}; received {value!r}.")
