"""Constraints: functions that bring a weight back to where it may be after each update."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from plait.core import registry

_EPSILON = 1e-7
"""Keras' `epsilon()`, added to norms that divide."""

Axes = int | Sequence[int]


class Constraint(registry.Configurable):
    """Project a weight; subclass it and write `__call__`.

    Any function from an array to an array of the same shape serves as well.

    Example:
        >>> import jax.numpy as jnp
        >>> import plait
        >>> class Bounded(plait.constraints.Constraint):
        ...     def __call__(self, w):
        ...         return jnp.clip(w, -1, 1)
        >>> Bounded()(jnp.array([-3.0, 0.5])).tolist()
        [-1.0, 0.5]
    """

    def __call__(self, w: Any) -> Any:
        """Return the projected weight; here the weight itself."""
        return w


class MaxNorm(Constraint):
    """Scale vectors down to a norm of at most `max_value`.

    ``w * min(norm, max_value) / (norm + 1e-7)`` (Keras 3).

    Args:
        max_value: the largest norm.
        axis: the axis or axes a vector runs along: 0 for the kernel of a Dense layer, (0, 1, 2) for
            that of a Conv2D layer.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> plait.constraints.MaxNorm(1.0)(np.array([[3.0], [4.0]])).round(3).tolist()
        [[0.6000000238418579], [0.800000011920929]]
    """

    def __init__(self, max_value: float = 2, axis: Axes = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> jax.Array:
        """Return the scaled weight."""
        norms = _norms(w, self.axis)
        return jnp.asarray(w) * (jnp.clip(norms, 0, self.max_value) / (_EPSILON + norms))


class NonNeg(Constraint):
    """Set negative weights to 0.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> plait.constraints.NonNeg()(np.array([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """

    def __call__(self, w: Any) -> jax.Array:
        """Return the weight, nowhere negative."""
        return jnp.maximum(jnp.asarray(w), 0)


class UnitNorm(Constraint):
    """Scale vectors to norm 1: ``w / (norm + 1e-7)`` (Keras 3).

    Args:
        axis: the axis or axes a vector runs along, as for `MaxNorm`.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> plait.constraints.UnitNorm()(np.array([[0.0], [4.0]])).tolist()
        [[0.0], [1.0]]
    """

    def __init__(self, axis: Axes = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> jax.Array:
        """Return the scaled weight."""
        return jnp.asarray(w) / (_EPSILON + _norms(w, self.axis))


class MinMaxNorm(Constraint):
    """Move the norms of vectors towards the range from `min_value` to `max_value`.

    ``w * (rate * clip(norm) + (1 - rate) * norm) / (norm + 1e-7)`` (Keras 3).

    Args:
        min_value: the smallest norm.
        max_value: the largest norm.
        rate: how far to go at each update: 1 is all the way.
        axis: the axis or axes a vector runs along, as for `MaxNorm`.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> plait.constraints.MinMaxNorm(1.0, 2.0)(np.array([[0.5], [0.0]])).round(3).tolist()
        [[1.0], [0.0]]
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axes = 0
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> jax.Array:
        """Return the scaled weight."""
        norms = _norms(w, self.axis)
        clipped = jnp.clip(norms, self.min_value, self.max_value)
        desired = self.rate * clipped + (1 - self.rate) * norms
        return jnp.asarray(w) * (desired / (_EPSILON + norms))


def _norms(w: Any, axis: Axes) -> jax.Array:
    axes = axis if isinstance(axis, int) else tuple(axis)
    return jnp.sqrt(jnp.sum(jnp.square(jnp.asarray(w)), axis=axes, keepdims=True))


max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

_names: dict[str, type[Constraint]] = {
    "MaxNorm": MaxNorm,
    "MinMaxNorm": MinMaxNorm,
    "NonNeg": NonNeg,
    "UnitNorm": UnitNorm,
    "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
}

for _name, _class in _names.items():
    registry.register_class("constraints", _class, _name)


def get(identifier: Any) -> Callable[[Any], Any] | None:
    """Return the constraint that an argument means.

    Args:
        identifier: a name ("max_norm", "MaxNorm"), a configuration, a class, or a function from an
            array to an array. None stays None.

    Raises:
        ConfigError: an unknown name.
        ArgumentTypeError: none of these.
    """
    if identifier is None:
        return None
    return registry.lookup(identifier, _names, "constraints", "constraint")


def serialize(constraint: Any) -> Any:
    """Return the configuration of a constraint (see `plait.saving`)."""
    return registry.serialize(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the constraint that `config`, what `serialize` returned, describes.

    Args:
        config: the configuration, or a name.
        custom_objects: classes and functions of yours that it may name.
    """
    with registry.custom_object_scope(custom_objects):
        return get(config)
