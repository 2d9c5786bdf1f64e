"""A convolution with what follows it as one native kernel, against XLA: values and derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from both import normal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait import kernels

pytestmark = pytest.mark.usefixtures("native_kernels")
EPSILON = 1e-3


def native(x, kernel, scale, shift, residual, *, normalizes, relu, **window):
    """Return the output, and mean and variance if it normalizes."""
    epsilon = EPSILON if normalizes else None
    block = kernels.conv_block(
        x, kernel, scale, shift, residual, epsilon=epsilon, relu=relu, **window
    )
    assert block is not None
    y, moments = block
    return (y, *moments) if normalizes else (y,)


def on_xla(x, kernel, scale, shift, residual, *, normalizes, relu, **window):
    with kernels.using("xla"):
        z = kernels.conv(x, kernel, **window)
    moments = ()
    if normalizes:
        axes = tuple(range(z.ndim - 1))
        moments = z.mean(axes), z.var(axes)
        z = (z - moments[0]) / jnp.sqrt(moments[1] + EPSILON)
    y = z if scale is None else z * scale
    y = y if shift is None else y + shift
    y = y if residual is None else y + residual
    return (jax.nn.relu(y) if relu else y, *moments)


def check_close(found, expected, relative=2e-5):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        size = float(jnp.abs(b).max()) if b.size else 0.0
        np.testing.assert_allclose(a, b, rtol=relative, atol=relative * max(size, 1.0))


def weighed(function):
    """Return the sum of the output, each element with a weight of its own."""

    def loss(*arguments):
        y = function(*arguments)[0]
        return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    return loss


@st.composite
def blocks(draw):
    """Draw the operands and the options of a block."""
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2]))
    window = draw(st.tuples(*[st.integers(1, 3)] * rank))
    sizes = draw(st.tuples(*[st.integers(3, 7)] * rank))
    # More than one output, of which normalization makes no zeros.
    batch = draw(st.integers(2, 9))
    inner = draw(st.sampled_from([1, 3, 4, 16]))
    filters = draw(st.sampled_from([1, 3, 5, 16, 17, 48])) * groups
    options = {
        "strides": draw(st.integers(1, 2)),
        "padding": draw(st.sampled_from(["valid", "same"])),
        "normalizes": draw(st.booleans()),
        "relu": draw(st.booleans()),
    }
    x = normal(0, batch, *sizes, inner * groups)
    kernel = normal(1, *window, inner, filters)
    scale = normal(2, filters) if draw(st.booleans()) else None
    shift = normal(3, filters) if draw(st.booleans()) else None
    residual = None
    if draw(st.booleans()):
        y = jax.eval_shape(functools.partial(on_xla, **options), x, kernel, None, None, None)[0]
        residual = normal(4, *y.shape)
    return (x, kernel, scale, shift, residual), options


@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True)
@given(blocks())
def test_values_and_gradients_are_those_of_xla(case):
    operands, options = case
    one, other = (functools.partial(f, **options) for f in (native, on_xla))
    places = tuple(i for i, operand in enumerate(operands) if operand is not None)
    check_close(jax.jit(one)(*operands), jax.jit(other)(*operands))
    found, expected = (jax.jit(jax.grad(weighed(f), places))(*operands) for f in (one, other))
    check_close(found, expected, 1e-4)


def test_channels_of_many_sizes():
    for filters in (31, 32, 100, 250, 257, 1030):
        operands = normal(0, 3, 4, 4, 2), normal(1, 1, 1, 2, filters), normal(2, filters)
        operands += normal(3, filters), normal(4, 3, 4, 4, filters)
        one, other = (functools.partial(f, normalizes=True, relu=True) for f in (native, on_xla))
        check_close(jax.jit(one)(*operands), jax.jit(other)(*operands))
        found, expected = (
            jax.jit(jax.grad(weighed(f), (0, 1, 2, 3, 4)))(*operands) for f in (one, other)
        )
        check_close(found, expected, 1e-4)


def test_a_batch_in_many_parts():
    """Moments of parts are joined, and gradients by the kernel added up."""
    operands = normal(0, 65, 16, 16, 16) + 30, normal(1, 3, 3, 16, 16), normal(2, 16)
    operands += normal(3, 16), normal(4, 65, 16, 16, 16)
    options = {"normalizes": True, "relu": True, "padding": "same"}
    one, other = (functools.partial(f, **options) for f in (native, on_xla))
    check_close(jax.jit(one)(*operands), jax.jit(other)(*operands))
    found, expected = (
        jax.jit(jax.grad(weighed(f), (0, 1, 2, 3, 4)))(*operands) for f in (one, other)
    )
    check_close(found, expected, 1e-3)


CASE = (normal(0, 3, 5, 6, 4), normal(1, 3, 2, 4, 8), normal(2, 8), normal(3, 8))
CASE += (normal(4, 3, 3, 5, 8),)


def penalty(f):
    return lambda *a: jnp.sum(jax.grad(weighed(f), 0)(*a) ** 2)


def moments_too(f):
    """Return a loss that differentiates mean and variance as well."""
    return lambda *a: sum(jnp.sum(jnp.sin(part)) for part in f(*a))


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: jax.grad(penalty(f), (0, 1, 2)),
        lambda f: lambda *a: jax.jvp(f, a, a),
        lambda f: jax.grad(jax.checkpoint(weighed(f)), (0, 1, 2, 3, 4)),
        lambda f: jax.grad(moments_too(f), (0, 1)),
        lambda f: lambda x, *a: jax.vmap(f, (0, *[None] * 4))(jnp.stack([x, x + 1]), *a),
        lambda f: lambda x, *a: jax.lax.map(lambda x: f(x, *a), jnp.stack([x, 2 * x])),
    ],
    ids=["penalty", "jvp", "checkpoint", "moments", "vmap", "scan"],
)
@pytest.mark.parametrize("normalizes", [True, False])
def test_transformations(transform, normalizes):
    one, other = (functools.partial(f, normalizes=normalizes, relu=True) for f in (native, on_xla))
    found, expected = (jax.jit(transform(f))(*CASE) for f in (one, other))
    check_close(found, expected, 2e-4)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("normalizes", [True, False])
def test_nan_and_infinities_pass_through(value, normalizes):
    x = CASE[0].at[1, 2, 3, 0].set(value)
    one, other = (functools.partial(f, normalizes=normalizes, relu=True) for f in (native, on_xla))
    for a, b in zip(jax.jit(one)(x, *CASE[1:]), jax.jit(other)(x, *CASE[1:]), strict=True):
        np.testing.assert_array_equal(jnp.isnan(a), jnp.isnan(b))
        np.testing.assert_array_equal(a == jnp.inf, b == jnp.inf)


def test_a_constant_channel_has_no_variance():
    """What is far from 0 and the same everywhere is normalized to the shift."""
    x, kernel = jnp.full((4, 6, 6, 3), 1000.1), jnp.ones((1, 1, 3, 16))
    y, mean, variance = native(x, kernel, None, None, None, normalizes=True, relu=False)
    np.testing.assert_allclose(mean, 3000.3, rtol=1e-6)
    assert float(variance.max()) < 1e-6
    assert float(jnp.abs(y).max()) < 5e-2


def test_it_declines_what_is_not_native():
    x, kernel, *rest = CASE
    assert kernels.conv_block(x.astype("bfloat16"), kernel.astype("bfloat16"), *rest) is None
    with kernels.using("xla"):
        assert kernels.conv_block(x, kernel, *rest) is None
