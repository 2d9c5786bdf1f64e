"""`EarlyStopping`: stop when it gets no better."""

from __future__ import annotations

from typing import Any

from plait.callbacks.monitor import MonitorCallback
from plait.training.callback import Logs

_STATE = ("best", "best_epoch", "best_weights", "stopped_epoch", "wait")


class EarlyStopping(MonitorCallback):
    """Stop training when a number of the logs has not improved for some epochs (rules: Keras).

    Args:
        monitor: its name in the logs.
        min_delta: a smaller change is no improvement.
        patience: stop after so many epochs in a row without improvement.
        verbose: 1: say so.
        mode: "min": smaller is better; "max": larger is; "auto": as suits the loss or metric.
        baseline: an epoch that does not beat this, too, is one without improvement.
        restore_best_weights: set the weights back to those of the best epoch when training ends,
            also when it ends by itself.
        start_from_epoch: take no notice of the epochs before this one.

    Attributes:
        best: the best value.
        best_epoch: the epoch of the best value, from 0.
        best_weights: the weights after that epoch, if they are to be restored.
        stopped_epoch: the epoch that training was stopped at; 0 if it was not.
        wait: the epochs in a row without improvement.

    Raises:
        ConfigError: see `MonitorCallback`.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile(plait.optimizers.SGD(0.0), "mse")
        >>> stop = plait.callbacks.EarlyStopping("loss", patience=3)
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> len(model.fit(x, y, epochs=10, verbose=0, callbacks=[stop]).epoch)
        4
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.best = None
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None
        self.stopped_epoch = 0
        self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier run."""
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """See whether this epoch was better than the best; stop if patience is at its end."""
        value = self.monitored(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.is_improvement(value, self.best):
            self.best = value
            self._keep(epoch)
            if self.baseline is None or self.is_improvement(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def get_state(self) -> Any:
        """Return the best epoch so far, with its weights, and how long ago it was."""
        return {name: getattr(self, name) for name in _STATE}

    def set_state(self, state: Any) -> None:
        """Go on counting where an earlier run was."""
        for name in _STATE:
            setattr(self, name, state[name])

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Set the best weights back, if wanted."""
        if self.stopped_epoch and self.verbose:
            print(
                f"Epoch {self.stopped_epoch + 1}: stopped early, {self.monitor} has not improved "
                f"for {self.wait} epochs.",
                flush=True,
            )
        if self.best_weights is not None:
            if self.verbose:
                print(f"Weights are back to those of epoch {self.best_epoch + 1}.", flush=True)
            self.model.set_weights(self.best_weights)
