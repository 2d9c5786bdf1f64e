"""Write an optax transformation as what happens to one variable.

Optax takes as long to import as plait. Plait's own optimizers need nothing of it but the class of
their transformations, so it is only imported for those of others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from plait.core import dtypes

if TYPE_CHECKING:
    import optax

Init = Callable[[Any], Any]
Update = Callable[..., tuple[Any, Any]]


class _Functions(NamedTuple):
    init: Any
    update: Any


class _Transformation(_Functions):
    """Optax's transformation with extra arguments, also to `isinstance` once optax is imported."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        optax = sys.modules.get("optax")
        return _Transformation if optax is None else optax.GradientTransformationExtraArgs


def transformation(init: Any, update: Any) -> optax.GradientTransformationExtraArgs:
    """Return the optax transformation that consists of two functions on trees of variables."""
    return cast("optax.GradientTransformationExtraArgs", _Transformation(init, update))


def with_extra_arguments(
    given: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Return a transformation whose `update` takes extra arguments, if only to ignore them."""
    if type(given) is _Transformation:
        return given
    import optax

    return optax.with_extra_args_support(given)


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

    return transformation(init_all, update_all)


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
