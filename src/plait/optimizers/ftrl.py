"""Follow the regularized leader: weights that become exactly 0."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import jax.numpy as jnp

from plait.optimizers.arguments import Options, check_range
from plait.optimizers.optimizer import Optimizer
from plait.optimizers.transformation import full, per_variable

if TYPE_CHECKING:
    import optax


class LeaderSlots(NamedTuple):
    """The sum of squared gradients and the linear term of the leader."""

    accumulator: Any
    linear: Any


class Ftrl(Optimizer):
    """Set each weight to the best one for all gradients so far, with L1 and L2 penalties.

    ``w = (clip(z, -l1, l1) - z) / (n**-power / learning_rate + 2 * l2)``, with ``n`` the sum of
    squared gradients and ``z`` the linear term (McMahan et al. 2013, with the shrinkage of Keras).

    Args:
        learning_rate: default 0.001; see `Optimizer` for it and for `options`.
        learning_rate_power: at most 0; how fast steps shrink with ``n``.
        initial_accumulator_value: where ``n`` starts; at least 0.
        l1_regularization_strength: at least 0; what makes weights 0.
        l2_regularization_strength: at least 0.
        l2_shrinkage_regularization_strength: at least 0; an L2 penalty on the gradient's side,
            that leaves ``n`` alone.
        beta: is added to the L2 strength as ``beta / (2 * learning_rate)``.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Ftrl
        >>> weight = Variable([1.0], name="weight")
        >>> Ftrl(0.1, l1_regularization_strength=9.0).apply([jnp.array([0.5])], [weight])
        >>> weight.numpy().tolist()
        [0.0]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        check_range(self, "learning_rate_power", learning_rate_power, -math.inf, 0)
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        for name in (
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
        ):
            check_range(self, name, getattr(self, name), 0, math.inf)

    def transformation(self) -> optax.GradientTransformation:
        """Return the step to the leader."""
        power, beta = -self.learning_rate_power, self.beta
        l1, l2 = self.l1_regularization_strength, self.l2_regularization_strength
        shrinkage = self.l2_shrinkage_regularization_strength
        start = self.initial_accumulator_value

        def init(variable: Any) -> LeaderSlots:
            return LeaderSlots(full(variable, start), full(variable))

        def update(
            gradient: Any, slots: LeaderSlots, variable: Any, learning_rate: Any, step: Any
        ) -> tuple[Any, LeaderSlots]:
            total = slots.accumulator + jnp.square(gradient)
            rate = total**power / learning_rate
            shift = (total**power - slots.accumulator**power) / learning_rate
            linear = slots.linear + (gradient + 2 * shrinkage * variable - shift * variable)
            quadratic = rate + 2 * (l2 + beta / (2 * learning_rate))
            leader = (jnp.clip(linear, -l1, l1) - linear) / quadratic
            return leader - variable, LeaderSlots(total, linear)

        return per_variable(init, update)
