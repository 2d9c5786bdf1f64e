"""Regularizers: penalties on weights or outputs, added to the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp

from plait.core import registry
from plait.errors import ConfigError, ShapeError

_EPSILON = 1e-7
"""Keras' `epsilon()`: vectors shorter than this are not brought to unit length."""


class Regularizer(registry.Configurable):
    """Compute a penalty from an array; subclass it and write `__call__`.

    Any function of one array that returns a scalar serves as well.

    Example:
        >>> import jax.numpy as jnp
        >>> import plait
        >>> class Total(plait.regularizers.Regularizer):
        ...     def __call__(self, x):
        ...         return jnp.sum(x)
        >>> float(Total()(jnp.ones((2, 2))))
        4.0
    """

    def __call__(self, x: Any) -> Any:
        """Return the penalty, a scalar of the dtype of `x`."""
        return 0.0


class L1L2(Regularizer):
    """Penalize with ``l1 * sum(|x|) + l2 * sum(x**2)`` (Keras 3).

    Args:
        l1: the factor of the absolute values.
        l2: the factor of the squares.

    Raises:
        ConfigError: a factor that is not a finite number of at least 0.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> float(plait.regularizers.L1L2(l1=0.5, l2=1.0)(np.array([1.0, -2.0])))
        6.5
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _factor(l1, "L1L2's l1")
        self.l2 = _factor(l2, "L1L2's l2")

    def __call__(self, x: Any) -> jax.Array:
        """Return the penalty."""
        x = jnp.asarray(x)
        penalty = jnp.zeros((), x.dtype)
        if self.l1:
            penalty += self.l1 * jnp.sum(jnp.abs(x))
        if self.l2:
            penalty += self.l2 * jnp.sum(jnp.square(x))
        return penalty


class L1(Regularizer):
    """Penalize with ``l1 * sum(|x|)`` (Keras 3).

    Args:
        l1: the factor.

    Raises:
        ConfigError: a factor that is not a finite number of at least 0.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> float(plait.regularizers.L1(0.5)(np.array([1.0, -2.0])))
        1.5
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor(l1, "L1's l1")

    def __call__(self, x: Any) -> jax.Array:
        """Return the penalty."""
        return self.l1 * jnp.sum(jnp.abs(jnp.asarray(x)))


class L2(Regularizer):
    """Penalize with ``l2 * sum(x**2)`` (Keras 3).

    Args:
        l2: the factor.

    Raises:
        ConfigError: a factor that is not a finite number of at least 0.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> float(plait.regularizers.L2(0.5)(np.array([1.0, -2.0])))
        2.5
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor(l2, "L2's l2")

    def __call__(self, x: Any) -> jax.Array:
        """Return the penalty."""
        return self.l2 * jnp.sum(jnp.square(jnp.asarray(x)))


class OrthogonalRegularizer(Regularizer):
    """Penalize rows (or columns) of a matrix that are not orthogonal to each other.

    The penalty is `factor` times the mean of ``|cos|`` of the angle over all pairs (Keras 3).

    Args:
        factor: the factor.
        mode: "rows" or "columns".

    Raises:
        ConfigError: a factor that is not a finite number of at least 0, or an unknown `mode`.
        ShapeError: when called with an array that is not of rank 2.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> float(plait.regularizers.OrthogonalRegularizer(0.5)(np.ones((2, 4))))
        0.5
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor(factor, "OrthogonalRegularizer's factor")
        if mode not in ("rows", "columns"):
            raise ConfigError(
                f"OrthogonalRegularizer knows no mode {mode!r}.", fix="mode='rows' or 'columns'"
            )
        self.mode = mode

    def __call__(self, x: Any) -> jax.Array:
        """Return the penalty of a matrix."""
        x = jnp.asarray(x)
        if x.ndim != 2:
            raise ShapeError(
                f"OrthogonalRegularizer penalizes matrices; it was given shape {x.shape}.",
                fix="use it on a kernel of rank 2",
            )
        vectors = x if self.mode == "rows" else x.T
        lengths = jax.lax.rsqrt(jnp.sum(jnp.square(vectors), axis=1, keepdims=True))
        vectors = vectors * jnp.minimum(lengths, 1 / _EPSILON)
        size = len(vectors)
        cosines = (vectors @ vectors.T) * (1 - jnp.eye(size, dtype=x.dtype))
        return self.factor * jnp.sum(jnp.abs(cosines)) / (size * (size - 1.0))


def _factor(value: Any, name: str) -> float:
    if not isinstance(value, Real) or not math.isfinite(value) or value < 0:
        raise ConfigError(f"{name} is a finite number of at least 0, not {value!r}.")
    return float(value)


l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

_names: dict[str, type[Regularizer]] = {
    "L1": L1,
    "L1L2": L1L2,
    "L2": L2,
    "OrthogonalRegularizer": OrthogonalRegularizer,
    "l1": L1,
    "l1_l2": L1L2,
    "l1l2": L1L2,
    "l2": L2,
    "orthogonal_regularizer": OrthogonalRegularizer,
}

for _name, _class in _names.items():
    registry.register_class("regularizers", _class, _name)


def get(identifier: Any) -> Callable[[Any], Any] | None:
    """Return the regularizer that an argument means.

    Args:
        identifier: a name ("l2", "L2"), a configuration, a class, or a function from an array to a
            scalar. None stays None.

    Raises:
        ConfigError: an unknown name.
        ArgumentTypeError: none of these.
    """
    if identifier is None:
        return None
    return registry.lookup(identifier, _names, "regularizers", "regularizer")


def serialize(regularizer: Any) -> Any:
    """Return the configuration of a regularizer (see `plait.saving`)."""
    return registry.serialize(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the regularizer that `config`, what `serialize` returned, describes.

    Args:
        config: the configuration, or a name.
        custom_objects: classes and functions of yours that it may name.
    """
    with registry.custom_object_scope(custom_objects):
        return get(config)
