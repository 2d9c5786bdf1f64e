"""`CallbackList`: what calls the hooks of several callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from plait.errors import ArgumentTypeError
from plait.training.callback import Callback, Logs, to_numbers
from plait.training.history import History
from plait.training.progress import Progress

_BATCH_HOOKS = tuple(
    f"on_{what}_{when}"
    for what in ("batch", "train_batch", "test_batch", "predict_batch")
    for when in ("begin", "end")
)


class CallbackList(Callback):
    """Call the hooks of several callbacks: ``on_epoch_end`` calls it of each, and so on.

    It is for training loops of your own; `fit` makes one. ``with callbacks:`` calls `on_abort` of
    each if an exception leaves the block.

    Args:
        callbacks: one, or several.
        add_history: add a `History`, unless there is one.
        add_progbar: add one that shows progress, as ``verbose`` says, unless there is one.
        model: the model at work.
        **params: ``epochs``, ``steps`` and ``verbose`` of this run.

    Attributes:
        callbacks: the callbacks, in their order.

    Raises:
        ArgumentTypeError: something is no callback.

    Example:
        >>> import plait
        >>> shout = plait.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch))
        >>> hooks = plait.callbacks.CallbackList([shout], add_history=True, epochs=2)
        >>> hooks.on_epoch_end(0, {"loss": 0.5})
        0
        >>> hooks.callbacks[-1].history
        {'loss': [0.5]}
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks: list[Callback] = _listed(callbacks)
        if add_history and not any(isinstance(item, History) for item in self.callbacks):
            self.callbacks.append(History())
        level = {"auto": 1}.get(params.get("verbose", 1), params.get("verbose", 1))
        if add_progbar and not any(isinstance(item, Progress) for item in self.callbacks):
            self.callbacks.append(Progress(level))
        if model is not None:
            self.set_model(model)
        self.set_params({"epochs": 1, "steps": None, "verbose": level, **params})
        self._batch_hooks = {
            hook: [c for c in self.callbacks if _overrides(c, hook)] for hook in _BATCH_HOOKS
        }

    def set_model(self, model: Any) -> None:
        """Give the model to each."""
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        """Give the parameters of the run to each."""
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.on_abort()

    def on_abort(self) -> None:
        """Call `on_abort` of those that have one."""
        for callback in self.callbacks:
            if hasattr(callback, "on_abort"):
                callback.on_abort()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Call `on_epoch_begin` of each."""
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Call `on_epoch_end` of each."""
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def begin(self, what: str, logs: Logs | None = None) -> None:
        """Call ``on_WHAT_begin`` of each; `what` is train, test or predict."""
        getattr(self, f"on_{what}_begin")(logs)

    def end(self, what: str, logs: Logs | None = None) -> None:
        """Call ``on_WHAT_end`` of each; `what` is train, test or predict."""
        getattr(self, f"on_{what}_end")(logs)

    def wants_every_batch(self, what: str) -> bool:
        """Return whether a hook must be called for every batch; `what` is as in `begin`."""
        return any(
            not getattr(callback, "lazy_logs", False)
            for when in ("begin", "end")
            for callback in self._batch_hooks[f"on_{what}_batch_{when}"]
        )

    def batch_begin(self, what: str, batch: int) -> None:
        """Call ``on_WHAT_batch_begin`` of those that have one."""
        getattr(self, f"on_{what}_batch_begin")(batch)

    def batch_end(self, what: str, batch: int, logs: Mapping[str, Any]) -> None:
        """Call ``on_WHAT_batch_end`` of those that have one; fetch `logs` only if one reads it."""
        getattr(self, f"on_{what}_batch_end")(batch, logs)


def _calling_each(hook: str) -> Callable[..., None]:
    def call(self: CallbackList, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(logs)

    return call


def _calling_some(hook: str) -> Callable[..., None]:
    def call(self: CallbackList, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        numbers: Logs | None = None
        for callback in self._batch_hooks[hook]:
            given = dict(logs or {}) if getattr(callback, "lazy_logs", False) else None
            if given is None:
                numbers = to_numbers(logs or {}) if numbers is None else numbers
                given = dict(numbers)
            getattr(callback, hook)(batch, given)

    return call


for _hook in (name for name in vars(Callback) if name.startswith("on_")):
    if _hook not in vars(CallbackList):
        _method = (_calling_some if _hook in _BATCH_HOOKS else _calling_each)(_hook)
        _method.__name__, _method.__doc__ = _hook, f"Call `{_hook}` of each."
        setattr(CallbackList, _hook, _method)


def _listed(callbacks: Any) -> list[Callback]:
    if callbacks is None:
        return []
    items = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    for item in items:
        if not hasattr(item, "on_epoch_end"):
            shown = f"the class {item.__name__}" if isinstance(item, type) else repr(item)
            raise ArgumentTypeError(
                f"callbacks are objects of plait.callbacks.Callback; received {shown}.",
                fix="subclass plait.callbacks.Callback, or use LambdaCallback(on_epoch_end=...)",
            )
        if isinstance(item, type):
            raise ArgumentTypeError(
                f"callbacks are objects; received the class {item.__name__}.",
                fix=f"{item.__name__}(...)",
            )
    return items


def _overrides(callback: Any, hook: str) -> bool:
    base = getattr(Callback, hook)
    if getattr(type(callback), hook, base) is not base or hook in vars(callback):
        return True
    older = hook.replace("train_", "")
    return "train_" in hook and _overrides(callback, older)
