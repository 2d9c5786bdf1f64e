"""Native layer normalization against XLA's: values, all gradients, and ways to transform them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from both import normal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait import kernels, layers

pytestmark = pytest.mark.usefixtures("native_kernels")
EPSILON = 1e-3


def native(x, scale, shift):
    y = kernels.layer_norm(x, scale, shift, EPSILON)
    assert y is not None
    return y


def on_xla(x, scale, shift):
    away = x - x.mean(-1, keepdims=True)
    y = away / jnp.sqrt(jnp.square(away).mean(-1, keepdims=True) + EPSILON)
    y = y if scale is None else y * scale
    return y if shift is None else y + shift


def loss(function):
    """Return the sum of the output, each element with a weight of its own."""

    def value(*a):
        y = function(*a)
        return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    return value


def check_same(transform, *values, relative=1e-5):
    found, expected = (jax.jit(transform(f))(*values) for f in (native, on_xla))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        scale = max(float(jnp.max(jnp.abs(b))), 1.0)
        np.testing.assert_allclose(a / scale, b / scale, atol=relative, rtol=0)


@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=0, max_size=3),
    features=st.sampled_from([16, 17, 31, 32, 48, 100, 1000]),
    scales=st.booleans(),
    shifts=st.booleans(),
)
def test_values_and_gradients_are_those_of_xla(sizes, features, scales, shifts):
    scale = normal(1, features) if scales else None
    shift = normal(2, features) if shifts else None
    by = tuple(i for i, there in enumerate((True, scales, shifts)) if there)
    x = normal(0, *sizes, features) + 3
    check_same(lambda f: lambda *a: (f(*a), jax.grad(loss(f), by)(*a)), x, scale, shift)


def test_rows_in_many_parts():
    values = normal(0, 64, 100, 72), normal(1, 72), normal(2, 72)
    check_same(lambda f: jax.grad(loss(f), (0, 1, 2)), *values, relative=2e-5)


CASE = (normal(0, 3, 4, 20), normal(1, 20), normal(2, 20))


def penalty(function):
    return lambda *a: jnp.sum(jax.grad(loss(function))(*a) ** 2)


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: jax.grad(penalty(f), (0, 1)),
        lambda f: lambda *a: jax.jvp(f, a, a),
        lambda f: jax.grad(loss(f), 2),
        lambda f: jax.grad(jax.checkpoint(loss(f)), (0, 1, 2)),
        lambda f: jax.vmap(f, (0, None, None)),
        lambda f: jax.vmap(jax.grad(loss(f), (0, 1)), (0, None, None)),
        lambda f: lambda x, *a: jax.lax.map(lambda x: f(x, *a), x),
    ],
    ids=["penalty", "jvp", "by-shift", "checkpoint", "vmap", "vmap-of-grad", "scan"],
)
def test_transformations(transform):
    check_same(transform, *CASE, relative=2e-5)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
def test_what_is_not_finite_passes_through(value):
    check_same(
        lambda f: lambda *a: (f(*a), jax.grad(loss(f), (0, 1, 2))(*a)),
        CASE[0].at[1, 2, 3].set(value),
        *CASE[1:],
    )


def test_a_constant_row_has_no_variance():
    """What is far from 0 and the same everywhere is normalized to the shift."""
    y = native(jnp.full((2, 30), 1000.1), None, None)
    assert float(jnp.abs(y).max()) < 1e-2


def test_where_it_is_used():
    def jaxpr(layer, x):
        layer(x)
        return str(jax.make_jaxpr(lambda x: layer(x))(x))

    x = CASE[0]
    assert "plait_layer_norm" in jaxpr(layers.LayerNormalization(), x)
    assert "plait_layer_norm" not in jaxpr(layers.LayerNormalization(axis=1), x)
    assert kernels.layer_norm(x[..., :8], None, None, EPSILON) is None
    assert kernels.layer_norm(x.astype("bfloat16"), None, None, EPSILON) is None
    with kernels.using("xla"):
        assert kernels.layer_norm(*CASE, EPSILON) is None
