"""Callbacks that set the learning rate between epochs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from plait.callbacks.monitor import MonitorCallback
from plait.core.variable import Variable
from plait.errors import ArgumentTypeError, ConfigError
from plait.training.callback import Callback, Logs


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of every epoch; it is ``learning_rate`` in the logs.

    Args:
        schedule: ``(epoch, learning_rate) -> learning_rate`` or ``epoch -> learning_rate``, epochs
            from 0.
        verbose: 1: say so.

    Raises:
        ArgumentTypeError: `schedule` is no function or returns no number; or, when training
            begins, the optimizer follows a schedule of its own.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile(plait.optimizers.SGD(0.5), "mse")
        >>> halve = plait.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> model.fit(x, y, epochs=2, verbose=0, callbacks=[halve]).history["learning_rate"]
        [0.25, 0.125]
    """

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise ArgumentTypeError(
                f"LearningRateScheduler: schedule is a function; received {schedule!r}.",
                fix="LearningRateScheduler(lambda epoch, rate: rate * 0.9)",
            )
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes_two(schedule)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """See that the learning rate can be set."""
        _require_settable(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the learning rate."""
        rate = self.schedule(epoch, _rate(self)) if self._takes_rate else self.schedule(epoch)
        if np.ndim(rate) != 0 or not np.issubdtype(np.asarray(rate).dtype, np.number):
            raise ArgumentTypeError(
                f"LearningRateScheduler: the schedule returned {rate!r} for epoch {epoch}, which "
                "is no number.",
                fix="return a float from it",
            )
        self.model.optimizer.learning_rate = float(rate)  # type: ignore[union-attr]
        if self.verbose:
            print(f"Epoch {epoch + 1}: the learning rate is {float(rate):g}.", flush=True)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add the learning rate to the logs."""
        if logs is not None:
            logs["learning_rate"] = _rate(self)


class ReduceLROnPlateau(MonitorCallback):
    """Reduce the learning rate when a number of the logs stops improving (rules: Keras).

    The learning rate is ``learning_rate`` in the logs.

    Args:
        monitor: its name in the logs.
        factor: what the learning rate is multiplied by; less than 1.
        patience: reduce after so many epochs in a row without improvement.
        verbose: 1: say so.
        mode: "min": smaller is better; "max": larger is; "auto": as suits the loss or metric.
        min_delta: a smaller change is no improvement.
        cooldown: the epochs after a reduction that do not count.
        min_lr: never go below this.

    Raises:
        ConfigError: `factor` is 1 or more; and see `MonitorCallback`.
        ArgumentTypeError: when training begins, the optimizer follows a schedule.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile(plait.optimizers.SGD(0.5), "mse")
        >>> reduce = plait.callbacks.ReduceLROnPlateau("loss", 0.5, patience=2, min_delta=100)
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> _ = model.fit(x, y, epochs=3, verbose=0, callbacks=[reduce])
        >>> float(model.optimizer.learning_rate)
        0.25
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if factor >= 1:
            raise ConfigError(
                f"ReduceLROnPlateau: factor must be less than 1, received {factor}.",
                fix="ReduceLROnPlateau(factor=0.1)",
            )
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier run; see that the learning rate can be set."""
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0
        _require_settable(self)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """See whether this epoch was better than the best; reduce if patience is at its end."""
        if logs is not None:
            logs["learning_rate"] = _rate(self)
        value = self.monitored(logs)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_improvement(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def get_state(self) -> Any:
        """Return the best value so far and how long ago it was."""
        return {"best": self.best, "cooldown": self.cooldown_counter, "wait": self.wait}

    def set_state(self, state: Any) -> None:
        """Go on counting where an earlier run was; the optimizer has its learning rate."""
        self.best, self.wait = state["best"], state["wait"]
        self.cooldown_counter = state["cooldown"]

    def _reduce(self, epoch: int) -> None:
        old = _rate(self)
        if old <= np.float32(self.min_lr):
            return
        new = max(old * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = new  # type: ignore[union-attr]
        if self.verbose:
            print(
                f"Epoch {epoch + 1}: the learning rate is now {new:g}, {self.monitor} has not "
                f"improved for {self.wait} epochs.",
                flush=True,
            )
        self.cooldown_counter = self.cooldown
        self.wait = 0

    def in_cooldown(self) -> bool:
        """Return whether epochs do not count yet."""
        return self.cooldown_counter > 0


def _rate(callback: Callback) -> float:
    return float(np.asarray(callback.model.optimizer.learning_rate))  # type: ignore[union-attr]


def _require_settable(callback: Callback) -> None:
    optimizer = callback.model.optimizer
    if not isinstance(optimizer.learning_rate, Variable):  # type: ignore[union-attr]
        name = type(callback).__name__
        raise ArgumentTypeError(
            f"{name} sets the learning rate, but that of {type(optimizer).__name__} follows a "
            "schedule.",
            fix=f"leave out {name}, or {type(optimizer).__name__}(learning_rate=0.001)",
        )


def _takes_two(schedule: Callable[..., Any]) -> bool:
    try:
        inspect.signature(schedule).bind(0, 0.0)
    except (TypeError, ValueError):
        return False
    return True
