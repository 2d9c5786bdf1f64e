"""Activations: functions of one array, element by element or along an axis.

Formulas are those of Keras 3; most are in `jax.nn`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec

import jax
import jax.numpy as jnp

from plait.core import registry
from plait.errors import ShapeError

P = ParamSpec("P")

_names: dict[str, Callable[..., Any]] = {}


def _register(name: str, function: Callable[..., Any]) -> None:
    _names[name] = function
    registry.register_function("activations", function, name)


def _activation(
    function: Callable[Concatenate[Any, P], jax.Array],
) -> Callable[Concatenate[Any, P], jax.Array]:
    """Take anything that is an array to JAX, and be known by name."""

    @functools.wraps(function)
    def activation(x: Any, *args: P.args, **kwargs: P.kwargs) -> jax.Array:
        return function(jnp.asarray(x), *args, **kwargs)

    _register(function.__name__, activation)
    return activation


def linear(x: Any) -> Any:
    """Return `x`."""
    return x


_register("linear", linear)


@_activation
def relu(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> jax.Array:
    """Compute ``x`` above `threshold`, ``negative_slope * (x - threshold)`` below it.

    Args:
        x: an array.
        negative_slope: the slope below the threshold.
        max_value: the largest value; default: no limit.
        threshold: where the function turns.
    """
    if negative_slope and max_value is None and not threshold:
        return jax.nn.leaky_relu(x, negative_slope)
    if threshold:
        above = jnp.where(x > threshold, x, 0)
    else:
        above = jax.nn.relu6(x) if max_value == 6 else jax.nn.relu(x)
    if max_value is not None and (threshold or max_value != 6):
        above = jnp.clip(above, 0, max_value)
    if not negative_slope:
        return above
    return above - negative_slope * jax.nn.relu(threshold - x)


@_activation
def leaky_relu(x: Any, negative_slope: float = 0.2) -> jax.Array:
    """Compute ``x`` above 0, ``negative_slope * x`` below."""
    return jax.nn.leaky_relu(x, negative_slope)


@_activation
def relu6(x: Any) -> jax.Array:
    """Compute ``min(max(x, 0), 6)``."""
    return jax.nn.relu6(x)


@_activation
def elu(x: Any, alpha: float = 1.0) -> jax.Array:
    """Compute ``x`` above 0, ``alpha * (exp(x) - 1)`` below (Clevert et al. 2016)."""
    return jax.nn.elu(x, alpha)


@_activation
def celu(x: Any, alpha: float = 1.0) -> jax.Array:
    """Compute ``x`` above 0, ``alpha * (exp(x / alpha) - 1)`` below (Barron 2017)."""
    return jax.nn.celu(x, alpha)


@_activation
def selu(x: Any) -> jax.Array:
    """Compute ``1.0507 * elu(x, 1.6733)``: it keeps mean and variance (Klambauer et al. 2017)."""
    return jax.nn.selu(x)


@_activation
def gelu(x: Any, approximate: bool = False) -> jax.Array:
    """Compute ``x * P(X <= x)`` for a standard normal X (Hendrycks & Gimpel 2016).

    Args:
        x: an array.
        approximate: whether to use the formula with tanh.
    """
    return jax.nn.gelu(x, True) if approximate else _exact_gelu(x)


@jax.custom_jvp
def _exact_gelu(x: jax.Array) -> jax.Array:
    """Compute ``x * (1 + erf(x / sqrt(2))) / 2``.

    XLA's `erf` is one rational function; its `erfc`, which `jax.nn.gelu` takes, computes two
    branches, and so does its derivative. The two differ by less than 1e-7 * |x|.
    """
    return x * _normal_cdf(x)


@_exact_gelu.defjvp
def _exact_gelu_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    density = jnp.exp(-0.5 * jnp.square(x)) * (1 / math.sqrt(2 * math.pi))
    return _exact_gelu(x), dx * (_normal_cdf(x) + x * density)


def _normal_cdf(x: jax.Array) -> jax.Array:
    return 0.5 + 0.5 * jax.lax.erf(x * math.sqrt(0.5))


@_activation
def silu(x: Any) -> jax.Array:
    """Compute ``x * sigmoid(x)``, also named swish (Ramachandran et al. 2017)."""
    return jax.nn.silu(x)


@_activation
def hard_silu(x: Any) -> jax.Array:
    """Compute ``x * hard_sigmoid(x)``, also named hard_swish (Howard et al. 2019)."""
    return jax.nn.hard_silu(x)


@_activation
def mish(x: Any) -> jax.Array:
    """Compute ``x * tanh(softplus(x))`` (Misra 2019)."""
    return x * jnp.tanh(jax.nn.softplus(x))


@_activation
def glu(x: Any, axis: int = -1) -> jax.Array:
    """Compute ``a * sigmoid(b)`` for the halves a and b of `x` along `axis` (Dauphin et al. 2017).

    Raises:
        ShapeError: `axis` has an odd size.
    """
    if x.shape[axis] % 2:
        raise ShapeError(
            f"glu halves axis {axis}, whose size is odd in shape {x.shape}.",
            fix="double the units of the layer before it",
        )
    return jax.nn.glu(x, axis)


@_activation
def sigmoid(x: Any) -> jax.Array:
    """Compute ``1 / (1 + exp(-x))``."""
    return jax.nn.sigmoid(x)


@_activation
def log_sigmoid(x: Any) -> jax.Array:
    """Compute ``log(sigmoid(x))``, stably."""
    return jax.nn.log_sigmoid(x)


@_activation
def hard_sigmoid(x: Any) -> jax.Array:
    """Compute ``clip(x / 6 + 1 / 2, 0, 1)``."""
    return jax.nn.hard_sigmoid(x)


@_activation
def sparse_sigmoid(x: Any) -> jax.Array:
    """Compute ``clip((x + 1) / 2, 0, 1)`` (Blondel et al. 2019)."""
    return jax.nn.sparse_sigmoid(x)


@_activation
def softplus(x: Any) -> jax.Array:
    """Compute ``log(exp(x) + 1)``, stably."""
    return jax.nn.softplus(x)


@_activation
def sparse_plus(x: Any) -> jax.Array:
    """Compute 0 up to -1, ``(x + 1)**2 / 4`` from -1 to 1, ``x`` from 1 on."""
    return jax.nn.sparse_plus(x)


@_activation
def squareplus(x: Any, b: float = 4) -> jax.Array:
    """Compute ``(x + sqrt(x**2 + b)) / 2`` (Barron 2021)."""
    return jax.nn.squareplus(x, b)


@_activation
def softsign(x: Any) -> jax.Array:
    """Compute ``x / (1 + |x|)``."""
    return jax.nn.soft_sign(x)


@_activation
def tanh(x: Any) -> jax.Array:
    """Compute the hyperbolic tangent."""
    return jnp.tanh(x)


@_activation
def hard_tanh(x: Any) -> jax.Array:
    """Compute ``clip(x, -1, 1)``."""
    return jax.nn.hard_tanh(x)


@_activation
def tanh_shrink(x: Any) -> jax.Array:
    """Compute ``x - tanh(x)``."""
    return x - jnp.tanh(x)


@_activation
def hard_shrink(x: Any, threshold: float = 0.5) -> jax.Array:
    """Compute ``x`` where ``|x| > threshold``, else 0."""
    return jnp.where(jnp.abs(x) > threshold, x, 0.0)


@_activation
def soft_shrink(x: Any, threshold: float = 0.5) -> jax.Array:
    """Move `x` by `threshold` towards 0, and no further than 0."""
    return jnp.where(x > threshold, x - threshold, jnp.where(x < -threshold, x + threshold, 0.0))


@_activation
def threshold(x: Any, threshold: float, default_value: float) -> jax.Array:
    """Compute ``x`` where ``x > threshold``, else `default_value`."""
    return jnp.where(x > threshold, x, default_value)


@_activation
def exponential(x: Any) -> jax.Array:
    """Compute ``exp(x)``."""
    return jnp.exp(x)


@_activation
def softmax(x: Any, axis: int | tuple[int, ...] = -1) -> jax.Array:
    """Compute ``exp(x) / sum(exp(x))`` along one or more axes, stably."""
    return jax.nn.softmax(x, axis)


@_activation
def log_softmax(x: Any, axis: int | tuple[int, ...] = -1) -> jax.Array:
    """Compute ``log(softmax(x))`` along one or more axes, stably."""
    return jax.nn.log_softmax(x, axis)


@_activation
def sparsemax(x: Any, axis: int = -1) -> jax.Array:
    """Project `x` along `axis` onto the probability simplex.

    Source: Martins & Astudillo 2016, algorithm 1. Keras up to 3.15 takes another threshold where
    more than one entry is positive, and its values do not sum to 1 (keras-team/keras#23425);
    later releases agree with this.
    """
    ordered = jnp.moveaxis(jnp.sort(x, axis=axis, descending=True), axis, -1)
    ranks = jnp.arange(1, ordered.shape[-1] + 1, dtype=x.dtype)
    support = ranks * ordered > jnp.cumsum(ordered, axis=-1) - 1
    total = jnp.sum(jnp.where(support, ordered, 0), axis=-1, keepdims=True)
    tau = (total - 1) / jnp.sum(support, axis=-1, keepdims=True, dtype=x.dtype)
    return jnp.maximum(x - jnp.moveaxis(tau, -1, axis), 0)


swish = silu
hard_swish = hard_silu
_register("swish", swish)
_register("hard_swish", hard_swish)


def get(identifier: Any) -> Callable[..., Any]:
    """Return the activation that an argument means.

    Args:
        identifier: a name ("relu"), a configuration, a layer, or any function; None is `linear`.

    Raises:
        ConfigError: an unknown name.
        ArgumentTypeError: none of these.

    Example:
        >>> import plait
        >>> plait.activations.get("swish") is plait.activations.silu
        True
    """
    if identifier is None:
        return linear
    return registry.lookup(identifier, _names, "activations", "activation")


def serialize(activation: Any) -> Any:
    """Return the name of an activation, or the configuration of one that is a layer or yours."""
    return registry.serialize(activation)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the activation that `config`, what `serialize` returned, describes.

    Args:
        config: the name or configuration.
        custom_objects: classes and functions of yours that it may name.
    """
    with registry.custom_object_scope(custom_objects):
        return get(config)
