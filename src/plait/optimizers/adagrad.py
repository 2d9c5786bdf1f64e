"""Optimizers that scale each element's step by the size of its gradients so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import jax.numpy as jnp

from plait.optimizers.arguments import Options
from plait.optimizers.optimizer import Optimizer
from plait.optimizers.transformation import full, per_variable

if TYPE_CHECKING:
    import optax


class SumSlots(NamedTuple):
    """The sum of squared gradients."""

    accumulator: Any


class Adagrad(Optimizer):
    """Divide by the root of the sum of all squared gradients (Duchi et al. 2011).

    ``a += g**2``; ``w -= learning_rate * g / sqrt(a + epsilon)``.

    Args:
        learning_rate: default 0.001; see `Optimizer` for it and for `options`.
        initial_accumulator_value: where the sum starts.
        epsilon: keeps the divisor from 0.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Adagrad
        >>> weight = Variable([1.0], name="weight")
        >>> adagrad = Adagrad(learning_rate=0.5, initial_accumulator_value=7.0)
        >>> adagrad.apply([jnp.array([3.0])], [weight])
        >>> round(float(weight.value[0]), 3)
        0.625
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def transformation(self) -> optax.GradientTransformation:
        """Return Adagrad's update."""
        start, epsilon = self.initial_accumulator_value, self.epsilon

        def update(
            gradient: Any, slots: SumSlots, variable: Any, learning_rate: Any, step: Any
        ) -> tuple[Any, SumSlots]:
            total = slots.accumulator + jnp.square(gradient)
            return -(learning_rate * gradient) / jnp.sqrt(total + epsilon), SumSlots(total)

        return per_variable(lambda variable: SumSlots(full(variable, start)), update)


class DeltaSlots(NamedTuple):
    """The mean squares of the gradient and of the changes."""

    accumulated_grad: Any
    accumulated_delta_var: Any


class Adadelta(Optimizer):
    """Scale the gradient by the root mean square of past changes over its own (Zeiler 2012).

    Args:
        learning_rate: default 0.001; the paper has 1.0. See `Optimizer` for `options`.
        rho: the share of the mean squares that stays.
        epsilon: is added to both mean squares.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Adadelta
        >>> weight, adadelta = Variable([1.0], name="weight"), Adadelta(learning_rate=1.0)
        >>> adadelta.apply([jnp.array([3.0])], [weight])
        >>> list(adadelta.slots)
        ['weight/accumulated_grad', 'weight/accumulated_delta_var']
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho, self.epsilon = rho, epsilon

    def transformation(self) -> optax.GradientTransformation:
        """Return Adadelta's update."""
        rho, epsilon = self.rho, self.epsilon

        def update(
            gradient: Any, slots: DeltaSlots, variable: Any, learning_rate: Any, step: Any
        ) -> tuple[Any, DeltaSlots]:
            squares = rho * slots.accumulated_grad + (1 - rho) * jnp.square(gradient)
            past = jnp.sqrt(slots.accumulated_delta_var + epsilon)
            change = -(past * gradient) / jnp.sqrt(squares + epsilon)
            changes = rho * slots.accumulated_delta_var + (1 - rho) * jnp.square(change)
            return learning_rate * change, DeltaSlots(squares, changes)

        return per_variable(lambda variable: DeltaSlots(full(variable), full(variable)), update)


class RMSSlots(NamedTuple):
    """The mean square of the gradient, and what the options need."""

    velocity: Any
    momentum: Any
    average_gradient: Any


class RMSprop(Optimizer):
    """Divide by the root of a running mean of squared gradients (Hinton 2012).

    ``v = rho * v + (1 - rho) * g**2``; ``w -= learning_rate * g / sqrt(v + epsilon)``.

    Args:
        learning_rate: default 0.001; see `Optimizer` for it and for `options`.
        rho: the share of the mean square that stays.
        momentum: the share of the last change that is added to this one.
        epsilon: is added to the mean square.
        centered: divide by the root of the variance, not of the mean square.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import RMSprop
        >>> weight = Variable([1.0], name="weight")
        >>> RMSprop(learning_rate=0.1, rho=0.75).apply([jnp.array([3.0])], [weight])
        >>> round(float(weight.value[0]), 3)
        0.8
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho, self.momentum, self.epsilon = rho, momentum, epsilon
        self.centered = centered

    def transformation(self) -> optax.GradientTransformation:
        """Return RMSprop's update."""
        rho, momentum, epsilon, centered = self.rho, self.momentum, self.epsilon, self.centered

        def init(variable: Any) -> RMSSlots:
            return RMSSlots(
                full(variable),
                full(variable) if momentum > 0 else None,
                full(variable) if centered else None,
            )

        def update(
            gradient: Any, slots: RMSSlots, variable: Any, learning_rate: Any, step: Any
        ) -> tuple[Any, RMSSlots]:
            velocity = rho * slots.velocity + (1 - rho) * jnp.square(gradient)
            average, spread = None, velocity
            if centered:
                average = rho * slots.average_gradient + (1 - rho) * gradient
                spread = velocity - jnp.square(average)
            descent = learning_rate * gradient / jnp.sqrt(spread + epsilon)
            if momentum > 0:
                descent = momentum * slots.momentum + descent
            return -descent, RMSSlots(velocity, descent if momentum > 0 else None, average)

        return per_variable(init, update)
