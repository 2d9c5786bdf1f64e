"""Keep gradients small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from plait.errors import ConfigError

Gradients = dict[str, jax.Array]


def clipper(
    clipnorm: float | None, clipvalue: float | None, global_clipnorm: float | None
) -> Callable[[Gradients], Gradients]:
    """Return the function that clips gradients; at most one of the limits may be given.

    Args:
        clipnorm: the largest L2 norm of each gradient.
        clipvalue: the largest absolute value of each element.
        global_clipnorm: the largest L2 norm of all gradients taken together.

    Raises:
        ConfigError: more than one limit is given.
    """
    limits = {
        "clipnorm": clipnorm,
        "clipvalue": clipvalue,
        "global_clipnorm": global_clipnorm,
    }
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if len(given) > 1:
        shown = ", ".join(f"{name}={limit}" for name, limit in given.items())
        raise ConfigError(
            f"an optimizer clips in one way only, but it was given {shown}.",
            fix=f"keep {next(iter(given))} and leave out the others",
        )
    for name, limit in given.items():
        if limit and limit > 0:
            return lambda grads: _CLIPS[name](grads, limit)
    return lambda grads: grads


def _by_norm(grads: Mapping[str, Any], limit: float) -> Gradients:
    return {
        path: g * limit / jnp.maximum(jnp.sqrt(jnp.sum(jnp.square(g))), limit)
        for path, g in grads.items()
    }


def _by_value(grads: Mapping[str, Any], limit: float) -> Gradients:
    return {path: jnp.clip(g, -limit, limit) for path, g in grads.items()}


def _by_global_norm(grads: Mapping[str, Any], limit: float) -> Gradients:
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in grads.values()))
    # norm - norm is NaN when a gradient is not finite, so that no variable hides it (as in Keras).
    scale = limit / jnp.maximum(norm, limit) + (norm - norm)
    return {path: (g * scale).astype(g.dtype) for path, g in grads.items()}


_CLIPS = {"clipnorm": _by_norm, "clipvalue": _by_value, "global_clipnorm": _by_global_norm}
