"""Functions of every element: arithmetic, comparisons, powers, activations.

All of them broadcast, which is how the shape of a result is known without a trace.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as special
import numpy as np
from jax import lax

from plait.ops.arguments import Function, Table

_UNARY = """
abs absolute angle arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil conj conjugate copy cos
cosh deg2rad exp exp2 expm1 fabs floor i0 imag isfinite isinf isnan isneginf isposinf isreal log
log10 log1p log2 logical_not negative rad2deg real reciprocal sign signbit sin sinc sinh sqrt
square tan tanh trunc
"""

_BINARY = """
add arctan2 divide equal floor_divide fmax fmin fmod gcd greater greater_equal heaviside hypot lcm
ldexp less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor maximum minimum mod
multiply nextafter not_equal power subtract true_divide
"""

_BITWISE = """
bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor left_shift right_shift
"""

_PLAIN_ACTIVATIONS = """
hard_sigmoid hard_silu hard_swish hard_tanh log_sigmoid relu relu6 selu sigmoid silu softplus
sparse_plus sparse_sigmoid swish
"""

_OTHER_ACTIVATIONS = """
celu elu gelu hard_shrink leaky_relu polar soft_shrink softsign squareplus tanh_shrink threshold
"""

ACTIVATIONS = frozenset(_PLAIN_ACTIVATIONS.split() + _OTHER_ACTIVATIONS.split())


def _unary(function: Function) -> Function:
    return lambda x: function(x)


def _rounding(function: Function) -> Function:
    def rounded(x: Any) -> jax.Array:
        return function(x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32))

    return rounded


def _binary(function: Function) -> Function:
    return lambda x1, x2: function(x1, x2)


def _bitwise(function: Function) -> Function:
    return lambda x, y: function(x, y)


def _floating(x: Any) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(x, float))


def _divide_no_nan(x1: Any, x2: Any) -> jax.Array:
    """Divide; where the divisor is 0 the result is 0."""
    zero = jnp.equal(x2, 0)
    return jnp.where(zero, 0, jnp.divide(x1, jnp.where(zero, 1, x2)))


def _round(x: jax.Array, decimals: int = 0) -> jax.Array:
    if decimals >= 0 or not jnp.issubdtype(x.dtype, jnp.integer):
        return jnp.round(x, decimals)
    factor = 10.0**decimals
    return (jnp.round(x.astype(jnp.float32) * factor) / factor).astype(x.dtype)


def saturate_cast(x: jax.Array, dtype: Any) -> jax.Array:
    """Cast with values outside the new dtype's range set to its ends."""
    low, high = (
        np.asarray(pick(own, new)).astype(x.dtype)
        for pick, own, new in zip((max, min), _range(x.dtype), _range(dtype), strict=True)
    )
    if float(low) < _range(dtype)[0]:
        low = np.nextafter(low, np.zeros_like(low))
    if float(high) > _range(dtype)[1]:
        high = np.nextafter(high, np.zeros_like(high))
    return jnp.clip(x, low, high).astype(dtype)


def _range(dtype: Any) -> tuple[float, float]:
    dtype = jnp.dtype(dtype)
    if jnp.issubdtype(dtype, jnp.bool_):
        return 0, 1
    info = jnp.iinfo(dtype) if jnp.issubdtype(dtype, jnp.integer) else jnp.finfo(dtype)
    return np.asarray(info.min).item(), np.asarray(info.max).item()


def _soft_shrink(x: jax.Array, threshold: float = 0.5) -> jax.Array:
    """Return `x`, nearer to 0 by `threshold` and not beyond it."""
    return jnp.where(x > threshold, x - threshold, jnp.where(x < -threshold, x + threshold, 0.0))


TABLE: Table = {
    **{name: _unary(getattr(jnp, name)) for name in _UNARY.split()},
    **{name: _rounding(getattr(jnp, name)) for name in ("ceil", "floor")},
    **{name: _binary(getattr(jnp, name)) for name in _BINARY.split()},
    **{name: _bitwise(getattr(jnp, name.removeprefix("bitwise_"), None) or getattr(jnp, name))
       for name in _BITWISE.split()},
    **{name: _unary(getattr(jax.nn, name)) for name in _PLAIN_ACTIVATIONS.split()},
    "bitwise_invert": lambda x: jnp.invert(x),
    "bitwise_not": lambda x: jnp.invert(x),
    "cast": lambda x, dtype: x.astype(dtype),
    "celu": lambda x, alpha=1.0: jax.nn.celu(x, alpha),
    "clip": lambda x, x_min, x_max: jnp.clip(
        x.astype(jnp.int32) if x.dtype == bool else x, x_min, x_max
    ),
    "divide_no_nan": _divide_no_nan,
    "elu": lambda x, alpha=1.0: jax.nn.elu(x, alpha),
    "erf": lambda x: special.erf(x),
    "erfc": lambda x: special.erfc(x),
    "erfinv": lambda x: special.erfinv(x),
    "gelu": lambda x, approximate=True: jax.nn.gelu(x, approximate),
    "hard_shrink": lambda x, threshold=0.5: jnp.where(jnp.abs(x) > threshold, x, 0.0),
    "isclose": lambda x1, x2, rtol=1e-05, atol=1e-08, equal_nan=False: jnp.isclose(
        x1, x2, rtol, atol, equal_nan
    ),
    "leaky_relu": lambda x, negative_slope=0.2: jax.nn.leaky_relu(x, negative_slope),
    "nan_to_num": lambda x, nan=0.0, posinf=None, neginf=None: jnp.nan_to_num(
        x, nan=nan, posinf=posinf, neginf=neginf
    ),
    "polar": lambda abs_, angle: lax.complex(abs_ * jnp.cos(angle), abs_ * jnp.sin(angle)),
    "round": _round,
    "rsqrt": lambda x: lax.rsqrt(_floating(x)),
    "saturate_cast": saturate_cast,
    "soft_shrink": _soft_shrink,
    "softsign": lambda x: jax.nn.soft_sign(x),
    "squareplus": lambda x, b=4: jax.nn.squareplus(x, b),
    "stop_gradient": lambda variable: lax.stop_gradient(variable),
    "tanh_shrink": lambda x: x - jnp.tanh(x),
    "threshold": lambda x, threshold, default_value: jnp.where(x > threshold, x, default_value),
}  # fmt: skip
