"""Native attention against XLA's: values, all gradients, and ways to transform them."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from both import normal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait import kernels
from plait.kernels import attention_weights, weighted

pytestmark = pytest.mark.usefixtures("native_kernels")


module = importlib.import_module("plait.kernels.attention")
pays = module.pays


@pytest.fixture(autouse=True, scope="module")
def at_every_size():
    """Use the native kernels where XLA is faster as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "pays", lambda *shapes: True)
        yield


def arguments(batch, heads, queries, keys, channels, values):
    """Return queries, keys and values."""
    return (
        normal(0, batch, queries, heads, channels),
        normal(1, batch, keys, heads, channels),
        normal(2, batch, keys, heads, values),
    )


def native(mask=None):
    def function(query, key, value):
        return kernels.attention(query, key, value, mask)

    return function


def on_xla(mask=None):
    def function(query, key, value):
        return weighted(attention_weights(query, key, mask), value)

    return function


def loss(function):
    """Return the sum of the output, each element with a weight of its own."""

    def value(*a):
        y = function(*a)
        return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    return value


def check_same(transform, *values, mask=None, relative=1e-5):
    ours, theirs = (transform(f(mask)) for f in (native, on_xla))
    assert "plait_attention" in str(jax.make_jaxpr(ours)(*values))
    assert "plait_attention" not in str(jax.make_jaxpr(theirs)(*values))
    found, expected = jax.jit(ours)(*values), jax.jit(theirs)(*values)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        scale = max(float(jnp.max(jnp.abs(b))), 1.0)
        np.testing.assert_allclose(a / scale, b / scale, atol=relative, rtol=0)


def both(function):
    return lambda *a: (function(*a), jax.grad(loss(function), (0, 1, 2))(*a))


@settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    lengths=st.tuples(st.integers(1, 75), st.integers(1, 75)),
    channels=st.tuples(*[st.sampled_from([1, 3, 8, 16, 17, 33, 64, 70])] * 2),
    masked=st.one_of(st.none(), st.tuples(*[st.booleans()] * 4)),
)
def test_values_and_gradients_are_those_of_xla(sizes, lengths, channels, masked):
    mask = None
    if masked is not None:
        full = (*sizes, *lengths)
        shape = [size if there else 1 for size, there in zip(full, masked, strict=True)]
        mask = jnp.asarray(np.random.default_rng(3).random(shape) < 0.7)
    check_same(both, *arguments(*sizes, *lengths, *channels), mask=mask)


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ((2, 2, 4, 4), True),
        ((1, 1, 64, 64), False),
        ((32, 4, 1, 64), False),
        ((32, 4, 64, 1), False),
    ],
)
def test_small_sizes_are_left_to_xla(monkeypatch, sizes, chosen):
    monkeypatch.setattr(module, "pays", pays)
    jaxpr = jax.make_jaxpr(native())(*arguments(*sizes, 8, 8))
    assert ("plait_attention" in str(jaxpr)) == chosen


def test_long_sequences():
    check_same(both, *arguments(2, 2, 300, 517, 24, 40))


def test_a_query_that_sees_nothing_gets_the_mean():
    query, key, value = arguments(2, 3, 5, 7, 4, 6)
    mask = jnp.ones((2, 1, 5, 7), bool).at[1, 0, 2].set(False)
    outputs = native(mask)(query, key, value)
    np.testing.assert_allclose(outputs[1, 2], value[1].mean(0), rtol=1e-5, atol=1e-6)
    check_same(both, query, key, value, mask=mask)


def penalty(function):
    return lambda *a: jnp.sum(jax.grad(loss(function))(*a) ** 2)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "transform",
    [
        lambda f: jax.grad(penalty(f), (0, 1, 2)),
        lambda f: lambda *a: jax.jvp(f, a, a),
        lambda f: jax.grad(loss(f), 1),
        lambda f: lambda *a: jax.hessian(loss(f), 2)(*a),
        lambda f: jax.grad(jax.checkpoint(loss(f)), (0, 1, 2)),
        lambda f: lambda q, *a: jax.vmap(f, (0, None, None))(jnp.stack([q, 2 * q]), *a),
        lambda f: (
            lambda q, *a: jax.vmap(jax.grad(loss(f)), (0, None, None))(jnp.stack([q, -q]), *a)
        ),
        lambda f: lambda q, *a: jax.lax.map(lambda q: f(q, *a), jnp.stack([q, 2 * q])),
    ],
    ids=["penalty", "jvp", "by-key", "hessian", "checkpoint", "vmap", "vmap-of-grad", "scan"],
)
def test_transformations(transform, causal):
    mask = jnp.tril(jnp.ones((1, 1, 5, 6), bool)) if causal else None
    check_same(transform, *arguments(2, 2, 5, 6, 3, 4), mask=mask, relative=2e-5)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("keys", [5, 16, 20])
def test_what_is_not_finite_passes_through(value, place, keys):
    values = list(arguments(2, 2, 14, keys, 3, 4))
    values[place] = values[place].at[1, 2, 0, 1].set(value)
    check_same(both, *values)


def test_every_nan_passes_through():
    query, key, value = arguments(4, 2, 8, 8, 8, 8)
    bits = np.array(key).view("uint32")
    bits[0, 3, 0, 2] = 0x7FC00001  # its lowest bits are not those of numpy.nan
    found = jax.jit(native())(query, jnp.asarray(bits.view("float32")), value)
    np.testing.assert_array_equal(np.isnan(found[0, :, 0]), True)
    assert not np.isnan(found[1:]).any()


def test_hidden_values_that_are_not_finite():
    query, key, value = arguments(2, 2, 4, 20, 3, 4)
    mask = jnp.ones((1, 1, 1, 20), bool).at[..., 3].set(False)
    check_same(both, query, key.at[:, 3].set(jnp.nan), value, mask=mask)
    check_same(both, query, key, value.at[:, 3].set(jnp.inf), mask=mask)


def test_wrong_shapes_are_errors_in_python():
    query, key, value = arguments(2, 3, 5, 7, 4, 6)
    with pytest.raises(Exception, match="the shape of the keys does not fit"):
        jax.block_until_ready(native()(query, key[:, :3], value))
    with pytest.raises(Exception, match="the mask does not fit"):
        jax.block_until_ready(native(jnp.ones((2, 3, 4, 7), bool))(query, key, value))


def test_it_leaves_other_dtypes_to_xla():
    values = [x.astype("bfloat16") for x in arguments(2, 3, 5, 7, 4, 6)]
    assert "plait_attention" not in str(jax.make_jaxpr(native())(*values))
    with kernels.using("xla"):
        jaxpr = jax.make_jaxpr(lambda *a: native()(*a))(*arguments(2, 3, 5, 7, 4, 6))
    assert "plait_attention" not in str(jaxpr)
