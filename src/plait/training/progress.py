"""`Progress`: what `fit`, `evaluate` and `predict` show while they run."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from plait.training.callback import Callback, Logs, to_numbers
from plait.training.pace import Pace, measures

if TYPE_CHECKING:
    from plait.training.display import Display

_INTERVAL = 0.1


class Progress(Callback):
    """Show how far a run is: live where that can be shown, else a line at the end of each epoch.

    Each epoch of `fit` has a line, that takes in the results of validation; `evaluate` and
    `predict` have one. In a terminal or a notebook it has a bar and changes at most ten times a
    second. Only then are values fetched from the device.

    Args:
        level: 1: live if possible; 2: only the line at the end; 0: nothing.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> _ = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=2)  # doctest: +ELLIPSIS
        Epoch 1/1 - 1/1 - ...s - .../step - loss: ...
    """

    lazy_logs = True

    def __init__(self, level: int = 1) -> None:
        super().__init__()
        self.level = level
        self._training = False
        self._steps: int | None = None
        self._pace = Pace("", None, 0.0)
        self._display: Display | None = None
        self._shown = 0.0
        self._logs: Logs = {}

    # -- fit --------------------------------------------------------------------------------

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Know that tests from now on are validation."""
        self._training = True

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Begin the line of an epoch."""
        self._begin(f"Epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Count a batch."""
        self._step(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """End the line of an epoch."""
        self._end(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Know that training is over."""
        self._training = False

    # -- evaluate, and validation -----------------------------------------------------------

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Begin the line of `evaluate`; or say that this is validation."""
        if not self._training:
            self._begin("Evaluate")
            return
        self._pace.end(time.perf_counter())
        self._show(time.perf_counter(), "validating")

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Count a batch of `evaluate`."""
        if not self._training:
            self._step(batch, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """End the line of `evaluate`."""
        if not self._training:
            self._end(logs)

    # -- predict ----------------------------------------------------------------------------

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Begin the line of `predict`."""
        self._begin("Predict")

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Count a batch of `predict`."""
        self._step(batch, None)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """End the line of `predict`."""
        self._end(None)

    # -- the line ---------------------------------------------------------------------------

    def on_abort(self) -> None:
        """Give the terminal back: an exception has ended the run."""
        self._close()

    def _begin(self, title: str) -> None:
        self._close()
        if self._steps is None:
            self._steps = self.params["steps"]
        self._shown = time.perf_counter()
        self._pace = Pace(title, self._steps, self._shown)
        self._logs = {}
        if self.level == 1 and _may_be_live():
            from plait.training.display import open_display

            self._display = open_display()
            self._show(self._shown)

    def _step(self, batch: int, logs: Logs | None) -> None:
        now = time.perf_counter()
        self._pace.step(batch + 1, now)
        if self._display is not None and now - self._shown >= _INTERVAL:
            self._logs = to_numbers(logs or {})
            self._show(now)

    def _end(self, logs: Logs | None) -> None:
        now = time.perf_counter()
        pace, self._logs = self._pace, logs or {}
        pace.end(now)
        self._steps = self._steps or pace.done or None
        if self._display is not None:
            self._show(now)
            self._close()
            return
        if self.level:
            parts = [pace.title, pace.count(), pace.elapsed(now), pace.speed(now)]
            print(" - ".join(parts + measures(self._logs)), flush=True)

    def _show(self, now: float, note: str | None = None) -> None:
        if self._display is not None:
            from plait.training.display import draw

            measured, width = measures(self._logs), self._display.width
            self._display.show(draw(self._pace, now, measured, note, width))
            self._shown = time.perf_counter()

    def _close(self) -> None:
        if self._display is not None:
            self._display.close()
            self._display = None


def _may_be_live() -> bool:
    """Return whether it is worth importing rich to see what it can show here."""
    return "ipykernel" in sys.modules or (sys.stdout is not None and sys.stdout.isatty())
