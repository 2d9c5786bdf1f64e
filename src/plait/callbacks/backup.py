"""`BackupAndRestore`: go on with a run that was killed."""

from __future__ import annotations

import os
from typing import Any

from plait.errors import ConfigError
from plait.saving.checkpoint import Checkpoints
from plait.training.callback import Callback, Logs


class BackupAndRestore(Callback):
    """Keep the state of the run in a folder, and begin with what is there.

    It is ``fit(resume=...)`` under Keras' name and arguments. More comes back than in Keras: the
    batch within the epoch, the order of the data, random numbers, the history and the state of
    other callbacks, so that a run that was killed gives what it would have given. The model need
    not be built.

    Args:
        backup_dir: a folder, of this run alone.
        save_freq: "epoch", or a number of batches.
        double_checkpoint: keep the last two states.
        delete_checkpoint: take them away when training is over.

    Raises:
        ConfigError: there is no folder, or `save_freq` is something else.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> backup = plait.callbacks.BackupAndRestore(tempfile.mkdtemp(), delete_checkpoint=False)
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> _ = model.fit(x, y, epochs=2, verbose=0, callbacks=[backup])
        >>> model.fit(x, y, epochs=3, verbose=0, callbacks=[backup]).epoch
        [0, 1, 2]
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not os.fspath(backup_dir):
            raise ConfigError("BackupAndRestore: backup_dir is empty.", fix="backup_dir='backup'")
        steps: Any = None if save_freq == "epoch" else save_freq
        if isinstance(steps, bool) or (steps is not None and not isinstance(steps, int)):
            raise ConfigError(
                f"BackupAndRestore: save_freq is 'epoch' or a number of batches; received "
                f"{save_freq!r}."
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self.checkpoints = Checkpoints(
            backup_dir, steps=steps, seconds=None, keep=2 if double_checkpoint else 1
        )

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Take the states away, if wanted: training is over."""
        if self.delete_checkpoint:
            self.checkpoints.clear()
