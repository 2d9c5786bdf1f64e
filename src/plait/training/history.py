"""`History`: the losses and metrics of every epoch."""

from __future__ import annotations

from typing import Any

from plait.training.callback import Callback, Logs


class History(Callback):
    """Remember the losses and metrics of every epoch; `fit` returns one.

    Attributes:
        history: name -> one value for each epoch that had it.
        epoch: the numbers of the epochs, from 0.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=3, verbose=0)
        >>> len(history.history["loss"]), history.epoch
        (3, [0, 1, 2])
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin to count epochs anew."""
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the values of an epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def get_state(self) -> Any:
        """Return what the epochs so far gave."""
        return {"history": self.history, "epoch": self.epoch}

    def set_state(self, state: Any) -> None:
        """Go on after the epochs of an earlier run."""
        self.history, self.epoch = state["history"], state["epoch"]
