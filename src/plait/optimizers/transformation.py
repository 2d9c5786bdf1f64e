"""Write an optax transformation as what happens to one variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from plait.core import dtypes

Init = Callable[[Any], Any]
Update = Callable[..., tuple[Any, Any]]


def per_variable(init: Init, update: Update) -> optax.GradientTransformationExtraArgs:
    """Return the optax transformation that treats each variable by itself.

    Args:
        init: ``variable -> slots``, a (named) tuple of arrays; None stands for no slot.
        update: ``(gradient, slots, variable, **numbers) -> (change, slots)``; `change` is added to
            the variable. `numbers` are optax's extra arguments: plait's optimizers give
            `learning_rate` and `step`, which counts updates from 1. It sees everything in float32
            where a variable is of a half-width float, and what it returns is rounded to that.
    """

    def init_all(params: Any) -> Any:
        return jax.tree.map(init, params)

    def update_all(grads: Any, state: Any, params: Any = None, **numbers: Any) -> tuple[Any, Any]:
        structure: Any
        gradients, structure = jax.tree.flatten(grads)
        changes, slots = [], []
        for gradient, old, variable in zip(
            gradients, structure.flatten_up_to(state), structure.flatten_up_to(params), strict=True
        ):
            wide = jnp.promote_types(variable.dtype, jnp.float32)
            given = {name: jnp.asarray(number, wide) for name, number in numbers.items()}
            before = jax.tree.map(lambda slot, wide=wide: slot.astype(wide), old)
            change, after = update(
                gradient.astype(wide), before, jnp.asarray(variable, wide), **given
            )
            changes.append(change.astype(variable.dtype))
            slots.append(jax.tree.map(lambda new, slot: new.astype(slot.dtype), after, old))
        return structure.unflatten(changes), structure.unflatten(slots)

    return optax.GradientTransformationExtraArgs(init_all, update_all)  # type: ignore[arg-type]


def scale_by_learning_rate() -> optax.GradientTransformationExtraArgs:
    """Return the transformation that turns a direction into a step down: ``-learning_rate * d``.

    Put it last in an `optax.chain` that a subclass of `Optimizer` returns.
    """
    return per_variable(
        lambda variable: (),
        lambda direction, slots, variable, learning_rate, step: (
            -learning_rate * direction,
            slots,
        ),
    )


def full(variable: Any, value: float = 0.0) -> np.ndarray:
    """Return an array like `variable` that holds `value`; nothing is compiled for it."""
    return np.broadcast_to(np.asarray(value, dtypes.standardize(variable.dtype)), variable.shape)
