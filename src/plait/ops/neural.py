"""What neural networks are made of: normalization, attention, cross-entropies."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from plait.errors import ConfigError, ShapeError
from plait.ops.arguments import Table, array

_EPSILON = 1e-7


def _sparsemax(x: jax.Array, axis: int = -1) -> jax.Array:
    """Project onto the probability simplex. Source: Martins & Astudillo 2016.

    Keras up to 3.15 takes another threshold, with values that do not sum to 1
    (keras-team/keras#23425).
    """
    ordered = jnp.flip(jnp.sort(x, axis), axis)
    ranks = jnp.expand_dims(
        jnp.arange(1, x.shape[axis] + 1), [a for a in range(x.ndim) if a != axis % x.ndim]
    )
    supported = ordered - (jnp.cumsum(ordered, axis) - 1) / ranks > 0
    total = jnp.sum(ordered, axis, keepdims=True, where=supported)
    count = jnp.sum(supported, axis, keepdims=True)
    return jnp.maximum(x - (total - 1) / count, 0)


def _wide(x: jax.Array) -> jax.Array:
    """Return `x` in at least float32, in which means and variances are taken."""
    return x.astype(jnp.result_type(x, jnp.float32))


def _moments(
    x: jax.Array, axes: Any, keepdims: bool = False, synchronized: bool = False
) -> tuple[jax.Array, jax.Array]:
    """Return mean and variance over `axes`."""
    if synchronized:
        raise ConfigError("takes no synchronized=True.", fix="leave it out")
    mean, variance = (f(_wide(x), axes, keepdims=keepdims) for f in (jnp.mean, jnp.var))
    if x.dtype in (jnp.float16, jnp.bfloat16):
        limit = jnp.finfo(jnp.float16).max.astype(jnp.float32)
        mean, variance = (jnp.clip(m, -limit, limit).astype(x.dtype) for m in (mean, variance))
    return mean, variance


def _batch_normalization(
    x: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> jax.Array:
    """Return ``(x - mean) / sqrt(variance + epsilon) * scale + offset``. Source: Ioffe 2015."""

    def along(vector: Any) -> jax.Array:
        return jnp.expand_dims(array(vector), [a for a in range(x.ndim) if a != axis % x.ndim])

    factor = lax.rsqrt(along(variance) + epsilon)
    if scale is not None:
        factor = factor * along(scale)
    shift = -along(mean) * factor
    if offset is not None:
        shift = shift + along(offset)
    return x * factor + shift


def _layer_normalization(
    x: jax.Array,
    gamma: Any = None,
    beta: Any = None,
    axis: Any = -1,
    epsilon: float | None = None,
    **kwargs: Any,
) -> jax.Array:
    """Normalize each sample over `axis`. Source: Ba 2016.

    With ``rms_scaling=True`` the mean stays, as Keras' layer of old had it.
    """
    rms_scaling = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise ConfigError(f"takes no argument {next(iter(kwargs))!r}.")
    axes = sorted(a % x.ndim for a in ([axis] if isinstance(axis, int) else axis))
    wide = _wide(x)
    epsilon = _EPSILON if epsilon is None else epsilon

    def along(weight: jax.Array) -> jax.Array:
        shape = [size if a in axes else 1 for a, size in enumerate(x.shape)]
        weight = weight.astype(wide.dtype)
        return weight if weight.ndim == x.ndim else jnp.reshape(weight, shape)

    factor = lax.rsqrt(jnp.var(wide, tuple(axes), keepdims=True) + epsilon)
    if gamma is not None:
        factor = factor * along(gamma)
    if rms_scaling:
        return (wide * factor).astype(x.dtype)
    shift = -jnp.mean(wide, tuple(axes), keepdims=True) * factor
    if beta is not None:
        shift = shift + along(beta)
    return (wide * factor + shift).astype(x.dtype)


def _rms_normalization(
    x: jax.Array, scale: Any = None, axis: Any = -1, epsilon: float | None = None
) -> jax.Array:
    """Divide by the root of the mean square over `axis`. Source: Zhang & Sennrich 2019."""
    wide = jnp.atleast_1d(_wide(x))
    square = jnp.mean(jnp.square(wide), axis, keepdims=True)
    result = wide * lax.rsqrt(square + (_EPSILON if epsilon is None else epsilon))
    if scale is not None:
        result = result * array(scale).astype(wide.dtype)
    return result.astype(x.dtype)


def _normalize(
    x: jax.Array, axis: Any = -1, order: int = 2, epsilon: float | None = None
) -> jax.Array:
    """Divide by the norm over `axis`, which counts as `epsilon` at least."""
    if not isinstance(order, int) or order < 1:
        raise ConfigError(f"needs an order of 1, 2, ..., received {order!r}.")
    epsilon = _EPSILON if epsilon is None else epsilon
    x = jnp.atleast_1d(x)
    if order == 2:
        square = jnp.sum(jnp.square(x), axis, keepdims=True)
        return x * jnp.minimum(lax.rsqrt(square), 1 / epsilon)
    return x / jnp.maximum(jnp.linalg.norm(x, order, axis, keepdims=True), epsilon)


def _dot_product_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> jax.Array:
    """Return ``softmax(query key' scale + bias) value``, masked. Source: Vaswani 2017.

    Tensors are ``(batch, time, heads, depth)``; `bias` and `mask` broadcast to
    ``(batch, heads, query time, key time)``. ``flash_attention=True`` asks for cuDNN's kernel.
    """
    if attn_logits_soft_cap is not None:
        raise ConfigError("has no attn_logits_soft_cap.", fix="leave it out")
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ShapeError(
            "expects (batch, time, heads, depth), received "
            f"{query.shape}, {key.shape} and {value.shape}."
        )
    dtype = jnp.result_type(query, key, value)
    return jax.nn.dot_product_attention(
        query.astype(dtype),
        key.astype(dtype),
        value.astype(dtype),
        bias=None if bias is None else bias.astype(dtype),
        mask=None if mask is None else mask.astype(bool),
        scale=scale,
        is_causal=is_causal,
        implementation="cudnn" if flash_attention else "xla",
    )


def _binary_crossentropy(
    target: jax.Array, output: jax.Array, from_logits: bool = False
) -> jax.Array:
    """Return ``-target log(output) - (1 - target) log(1 - output)`` for each element."""
    _require_same(target.shape, output.shape)
    if from_logits:
        return -target * jax.nn.log_sigmoid(output) - (1 - target) * jax.nn.log_sigmoid(-output)
    output = jnp.clip(output, _EPSILON, 1 - _EPSILON)
    return -(target * jnp.log(output) + (1 - target) * jnp.log(1 - output))


def _categorical_crossentropy(
    target: jax.Array, output: jax.Array, from_logits: bool = False, axis: int = -1
) -> jax.Array:
    """Return ``-sum(target log(output))`` over `axis`."""
    _require_same(target.shape, output.shape)
    return -jnp.sum(target * _log_probabilities(output, from_logits, axis), axis)


def _sparse_categorical_crossentropy(
    target: jax.Array, output: jax.Array, from_logits: bool = False, axis: int = -1
) -> jax.Array:
    """Return ``-log(output[target])`` for targets that are class numbers."""
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = jnp.squeeze(target, -1)
    _require_same(target.shape, output.shape[:-1])
    hot = jax.nn.one_hot(target.astype(jnp.int32), output.shape[axis], axis=axis)
    return -jnp.sum(hot * _log_probabilities(output, from_logits, axis), axis)


def _log_probabilities(output: jax.Array, from_logits: bool, axis: int) -> jax.Array:
    if from_logits:
        return jax.nn.log_softmax(output, axis)
    output = output / jnp.sum(output, axis, keepdims=True)
    return jnp.log(jnp.clip(output, _EPSILON, 1 - _EPSILON))


def _require_same(target: Any, output: Any) -> None:
    if target != output:
        raise ShapeError(f"expects targets of {output}, received {target}.")


def _psnr(x1: jax.Array, x2: jax.Array, max_val: float) -> jax.Array:
    """Return the ratio of the peak signal to the noise between two tensors, in decibels."""
    _require_same(x1.shape, x2.shape)
    error = jnp.mean(jnp.square(x1 - x2))
    return 20 * jnp.log10(jnp.asarray(max_val, x2.dtype)) - 10 * jnp.log10(error)


TABLE: Table = {
    "batch_normalization": _batch_normalization,
    "binary_crossentropy": _binary_crossentropy,
    "categorical_crossentropy": _categorical_crossentropy,
    "dot_product_attention": _dot_product_attention,
    "glu": lambda x, axis=-1: jax.nn.glu(x, axis),
    "layer_normalization": _layer_normalization,
    "log_softmax": lambda x, axis=-1: jax.nn.log_softmax(x, axis),
    "moments": _moments,
    "normalize": _normalize,
    "psnr": _psnr,
    "rms_normalization": _rms_normalization,
    "softmax": lambda x, axis=-1: jax.nn.softmax(x, axis),
    "sparse_categorical_crossentropy": _sparse_categorical_crossentropy,
    "sparsemax": _sparsemax,
}
