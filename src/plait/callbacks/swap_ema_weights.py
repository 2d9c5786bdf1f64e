"""`SwapEMAWeights`: evaluate with the moving averages of the weights."""

from __future__ import annotations

from typing import Any

import jax

from plait.core.variable import Variable
from plait.errors import ConfigError
from plait.training.callback import Callback, Logs


class SwapEMAWeights(Callback):
    """Put the moving averages that the optimizer keeps in place of the weights, to evaluate.

    They are exchanged when validation, `evaluate` or `predict` begins, and back when it ends (in
    Keras 3.15 not after `predict`). The optimizer needs ``use_ema=True``; when `fit` ends, the
    averages are the weights.

    Args:
        swap_on_epoch: exchange them at the end of an epoch, too, until the next begins: callbacks
            that come after this one, such as `ModelCheckpoint`, see the averages.

    Raises:
        ConfigError: when it begins, the optimizer keeps no averages.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile(plait.optimizers.SGD(0.1, use_ema=True), "mse")
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> swap = plait.callbacks.SwapEMAWeights()
        >>> _ = model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=[swap])
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False
        self._averages: list[jax.Array] | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Train with the weights."""
        self._swap(False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Show the averages, if wanted."""
        if self.swap_on_epoch:
            self._swap(True)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier run."""
        self._swapped, self._averages = False, None

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Leave the averages as weights, as an optimizer that keeps them does."""
        if self._averages is not None:
            for (variable, slot), value in zip(self._pairs(), self._averages, strict=True):
                variable.assign(value)
                slot.assign(value)
        self._swapped, self._averages = False, None

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Evaluate with the averages."""
        self._swap(True)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Go back to the weights."""
        self._swap(False)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Predict with the averages."""
        self._swap(True)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Go back to the weights."""
        self._swap(False)

    def on_abort(self) -> None:
        """Go back to the weights: an exception has ended the run."""
        self._swap(False)

    def get_state(self) -> Any:
        """Return whether the averages are in place of the weights."""
        return {"swapped": self._swapped}

    def set_state(self, state: Any) -> None:
        """Know whether they are."""
        self._swapped = state["swapped"]
        self._averages = [v.concrete_value() for v, _ in self._pairs()] if self._swapped else None

    def _swap(self, wanted: bool) -> None:
        if self._swapped == wanted:
            return
        for variable, average in self._pairs():
            value = variable.concrete_value()
            variable.assign(average.concrete_value())
            average.assign(value)
        self._swapped = wanted
        self._averages = [v.concrete_value() for v, _ in self._pairs()] if wanted else None

    def _pairs(self) -> list[tuple[Variable, Variable]]:
        optimizer: Any = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if not getattr(optimizer, "use_ema", False):
            raise ConfigError(
                "SwapEMAWeights needs an optimizer that keeps moving averages of the weights.",
                fix="model.compile(plait.optimizers.Adam(use_ema=True), ...)",
            )
        return optimizer.moving_averages()  # type: ignore[no-any-return]
