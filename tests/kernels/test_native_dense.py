"""A product with a kernel as one native kernel, against XLA: values and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from both import normal, on_xla
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait import kernels

pytestmark = pytest.mark.usefixtures("native_kernels")


def is_native(*operands):
    return "plait_dense" in str(jax.make_jaxpr(lambda *a: kernels.affine(*a))(*operands))


def check_close(found, expected, relative=1e-5):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        size = float(jnp.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=relative, atol=relative * max(size, 1.0))


def loss(*operands):
    """Return the sum of the output, each element with a weight of its own."""
    y = kernels.affine(*operands)
    return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))


def check(*operands):
    places = tuple(range(len(operands)))
    assert is_native(*operands)
    check_close(jax.jit(kernels.affine)(*operands), on_xla(kernels.affine, *operands))
    gradient = jax.grad(loss, places)
    check_close(jax.jit(gradient)(*operands), on_xla(gradient, *operands))


@settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True)
@given(
    rows=st.one_of(
        st.tuples(st.integers(16, 400)), st.tuples(st.integers(4, 40), st.integers(4, 70))
    ),
    features=st.integers(32, 600),
    units=st.integers(32, 300),
    has_bias=st.booleans(),
)
def test_values_and_gradients_are_those_of_xla(rows, features, units, has_bias):
    operands = (normal(0, *rows, features), normal(1, features, units))
    check(*operands, *([normal(2, units)] if has_bias else []))


@pytest.mark.parametrize(
    ("rows", "features", "units"),
    [
        (128, 1000, 1030),  # parts of columns, a copied in several chunks
        (5000, 64, 64),  # parts of rows; the gradient by the kernel adds up parts
        (20, 9000, 40),  # the output adds up parts
        (300, 2000, 33),
        (16, 32, 32),
        (64, 128, 10),
        (33, 8, 70),
        (16, 9, 11),
    ],
)
def test_shares_of_many_shapes(rows, features, units):
    check(normal(0, rows, features), normal(1, features, units), normal(2, units))


CASE = (normal(0, 3, 7, 33), normal(1, 33, 65), normal(2, 65))


def penalty(*operands):
    return jnp.sum(jax.grad(loss, 0)(*operands) ** 2)


def output_penalty(*operands):
    gradients = jax.grad(lambda *a: jnp.sum(jnp.sin(kernels.affine(*a))), (0, 1, 2))(*operands)
    return sum(jnp.sum(jnp.square(g)) for g in gradients)


@pytest.mark.parametrize(
    "function",
    [
        jax.grad(penalty, (0, 1)),
        jax.grad(output_penalty, (0, 1, 2)),
        lambda *a: jax.jvp(kernels.affine, a, a),
        jax.grad(jax.checkpoint(loss), (0, 1, 2)),
        jax.grad(loss, 2),
        lambda x, *a: jax.vmap(jax.grad(loss, 1), (0, None, None))(jnp.stack([x, x + 1]), *a),
        lambda x, *a: jax.lax.map(lambda x: kernels.affine(x, *a), jnp.stack([x, 2 * x])),
    ],
    ids=["penalty", "output penalty", "jvp", "checkpoint", "bias only", "vmap", "scan"],
)
def test_transformations(function):
    check_close(jax.jit(function)(*CASE), on_xla(function, *CASE), 2e-5)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
def test_nan_and_infinities_pass_through(value):
    x = CASE[0].at[1, 2, 3].set(value)
    both = [
        jax.tree.leaves((y, g))
        for y, g in (
            (jax.jit(kernels.affine)(x, *CASE[1:]), jax.jit(jax.grad(loss, 1))(x, *CASE[1:])),
            (on_xla(kernels.affine, x, *CASE[1:]), on_xla(jax.grad(loss, 1), x, *CASE[1:])),
        )
    ]
    for a, b in zip(*both, strict=True):
        assert not bool(jnp.isfinite(b).all())
        np.testing.assert_array_equal(jnp.isnan(a), jnp.isnan(b))
        np.testing.assert_array_equal(a == jnp.inf, b == jnp.inf)


def test_the_gradient_by_the_input_is_computed_only_where_it_is_wanted():
    x, kernel, bias = normal(0, 32, 40), normal(1, 40, 50), normal(2, 50)
    gradient = jax.make_jaxpr(jax.grad(lambda k, b: loss(x, k, b), (0, 1)))(kernel, bias)
    (call,) = (e for e in gradient.eqns if e.primitive.name == "plait_dense_vjp")
    assert [v.aval.shape for v in call.outvars] == [(0,), (40, 50), (50,)]


def test_small_products_and_other_types_go_to_xla():
    x, kernel = normal(0, 32, 40), normal(1, 40, 50)
    assert is_native(x, kernel)
    assert not is_native(x[:15], kernel)
    assert is_native(x, kernel[:, :8])
    assert not is_native(x, kernel[:, :7])
    assert not is_native(x[:, :7], kernel[:7])
    many = jnp.concatenate([x, x, x])
    assert is_native(many, kernel[:, :32])
    assert not is_native(many, kernel[:, :31])
    assert not is_native(many[:, :31], kernel[:31])
    assert not is_native(x.astype("bfloat16"), kernel.astype("bfloat16"))
    with kernels.using("xla"):
        assert not is_native(x, kernel)


def test_elements_of_a_mapped_axis_are_computed_at_once():
    x, kernel = normal(0, 5, 32, 40), normal(1, 40, 50)
    mapped = jax.vmap(kernels.affine, (0, None))
    assert "scan" not in str(jax.make_jaxpr(mapped)(x, kernel))
    check_close(mapped(x, kernel), x @ kernel)
