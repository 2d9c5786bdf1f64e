"""Native poolings against XLA's: values, derivatives, and every way to transform them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from both import natively as on_native
from both import normal, on_xla
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plait import kernels
from plait.errors import ShapeError
from plait.kernels import native_pooling

pytestmark = pytest.mark.usefixtures("native_kernels")
natively = functools.partial(
    on_native, uses=["plait_max_pool", "plait_linear_pool"], without=["reduce_window"]
)


@pytest.fixture(autouse=True)
def everywhere(monkeypatch):
    """Have native kernels compute also what XLA computes faster."""
    monkeypatch.setattr(native_pooling, "pays", lambda geometry, channels: True)


def ties(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 3, size=shape), "float32")


def check_equal(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def derivatives(pool, x):
    """Return output, gradient, the derivative of the gradient, and that of the output, along x."""

    def gradient(x):
        y, pull = jax.vjp(pool, x)
        return pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape) + y**2)[0]

    return pool(x), *jax.jvp(gradient, (x,), (x[::-1],)), jax.jvp(pool, (x,), (jnp.sin(x),))[1]


@st.composite
def poolings(draw):
    rank = draw(st.integers(1, 3))
    size = draw(st.tuples(*[st.integers(1, 4)] * rank))
    strides = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 5)] * rank)))
    sizes = [draw(st.integers(k, k + 8)) for k in size]
    shape = (draw(st.integers(1, 5)), *sizes, draw(st.sampled_from([1, 3, 5, 8, 17, 70])))
    return shape, size, strides, draw(st.sampled_from(["valid", "same"]))


LARGE = ((3, 64, 40, 20), (3, 3), (2, 1), "same")  # several threads share it
MANY = ((130, 4, 5, 3), (2, 3), (1, 2), "same")  # images are taken together
quick = settings(
    max_examples=15, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True
)


@pytest.mark.parametrize("operation", [kernels.max_pool, kernels.average_pool])
@pytest.mark.parametrize("array", [normal, ties])
@quick
@given(poolings())
@example(LARGE)
@example(MANY)
@example(((2, 40, 3), (20,), (7,), "same"))
def test_values_and_derivatives_are_those_of_xla(operation, array, case):
    shape, size, strides, padding = case
    step = functools.partial(derivatives, lambda x: operation(x, size, strides, padding=padding))
    x = array(0, *shape)
    check_equal(natively(step, x), on_xla(step, x))


@pytest.mark.parametrize("operation", [kernels.max_pool, kernels.average_pool])
@pytest.mark.parametrize("channels", [1, 5, 33])
def test_what_is_not_finite(operation, channels):
    x = normal(0, 3, 9, 8, channels)
    x = x.at[0, 2:4, 3].set(jnp.nan).at[1, 4, 4].set(jnp.inf).at[2, 0, 1].set(-jnp.inf)
    step = functools.partial(gradient, functools.partial(operation, pool_size=3, strides=1))
    for a, b in zip(natively(step, x), on_xla(step, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def gradient(pool, x):
    y, pull = jax.vjp(pool, x)
    return y, pull(jnp.arange(y.size, dtype=y.dtype).reshape(y.shape))[0]


def test_padding_never_is_the_maximum():
    x = jnp.full((1, 3, 3, 2), -jnp.inf)
    y, dx = natively(lambda x: gradient(lambda x: kernels.max_pool(x, 3, 1, "same"), x), x)
    np.testing.assert_array_equal(y, x)
    assert dx.sum() == sum(range(18))


def max_pool(x):
    return kernels.max_pool(x, 3, 2, "same")


def average_pool(x):
    return kernels.average_pool(x, 3, 2, "same")


@pytest.mark.parametrize("pool", [max_pool, average_pool])
@pytest.mark.parametrize(
    "transform",
    [
        lambda pool: jax.vmap(pool),
        lambda pool: jax.vmap(pool, 2, 3),
        lambda pool: jax.vmap(lambda x: gradient(pool, x), 1),
        lambda pool: lambda x: jax.lax.scan(lambda c, x: (c + pool(x).sum(), x), 0.0, x),
        lambda pool: jax.grad(lambda x: jnp.sum(jax.checkpoint(jax.vmap(pool))(x) ** 2)),
        lambda pool: lambda x: jax.jacrev(pool)(x[0, :1]),
        lambda pool: lambda x: jax.jacfwd(pool)(x[0, :1]),
        lambda pool: lambda x: jax.hessian(lambda x: jnp.sum(pool(x) ** 3))(x[0, :1, :4, :4]),
    ],
    ids=[
        "vmap",
        "vmap-inner",
        "vmap-gradient",
        "scan",
        "checkpoint",
        "jacrev",
        "jacfwd",
        "hessian",
    ],
)
def test_transformations(pool, transform):
    x = normal(0, 2, 3, 5, 6, 2)
    check_equal(natively(transform(pool), x), on_xla(transform(pool), x))


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_the_primitives_lower_to_xla_where_the_cpu_is_not_the_device(padding):
    x = ties(0, 2, 6, 7, 3)
    after = (1, 1) if padding == "same" else (0, 0)
    windows = (3, 4) if padding == "same" else (2, 3)
    geometry = native_pooling.Geometry((6, 7), windows, (3, 3), (2, 2), (0, after[1]), after)
    options = {"geometry": geometry, "places": True}
    y, places = native_pooling.maximum_p.bind(x, **options)
    check_equal(native_pooling.reference_maximum(x, **options), [y, places])
    for kept in (places, jnp.zeros((0,), jnp.uint8)):
        for array, backward in ((x, False), (y, True)):
            options = {"geometry": geometry, "backward": backward}
            check_equal(
                native_pooling.reference_linear(array, kept, **options),
                native_pooling.linear_p.bind(array, kept, **options),
            )


def test_wrong_shapes_are_errors_in_python():
    x = normal(0, 2, 4, 4, 3)
    with pytest.raises(ShapeError, match="larger than the input"):
        kernels.max_pool(x, 5)
    for geometry, message in [
        (native_pooling.Geometry((4, 4), (9, 9), (2, 2), (2, 2), (0, 0), (0, 0)), "sizes"),
        (native_pooling.Geometry((4, 4), (2, 2), (2, 2), (2, 2), (2, 2), (0, 0)), "sizes"),
        (native_pooling.Geometry((4,), (2, 2), (2, 2), (2,), (0, 0), (0, 0)), "axes"),
        (native_pooling.Geometry((4, 4), (1, 1), (20, 20), (1, 1), (0, 0), (16, 16)), "large"),
    ]:
        with pytest.raises(Exception, match=f"pooling: .*{message}"):
            jax.jit(lambda g=geometry: native_pooling.largest(x, g))().block_until_ready()
    geometry = native_pooling.Geometry((4, 4), (2, 2), (2, 2), (2, 2), (0, 0), (0, 0))
    with pytest.raises(Exception, match="the places does not fit"):
        jax.jit(
            lambda: native_pooling.linear_p.bind(
                x, jnp.zeros((2, 1, 2, 3), jnp.uint8), geometry=geometry, backward=False
            )
        )().block_until_ready()


def test_other_windows_and_arrays_go_to_xla(monkeypatch):
    monkeypatch.undo()
    for x, size, options in [
        (normal(0, 2, 40, 40, 16), 17, {}),
        (normal(0, 2, 8, 8, 16).astype("bfloat16"), 2, {}),
        (normal(0, 2, 16, 8, 8), 2, {"data_format": "channels_first"}),
        (normal(0, 2, 8, 8, 3), 2, {}),
    ]:
        for pool in (kernels.max_pool, kernels.average_pool):
            text = str(jax.make_jaxpr(lambda x: pool(x, size, **options))(x))
            assert "plait" not in text
