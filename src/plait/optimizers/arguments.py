"""What an optimizer's arguments may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypedDict

import numpy as np

from plait.core.variable import Variable
from plait.errors import ArgumentTypeError, ConfigError, did_you_mean


class OtherOptions(TypedDict, total=False):
    """The arguments that every optimizer takes, without weight decay; see `Optimizer`."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class Options(OtherOptions, total=False):
    """The arguments that every optimizer takes; see `Optimizer`."""

    weight_decay: float | None


def refuse(owner: object, unknown: Iterable[str], known: Iterable[str]) -> NoReturn:
    """Raise for arguments that an optimizer does not have."""
    name, known = next(iter(unknown)), list(known)
    hint = " Did you mean 'learning_rate'?" if name == "lr" else did_you_mean(name, known)
    raise ArgumentTypeError(
        f"{type(owner).__name__} has no argument {name!r}.{hint}",
        fix=f"one of {', '.join(known)}",
    )


def check_range(owner: object, name: str, value: Any, low: float, high: float) -> None:
    """Raise unless `value` is a number from `low` to `high`."""
    if not isinstance(value, int | float | np.number) or not low <= value <= high:
        bound = f"of at least {low:g}" if high == np.inf else f"from {low:g} to {high:g}"
        if low == -np.inf:
            bound = f"of at most {high:g}"
        raise ConfigError(f"{type(owner).__name__}: {name} is a number {bound}, not {value!r}.")


def check_whole(owner: object, name: str, value: Any, least: int) -> None:
    """Raise unless `value` is a whole number of at least `least`, or nothing (None or 0)."""
    if value and (not isinstance(value, int | np.integer) or value < least):
        raise ConfigError(
            f"{type(owner).__name__}: {name} is a whole number of at least {least}, or None, "
            f"not {value!r}."
        )


def number(owner: object, value: Any) -> Any:
    """Return the number that an argument ``learning_rate=`` gives.

    Raises:
        ArgumentTypeError: it is none.
    """
    if isinstance(value, Variable):
        value = value.value
    if isinstance(value, str | bytes) or value is None or np.shape(value) != ():
        raise ArgumentTypeError(
            f"{type(owner).__name__}: learning_rate is a number, a LearningRateSchedule or a "
            f"function of the step, not {value!r}.",
            fix=f"{type(owner).__name__}(learning_rate=0.001)",
        )
    return value


def by_path(variables: Mapping[str, Variable] | Sequence[Variable]) -> dict[str, Variable]:
    """Return the variables by path; in a sequence, clashing paths are made unique by position."""
    if isinstance(variables, Mapping):
        return dict(variables)
    named: dict[str, Variable] = {}
    for variable in variables:
        path, count = variable.path, 0
        while path in named:
            count += 1
            path = f"{variable.path}_{count}"
        named[path] = variable
    return named
