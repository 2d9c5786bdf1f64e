"""Checkpoints of a training run: a folder of files, each of them whole, written beside training."""

from __future__ import annotations

import os
import pathlib
import time
import warnings
from contextlib import suppress
from typing import Any, Self

import numpy as np

from plait.errors import ConfigError, FileError
from plait.saving.background import Background
from plait.saving.state_file import pack, read, write

_PATTERN = "checkpoint-*.safetensors"
_SHARE = 20


class Checkpoints:
    """The checkpoints of one run: where they are, how often one is made, how many are kept.

    ``fit(resume=Checkpoints("runs/a"))``, or ``fit(resume="runs/a")``, begins with the newest that
    is whole. It makes one at the end of every epoch and, in long epochs, every minute. Writing
    happens beside training; while one is being written no other is made, nor where it would take
    more than a twentieth of the time (epochs of a few milliseconds). The last one is on the disk
    when `fit` returns.

    Args:
        directory: the folder, of this run alone; it is made if it is not there.
        steps: make one after every so many batches, too, whatever it costs.
        seconds: make one when so many seconds have passed since the last, too; None: do not.
        keep: how many stay: the newest.

    Raises:
        ConfigError: a number is out of its range.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import plait
        >>> folder = tempfile.mkdtemp()
        >>> def train(epochs):
        ...     model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        ...     model.compile("sgd", "mse")
        ...     x, y = np.ones((4, 2)), np.ones((4, 1))
        ...     return model.fit(x, y, epochs=epochs, verbose=0, resume=folder)
        >>> train(2).epoch
        [0, 1]
        >>> train(3).epoch  # begins with epoch 2
        [0, 1, 2]
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        steps: int | None = None,
        seconds: float | None = 60.0,
        keep: int = 2,
    ) -> None:
        for name, value in (("steps", steps), ("keep", keep)):
            if value is not None and (not isinstance(value, int | np.integer) or value < 1):
                raise ConfigError(
                    f"Checkpoints: {name} is a whole number of at least 1; received {value!r}.",
                    fix=f"{name}=100" if name == "steps" else "keep=2",
                )
        if seconds is not None and seconds < 0:
            raise ConfigError(f"Checkpoints: seconds is at least 0; received {seconds!r}.")
        self.directory = pathlib.Path(directory)
        self.steps, self.seconds, self.keep = steps, seconds, keep
        self._background = Background()
        self._lock: Any = None
        self._whole: list[pathlib.Path] = []
        self._is_cleared = False
        self._since, self._last = 0, 0.0
        self._began, self._cost = 0.0, 0.0

    # -- while a run has them ---------------------------------------------------------------

    def __enter__(self) -> Self:
        """Take the folder for this run.

        Raises:
            FileError: it cannot be made, or another run has it.
        """
        import filelock

        self._lock = filelock.FileLock(self.directory / ".lock")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise FileError(
                f"another run is writing its checkpoints to '{self.directory}'.",
                fix="end that run, or give this one a folder of its own",
            ) from None
        except OSError as error:
            raise FileError(
                f"cannot keep checkpoints in '{self.directory}': {error.strerror or error}."
            ) from error
        for torn in self.directory.glob(f".{_PATTERN}*.tmp"):
            torn.unlink(missing_ok=True)
        self._since, self._last, self._is_cleared = 0, time.monotonic(), False
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: object) -> None:
        try:
            self._background.wait()
        except Exception as failed:
            if kind is None:
                raise
            error.add_note(f"A checkpoint was not written either: {failed}")
        finally:
            self._lock.release()
            if self._is_cleared:
                (self.directory / ".lock").unlink(missing_ok=True)
                with suppress(OSError):
                    self.directory.rmdir()

    def newest(self) -> dict[str, Any] | None:
        """Return the state in the newest checkpoint that is whole; None: there are no checkpoints.

        Raises:
            FileError: there are some, and none is whole.
        """
        files = sorted(self.directory.glob(_PATTERN))
        for position in reversed(range(len(files))):
            try:
                state = read(files[position])
            except FileError as error:
                warnings.warn(f"{error} An older checkpoint is used.", stacklevel=2)
                continue
            self._whole = files[: position + 1]
            return state
        if files:
            raise FileError(
                f"none of the {len(files)} checkpoints in '{self.directory}' can be read.",
                fix="begin anew in an empty folder",
            )
        return None

    def is_due(self, batches: int, epoch_is_over: bool = False) -> bool:
        """Count batches, and return whether it is time for a checkpoint.

        Raises:
            FileError: the last one could not be written.
        """
        self._since += batches
        if self._background.busy:
            return False
        self._background.check()
        now = self._began = time.monotonic()
        if self.steps is not None and self._since >= self.steps:
            return True
        wait = 0.0 if epoch_is_over else self.seconds
        return wait is not None and now - self._last >= max(wait, _SHARE * self._cost)

    def save(self, state: dict[str, Any], epoch: int, step: int) -> None:
        """Write a checkpoint in the background.

        Args:
            state: see `pack`; it holds copies of what training goes on to change.
            epoch: the epoch that comes next, or that the run is in.
            step: the batches of that epoch that are done.

        Raises:
            FileError: the last one could not be written.
            ArgumentTypeError: the state holds what a checkpoint cannot.
        """
        arrays, text = pack(state)
        path = self.directory / f"checkpoint-{epoch:05d}-{step:08d}.safetensors"

        def job() -> None:
            write(path, arrays, text)
            self._whole = [*(file for file in self._whole if file != path), path]
            while len(self._whole) > self.keep:
                self._whole.pop(0).unlink(missing_ok=True)

        self._background.start(job)
        self._since, self._last = 0, time.monotonic()
        self._cost = self._last - self._began

    def wait(self) -> None:
        """Return when what was saved is on the disk.

        Raises:
            FileError: it could not be written.
        """
        self._background.wait()

    def clear(self) -> None:
        """Remove the checkpoints; and the folder, if nothing else is in it, when the run ends."""
        self.wait()
        for file in self.directory.glob(_PATTERN):
            file.unlink(missing_ok=True)
        self._whole, self._is_cleared = [], True
