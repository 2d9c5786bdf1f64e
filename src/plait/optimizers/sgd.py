"""Optimizers that follow the gradient or its sign, smoothed by momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import jax.numpy as jnp

from plait.optimizers.arguments import Options, check_range
from plait.optimizers.optimizer import Optimizer
from plait.optimizers.transformation import full, per_variable

if TYPE_CHECKING:
    import optax


class MomentumSlots(NamedTuple):
    """The velocity of a variable, where there is momentum."""

    momentum: Any


class SGD(Optimizer):
    """Descend along the gradient, with momentum if asked for.

    ``m = momentum * m - learning_rate * g``; the variable changes by ``m``, and with `nesterov` by
    ``momentum * m - learning_rate * g`` (Sutskever et al. 2013, as in Keras).

    Args:
        learning_rate: default 0.01; see `Optimizer` for it and for `options`.
        momentum: within [0, 1]; 0 keeps no slot.
        nesterov: look ahead by one step of momentum.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import SGD
        >>> weight = Variable([1.0], name="weight")
        >>> SGD(learning_rate=0.1).apply([jnp.array([2.0])], [weight])
        >>> round(float(weight.value[0]), 3)
        0.8
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        check_range(self, "momentum", momentum, 0, 1)
        self.momentum, self.nesterov = momentum, nesterov

    def transformation(self) -> optax.GradientTransformation:
        """Return the descent with momentum."""
        momentum, nesterov = self.momentum, self.nesterov

        def init(variable: Any) -> MomentumSlots:
            return MomentumSlots(full(variable) if momentum else None)

        def update(
            gradient: Any, slots: MomentumSlots, variable: Any, learning_rate: Any, step: Any
        ) -> tuple[Any, MomentumSlots]:
            descent = -learning_rate * gradient
            if not momentum:
                return descent, slots
            m = momentum * slots.momentum + descent
            return (momentum * m + descent if nesterov else m), MomentumSlots(m)

        return per_variable(init, update)


class Lion(Optimizer):
    """Descend along the sign of the gradient mixed with momentum (Chen et al. 2023).

    ``w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g)``, then
    ``m = beta_2 * m + (1 - beta_2) * g``.

    Args:
        learning_rate: default 0.001; about a tenth of Adam's is usual.
        beta_1: the share of momentum in the direction, within (0, 1].
        beta_2: the share of momentum that stays.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Lion
        >>> weight = Variable([1.0, 1.0], name="weight")
        >>> Lion(learning_rate=0.25).apply([jnp.array([7.0, -0.1])], [weight])
        >>> weight.numpy().tolist()
        [0.75, 1.25]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        check_range(self, "beta_1", beta_1, 1e-30, 1)
        self.beta_1, self.beta_2 = beta_1, beta_2

    def transformation(self) -> optax.GradientTransformation:
        """Return the signed descent."""
        beta_1, beta_2 = self.beta_1, self.beta_2

        def update(
            gradient: Any, slots: MomentumSlots, variable: Any, learning_rate: Any, step: Any
        ) -> tuple[Any, MomentumSlots]:
            m = slots.momentum
            direction = jnp.sign(beta_1 * m + (1 - beta_1) * gradient)
            return -learning_rate * direction, MomentumSlots(beta_2 * m + (1 - beta_2) * gradient)

        return per_variable(lambda variable: MomentumSlots(full(variable)), update)
