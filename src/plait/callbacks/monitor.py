"""Following one number of the logs: which way is better, and whether it got better."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from plait import metrics
from plait.errors import ConfigError, did_you_mean
from plait.training.callback import Callback, Logs

_RISING = (
    metrics.AUC,
    metrics.Accuracy,
    metrics.BinaryAccuracy,
    metrics.CategoricalAccuracy,
    metrics.ConcordanceCorrelation,
    metrics.CosineSimilarity,
    metrics.FBetaScore,
    metrics.IoU,
    metrics.PearsonCorrelation,
    metrics.Precision,
    metrics.PrecisionAtRecall,
    metrics.R2Score,
    metrics.Recall,
    metrics.RecallAtPrecision,
    metrics.SensitivityAtSpecificity,
    metrics.SparseCategoricalAccuracy,
    metrics.SparseTopKCategoricalAccuracy,
    metrics.SpecificityAtSensitivity,
    metrics.TopKCategoricalAccuracy,
)


class MonitorCallback(Callback):
    """The base of callbacks that act when one number gets better or does not.

    Args:
        monitor: its name in the logs.
        mode: "min": smaller is better; "max": larger is; "auto": as suits the loss or metric.
        min_delta: a smaller change is no improvement.
        baseline: the first value to beat.

    Attributes:
        best: the best value so far, or None.

    Raises:
        ConfigError: an unknown `mode`; or, at the end of the first epoch, "auto" for a number of
            which nobody knows which way is better.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        min_delta: float = 0.0,
        baseline: float | None = None,
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ConfigError(
                f"{type(self).__name__}: mode is 'auto', 'min' or 'max'; received {mode!r}."
            )
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(min_delta)
        self.best: Any = baseline
        self._sign: int | None = None

    def monitored(self, logs: Logs | None) -> Any:
        """Return the number to follow; None, and a warning, if the logs do not have it."""
        logs = logs or {}
        value = logs.get(self.monitor)
        if value is None:
            warnings.warn(
                f"{type(self).__name__} follows {self.monitor!r}, which is not there."
                f"{did_you_mean(self.monitor, logs)} There are: {', '.join(logs) or 'none'}."
                + (
                    "\nFix: pass validation_data or validation_split to fit."
                    if self.monitor.startswith("val_") and self.monitor[4:] in logs
                    else ""
                ),
                stacklevel=3,
            )
        return value

    def is_improvement(self, value: Any, reference: Any) -> bool:
        """Return whether `value` beats `reference` by more than `min_delta`; anything beats None.

        Compared as float32, as in Keras.
        """
        if self._sign is None:
            self._sign = self._find_sign()
        if reference is None:
            return True
        changed = np.float32(value - self._sign * self.min_delta)
        return bool(self._sign * changed > self._sign * np.float32(reference))

    def _find_sign(self) -> int:
        if self.mode != "auto":
            return 1 if self.mode == "max" else -1
        name = self.monitor.removeprefix("val_")
        if name == "loss" or name.endswith("_loss"):
            return -1
        for metric in self.model.metrics:
            if name == metric.name or name.endswith(f"_{metric.name}"):
                if isinstance(metric, _RISING):
                    return 1
                if isinstance(metric, metrics.RootMeanSquaredError) or _is_loss(metric):
                    return -1
        raise ConfigError(
            f"{type(self).__name__} follows {self.monitor!r}, but is larger better, or smaller?",
            fix=f"{type(self).__name__}(monitor={self.monitor!r}, mode='max'), or mode='min'",
        )


def _is_loss(metric: Any) -> bool:
    function: Callable[..., Any] | None = getattr(metric, "fn", None)
    return getattr(function, "__module__", "").startswith("plait.losses.")
