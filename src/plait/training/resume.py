"""The whole state of a training run: taken while it runs, and put into a run that goes on with it.

Values of variables, the number of steps, random numbers, the place in the data, the history and
what callbacks remember: with these, a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from plait.core import random
from plait.core.naming import free_name
from plait.training.blocks import single
from plait.training.callback import Logs, to_numbers
from plait.training.callback_list import CallbackList
from plait.training.data import Position, Source
from plait.training.identity import describe, named_variables, pair, refuse_other

if TYPE_CHECKING:
    from plait.models.model import Model


class Store(Protocol):
    """Where states are kept; see `plait.saving.Checkpoints`."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: Any) -> None: ...

    def newest(self) -> dict[str, Any] | None:
        """Return the newest state, or None."""

    def is_due(self, batches: int, epoch_is_over: bool = False) -> bool:
        """Count batches, and return whether it is time to save."""

    def save(self, state: dict[str, Any], epoch: int, step: int) -> None:
        """Keep a state; return before that is done."""

    def wait(self) -> None:
        """Return when it is done."""


class Place(NamedTuple):
    """Where a run begins.

    Attributes:
        epoch: the first epoch to train.
        logs: the logs of the last epoch.
        is_over: nothing is left to train.
    """

    epoch: int
    logs: Logs
    is_over: bool


class Run:
    """A training run that can be killed: saves its state to a store and begins with the newest.

    Args:
        store: where states are kept; None: nowhere, and nothing happens.
        model: the model that is trained.
        source: the data.
        callbacks: all callbacks of the run.
    """

    def __init__(
        self, store: Store | None, model: Model, source: Source, callbacks: CallbackList
    ) -> None:
        self._store, self._model, self._source = store, model, source
        self._callbacks = callbacks
        self._saved: dict[str, Any] | None = None
        self._within: tuple[int, Logs] = (0, {})
        self._unsaved: tuple[int, Logs] | None = None

    def __enter__(self) -> Self:
        if self._store is not None:
            self._store.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._saved = None
        if self._store is not None:
            self._store.__exit__(*exception)

    # -- going on -----------------------------------------------------------------------------

    def begin(self, epoch: int) -> Place:
        """Return where to begin: after the newest state, else with `epoch`.

        Raises:
            ConfigError: the state is that of another model or of other data.
        """
        saved = self._saved = None if self._store is None else self._store.newest()
        if saved is None:
            return Place(epoch, {}, False)
        refuse_other("data", saved["data"], self._source.describe())
        self._source.resume(Position(**saved["position"]), saved["step"])
        if saved["step"]:
            self._within = saved["step"], to_numbers(saved["logs"])
        else:
            self._restore()
        return Place(saved["epoch"], to_numbers(saved["logs"]), saved["stopped"])

    def begin_epoch(self) -> tuple[int, Logs]:
        """Return the steps of this epoch that an earlier run did, and their logs.

        Only the first epoch has some. What the hooks of its beginning changed is put back.

        Raises:
            ConfigError: the state is that of another model.
        """
        within, self._within = self._within, (0, {})
        self._restore()
        return within

    def _restore(self) -> None:
        saved, self._saved = self._saved, None
        if saved is None:
            return
        engine = self._model._engine
        engine.prepare("train", single(self._source.peek()))
        refuse_other("model", saved["model"], describe(self._model))
        for variable, value in pair(named_variables(self._model), saved["variables"]):
            variable.assign(value)
        engine.count = saved["count"]
        for name, callback in self._named_callbacks().items():
            if name in saved["callbacks"]:
                callback.set_state(saved["callbacks"][name])
        random.set_state(saved["random"])

    # -- saving -------------------------------------------------------------------------------

    def after_steps(self, epoch: int, step: int, count: int, logs: Mapping[str, Any]) -> None:
        """Save the state, if it is time, after `step` steps of an epoch, `count` of them new."""
        if self._store is not None and self._store.is_due(count):
            self._save(epoch, step, self._source.position(step), logs)

    def after_epoch(self, epoch: int, logs: Logs) -> None:
        """Save the state, if it is time, after the last hook of an epoch."""
        self._unsaved = epoch + 1, logs
        if self._store is not None and self._store.is_due(0, epoch_is_over=True):
            self._save_epoch()

    def finish(self) -> None:
        """See that the state after the last epoch is kept."""
        if self._store is not None:
            self._store.wait()
            self._save_epoch()
            self._store.wait()

    def _save_epoch(self) -> None:
        if self._unsaved is not None:
            epoch, logs = self._unsaved
            self._save(epoch, 0, self._source.position(), logs)
            self._unsaved = None

    def _save(self, epoch: int, step: int, position: Position, logs: Mapping[str, Any]) -> None:
        assert self._store is not None
        model = self._model
        states = {name: c.get_state() for name, c in self._named_callbacks().items()}
        state = {
            "epoch": epoch,
            "step": step,
            "logs": dict(logs),
            "stopped": model.stop_training,
            "count": model._engine.count,
            "position": position._asdict(),
            "random": random.get_state(),
            "data": self._source.describe(),
            "model": describe(model),
            "variables": {
                name: variable.concrete_value() for name, variable in named_variables(model).items()
            },
            "callbacks": {name: kept for name, kept in states.items() if kept is not None},
        }
        self._store.save(state, epoch, step)

    def _named_callbacks(self) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for callback in self._callbacks.callbacks:
            if hasattr(callback, "get_state"):
                named[free_name(type(callback).__name__, named)] = callback
        return named
