"""Learning rates that depend on the number of updates so far; each formula is Keras 3's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from plait.core import registry
from plait.core.registry import Configurable
from plait.core.variable import Variable
from plait.errors import ConfigError

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule(Configurable):
    """Base of the schedules: a function of the step, written with `jax.numpy`.

    The step is an int32 scalar, and traced during training, so Python's ``if`` cannot look at it.

    Example:
        >>> from plait.optimizers.schedules import LearningRateSchedule
        >>> class Harmonic(LearningRateSchedule):
        ...     def __init__(self, initial_learning_rate):
        ...         self.initial_learning_rate = initial_learning_rate
        ...     def __call__(self, step):
        ...         return self.initial_learning_rate / (step + 1)
        >>> Harmonic(0.5)(4)
        0.1
    """

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, step)")


class ExponentialDecay(LearningRateSchedule):
    """Decay by the factor `decay_rate` every `decay_steps`.

    ``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: more than 0.
        decay_rate: the factor.
        staircase: decay at whole multiples of `decay_steps` only.
        name: shows in nothing but the configuration.

    Example:
        >>> from plait.optimizers.schedules import ExponentialDecay
        >>> float(ExponentialDecay(1.0, decay_steps=10, decay_rate=0.5)(20))
        0.25
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(self, "decay_steps", decay_steps)
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`."""
        periods = _periods(step, self.decay_steps, self.staircase)
        return self.initial_learning_rate * jnp.power(jnp.float32(self.decay_rate), periods)


class InverseTimeDecay(LearningRateSchedule):
    """Decay as one over time.

    ``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: more than 0.
        decay_rate: how fast.
        staircase: decay at whole multiples of `decay_steps` only.
        name: shows in nothing but the configuration.

    Example:
        >>> from plait.optimizers.schedules import InverseTimeDecay
        >>> float(InverseTimeDecay(1.0, decay_steps=10, decay_rate=0.5)(20))
        0.5
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(self, "decay_steps", decay_steps)
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`."""
        periods = _periods(step, self.decay_steps, self.staircase)
        return self.initial_learning_rate / (1 + self.decay_rate * periods)


class PiecewiseConstantDecay(LearningRateSchedule):
    """Use one rate until a boundary, then the next.

    Args:
        boundaries: increasing steps; ``values[i]`` is in force up to and including
            ``boundaries[i]``.
        values: one more than boundaries.
        name: shows in nothing but the configuration.

    Example:
        >>> from plait.optimizers.schedules import PiecewiseConstantDecay
        >>> schedule = PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.25])
        >>> [float(schedule(step)) for step in (100, 101, 201)]
        [1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        if len(values) != len(boundaries) + 1:
            raise ConfigError(
                f"PiecewiseConstantDecay got {len(boundaries)} boundaries, {len(values)} values.",
                fix="give one value more than boundaries: the last holds for ever",
            )
        self.boundaries, self.values, self.name = boundaries, values, name

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`."""
        passed = jnp.sum(_number(step) > jnp.asarray(self.boundaries))
        return jnp.asarray(self.values, jnp.float32)[passed]


class PolynomialDecay(LearningRateSchedule):
    """Go down to `end_learning_rate` along a polynomial.

    ``(initial - end) * (1 - step / decay_steps) ** power + end``, with the step held at
    `decay_steps`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: more than 0; when the end is reached.
        end_learning_rate: the rate from there on.
        power: 1 is a straight line.
        cycle: past `decay_steps`, stretch it to its next multiple, so that the rate goes up again.
        name: shows in nothing but the configuration.

    Example:
        >>> from plait.optimizers.schedules import PolynomialDecay
        >>> float(PolynomialDecay(1.0, decay_steps=10, end_learning_rate=0.5)(5))
        0.75
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(self, "decay_steps", decay_steps)
        self.end_learning_rate, self.power = end_learning_rate, power
        self.cycle, self.name = cycle, name

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`."""
        done = _periods(step, self.decay_steps)
        if self.cycle:
            done /= jnp.maximum(-_whole(-_number(step), self.decay_steps), 1)
        done = jnp.minimum(done, 1)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * jnp.power(1 - done, self.power) + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Go down along half a cosine, after a linear warm-up if asked for.

    ``initial * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha)`` (Loshchilov &
    Hutter 2016; the warm-up is Goyal et al. 2017).

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: more than 0; how long the way down takes, not counting the warm-up.
        alpha: the share of the rate that is left in the end.
        name: shows in nothing but the configuration.
        warmup_target: where the warm-up goes to, and the cosine starts; None: no warm-up.
        warmup_steps: how long the warm-up takes.

    Example:
        >>> from plait.optimizers.schedules import CosineDecay
        >>> schedule = CosineDecay(0.0, decay_steps=10, warmup_target=1.0, warmup_steps=4)
        >>> [round(float(schedule(step)), 3) for step in (0, 1, 4, 9, 14)]
        [0.0, 0.25, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(self, "decay_steps", decay_steps)
        self.alpha, self.name = alpha, name
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`."""
        start, step = self.initial_learning_rate, jnp.asarray(_number(step), jnp.float32)
        if self.warmup_target is None:
            return start * self._left(step)
        climb = (self.warmup_target - start) * (step / jnp.float32(self.warmup_steps)) + start
        descent = self.warmup_target * self._left(step - self.warmup_steps)
        return jnp.where(step < self.warmup_steps, climb, descent)

    def _left(self, step: Any) -> Any:
        done = jnp.minimum(step, self.decay_steps) / self.decay_steps
        return (1 - self.alpha) * 0.5 * (1 + jnp.cos(math.pi * done)) + self.alpha


class CosineDecayRestarts(LearningRateSchedule):
    """Go down along half a cosine again and again (SGDR, Loshchilov & Hutter 2016).

    Args:
        initial_learning_rate: the rate at step 0.
        first_decay_steps: more than 0; the length of the first period.
        t_mul: each period is so many times as long as the one before.
        m_mul: and starts at so many times its rate.
        alpha: the share of the rate that is left at the end of a period.
        name: shows in nothing but the configuration.

    Example:
        >>> from plait.optimizers.schedules import CosineDecayRestarts
        >>> schedule = CosineDecayRestarts(1.0, first_decay_steps=10, m_mul=0.5)
        >>> [round(float(schedule(step)), 3) for step in (0, 5, 10, 20)]
        [1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = _positive(self, "first_decay_steps", first_decay_steps)
        self.t_mul, self.m_mul, self.alpha, self.name = t_mul, m_mul, alpha, name

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`."""
        done = _periods(step, self.first_decay_steps)
        if self.t_mul == 1:
            restarts = _whole(_number(step), self.first_decay_steps)
            done = done - restarts
        else:
            growth = jnp.float32(self.t_mul)
            restarts = jnp.floor(jnp.log(1 - done * (1 - growth)) / jnp.log(growth))
            length = jnp.power(growth, restarts)
            done = (done - (1 - length) / (1 - growth)) / length
        top = jnp.power(jnp.float32(self.m_mul), restarts)
        cosine = 0.5 * top * (1 + jnp.cos(math.pi * done))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """Return a schedule as plain data."""
    return registry.serialize(learning_rate_schedule)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> LearningRateSchedule:
    """Make a schedule from what `serialize` returned."""
    with registry.custom_object_scope(custom_objects):
        return registry.deserialize(config, "optimizers")


def _number(step: Any) -> Any:
    return step.value if isinstance(step, Variable) else step


def _periods(step: Any, length: float, whole: bool = False) -> Any:
    step = _number(step)
    return _whole(step, length) if whole else jnp.asarray(step, jnp.float32) / length


def _whole(step: Any, length: float) -> Any:
    # Compiled, a division by a constant is a product, whose floor can miss a boundary.
    return jnp.floor_divide(step, length).astype(jnp.float32)


def _positive(owner: object, name: str, value: Any) -> Any:
    if not np.all(np.asarray(value) > 0):
        raise ConfigError(f"{type(owner).__name__}: {name} must be more than 0, not {value!r}.")
    return value
