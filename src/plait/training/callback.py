"""`Callback`, with every hook of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from plait.core.arguments import checked_arguments

if TYPE_CHECKING:
    from plait.models.model import Model

Logs = dict[str, Any]


class Callback:
    """Something to do while a model trains, is evaluated or predicts.

    Override the hooks you need. `logs` holds numbers; what a callback adds to those of an epoch,
    the callbacks after it and the history get too. Setting ``self.model.stop_training = True`` ends
    training after the current batch.

    Attributes:
        model: the model at work.
        params: ``epochs``, ``steps`` and ``verbose`` of this run.
        lazy_logs: set it in a class whose batch hooks need not come after every batch. They are
            called when the engine comes back from some, with the number of the last and with
            device values, and nothing waits for them. Without it an overridden batch hook is
            called for every batch, and steps run one by one.

    Example:
        >>> import plait
        >>> class Shout(plait.callbacks.Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         print("epoch", epoch, "is over")
    """

    lazy_logs = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = checked_arguments(cls.__init__)  # type: ignore[method-assign]

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Model | None = None
        self.validation_data: Any = None

    @property
    def model(self) -> Model:
        """The model at work."""
        return self._model  # type: ignore[return-value]

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the parameters of the run."""
        self.params = params

    def set_model(self, model: Model) -> None:
        """Take the model."""
        self._model = model

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Do something before a training batch; an older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Do something after a training batch; an older name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Do something before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Do something after an epoch; `logs` has its losses and metrics, validation included."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Do something before a training batch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Do something after a training batch; `logs` has the means over the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Do something before a batch of `evaluate` or of validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Do something after a batch of `evaluate` or of validation."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Do something before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Do something after a batch of `predict`; `logs` has its ``outputs``."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Do something when `fit` begins."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Do something when `fit` ends; `logs` is that of the last epoch."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Do something when `evaluate` or validation begins."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Do something when `evaluate` or validation ends."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Do something when `predict` begins."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Do something when `predict` ends."""

    def get_state(self) -> Any:
        """Return what `set_state` needs to go on from here; None: there is nothing.

        That is made of numbers, strings, None, arrays, and lists and dicts of them. Checkpoints of
        ``fit(resume=...)`` keep it, after a step or after the last hook of an epoch.
        """

    def set_state(self, state: Any) -> None:
        """Take what `get_state` returned in a run that was killed.

        It comes after `on_train_begin`, and after the `on_epoch_begin` of an epoch that the killed
        run was in.
        """

    def on_abort(self) -> None:
        """Let go of what is open: an exception ends the run, and no other hook follows."""


def to_numbers(logs: Mapping[str, Any]) -> Logs:
    """Fetch device scalars as Python numbers; arrays stay arrays."""
    return {name: _number(value) for name, value in logs.items()}


def _number(value: Any) -> Any:
    if not hasattr(value, "shape"):
        return value
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array
