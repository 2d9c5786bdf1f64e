"""`LambdaCallback`: a callback from functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plait.errors import ArgumentTypeError, did_you_mean
from plait.training.callback import Callback

_HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


class LambdaCallback(Callback):
    """Call functions at the hooks of a callback.

    Args:
        on_epoch_begin: ``(epoch, logs)``.
        on_epoch_end: ``(epoch, logs)``.
        on_train_begin: ``(logs)``.
        on_train_end: ``(logs)``.
        on_train_batch_begin: ``(batch, logs)``.
        on_train_batch_end: ``(batch, logs)``.
        hooks: functions for other hooks of `Callback`, by name.

    Raises:
        ArgumentTypeError: there is no hook of that name, or something is no function.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> shout = plait.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch))
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> _ = model.fit(x, y, epochs=2, verbose=0, callbacks=[shout])
        0
        1
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **hooks: Callable[..., Any] | None,
    ) -> None:
        super().__init__()
        hooks |= {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in hooks.items():
            if name not in _HOOKS:
                raise ArgumentTypeError(
                    f"LambdaCallback: there is no hook {name!r}.{did_you_mean(name, _HOOKS)}",
                    fix=f"one of {', '.join(_HOOKS)}",
                )
            if function is None:
                continue
            if not callable(function):
                raise ArgumentTypeError(
                    f"LambdaCallback: {name} is a function; received {function!r}."
                )
            setattr(self, name, function)
