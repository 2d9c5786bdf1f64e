"""Any optax transformation as an optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import jax

from plait.errors import ConfigError
from plait.optimizers.arguments import Options
from plait.optimizers.optimizer import Optimizer
from plait.optimizers.transformation import transformation, with_extra_arguments

if TYPE_CHECKING:
    import optax


class OptaxOptimizer(Optimizer):
    """Train by an optax transformation: ``compile(optimizer=optax.adam(1e-3))``.

    Args:
        gradient_transformation: what optax's functions return. Its updates are added.
        learning_rate: default 1.0; its updates are multiplied by this. Give a number or schedule
            here, and 1.0 to optax, to let callbacks change the rate during training.
        options: see `Optimizer`.

    Example:
        >>> import jax.numpy as jnp
        >>> import optax
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import OptaxOptimizer
        >>> weight = Variable([1.0], name="weight")
        >>> optimizer = OptaxOptimizer(optax.adam(0.1))
        >>> optimizer.apply([jnp.array([5.0])], [weight])
        >>> round(float(weight.value[0]), 3)
        0.9
        >>> list(optimizer.slots)
        ['weight/mu', 'weight/nu', 'count']
    """

    def __init__(
        self,
        gradient_transformation: optax.GradientTransformation,
        learning_rate: Any = 1.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.gradient_transformation = gradient_transformation

    def transformation(self) -> optax.GradientTransformation:
        """Return the transformation, scaled by the learning rate."""
        inner = with_extra_arguments(self.gradient_transformation)

        def update(
            grads: Any, state: Any, params: Any = None, *, learning_rate: Any, **extra: Any
        ) -> tuple[Any, Any]:
            changes, state = inner.update(
                grads, state, params, learning_rate=learning_rate, **extra
            )
            return jax.tree.map(lambda change: learning_rate * change, changes), state

        return transformation(inner.init, update)

    def get_config(self) -> dict[str, Any]:
        """Refuse: optax's transformations are functions without a configuration.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"optimizer '{self.name}' holds an optax transformation, a pair of functions that "
            "cannot be written down.",
            fix="subclass Optimizer, return the transformation from transformation(self), and "
            "decorate the class with @plait.saving.register_serializable()",
        )
