"""Native convolutions against XLA's: values, all gradients, and every way to transform them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from both import check_equal, check_threads, normal, on_xla
from both import natively as on_native
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait import kernels
from plait.errors import ShapeError
from plait.kernels import trilinear

pytestmark = pytest.mark.usefixtures("native_kernels")
natively = functools.partial(
    on_native, uses=["plait_convolution"], without=["conv_general_dilated"]
)


def gradients(operation, x, w):
    """Return the output and, for a cotangent that is not constant, both gradients."""
    y, pull = jax.vjp(operation, x, w)
    return y, pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))


@st.composite
def convolutions(draw):
    rank = draw(st.integers(1, 3))
    window = draw(st.tuples(*[st.integers(1, 4)] * rank))
    dilation = draw(st.tuples(*[st.integers(1, 2)] * rank))
    strides = draw(st.tuples(*[st.integers(1, 3)] * rank))
    reach = reaches(window, dilation)
    sizes = tuple(draw(st.integers(k, k + 6)) for k in reach)
    groups = draw(st.sampled_from([1, 1, 1, 2, 4]))
    inner, outer = draw(st.sampled_from([1, 2, 3, 8, 16])), draw(st.sampled_from([1, 3, 8, 16]))
    padding = draw(st.sampled_from(["valid", "same", *["causal"] * (rank == 1)]))
    batch = draw(st.integers(1, 5))
    x = normal(0, batch, *sizes, inner * groups)
    return x, normal(1, *window, inner, outer * groups), strides, padding, dilation


def reaches(window, dilation):
    return [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]


quick = settings(
    max_examples=15, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True
)


@quick
@given(convolutions())
def test_values_and_gradients_are_those_of_xla(case):
    x, w, strides, padding, dilation = case

    def operation(x, w):
        return kernels.conv(x, w, strides, padding, dilation)

    step = functools.partial(gradients, operation)
    check_equal(jax.jit(lambda *a: step(*a))(x, w), on_xla(step, x, w))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("strides", "window"), [(1, 3), (2, 3), (3, 2), (2, 4)])
def test_transposed_convolution(padding, strides, window):
    x, w = normal(0, 2, 5, 6, 4), normal(1, window, window, 8, 4)

    def operation(x, w):
        return kernels.conv_transpose(x, w, strides, padding)

    step = functools.partial(gradients, operation)
    check_equal(jax.jit(lambda *a: step(*a))(x, w), on_xla(step, x, w))


def test_depthwise_convolution():
    x, w = normal(0, 2, 9, 9, 32), normal(1, 3, 3, 32, 1)
    step = functools.partial(gradients, functools.partial(kernels.depthwise_conv, strides=2))
    check_equal(natively(step, x, w), on_xla(step, x, w))


@pytest.fixture(scope="module")
def case():
    return normal(0, 3, 6, 7, 4), normal(1, 3, 2, 4, 8)


def convolve(x, w):
    return kernels.conv(x, w, 2, "same")


def penalty(x, w):
    """Return what a WGAN with gradient penalty minimizes: it needs second derivatives."""
    gradient = jax.grad(lambda x: jnp.sum(jnp.tanh(convolve(x, w))))(x)
    return jnp.mean((jnp.sqrt(jnp.sum(gradient**2, (1, 2, 3)) + 1e-6) - 1) ** 2)


def twice(x, w):
    return jax.jvp(jax.grad(penalty, 1), (x, w), (x, jnp.ones_like(w)))


@pytest.mark.parametrize(
    "function",
    [
        jax.value_and_grad(penalty, (0, 1)),
        twice,
        jax.vmap(convolve, (0, None)),
        jax.vmap(convolve, (None, 0)),
        jax.vmap(convolve, (1, -1), 1),
        jax.grad(lambda x, w: jnp.sum(jax.checkpoint(convolve)(x, w) ** 2), (0, 1)),
        lambda x, w: jax.lax.scan(lambda c, x: (c + convolve(x, w).sum(), x), 0.0, x),
        lambda x, w: jax.jacrev(lambda w: convolve(x, w).sum((0, 1, 2)))(w),
    ],
    ids=["penalty", "third", "vmap-x", "vmap-w", "vmap-both", "checkpoint", "scan", "jacobian"],
)
def test_transformations(function, case, request):
    x, w = case
    name = request.node.callspec.id
    if name in ("vmap-x", "scan"):
        x = jnp.stack([x, 2 * x])
    if name == "vmap-w":
        w = jnp.stack([w, 2 * w])
    if name == "vmap-both":
        x, w = jnp.stack([x, 2 * x], 1), jnp.stack([w, 2 * w], -1)
    check_equal(natively(function, x, w), on_xla(function, x, w))


def test_the_primitive_lowers_to_xla_where_the_cpu_is_not_the_device(case):
    x, w = case
    y, pull = jax.vjp(convolve, x, w)
    dx, dw = pull(y)
    geometry = trilinear.Geometry((2, 2), (1, 1), (0, 0), (1, 1), 1)
    for wanted, operands, result in [
        (trilinear.Wanted(trilinear.OUTPUT, y.shape[1:-1]), (x, w), y),
        (trilinear.Wanted(trilinear.INPUT, x.shape[1:-1]), (w, y), dx),
        (trilinear.Wanted(trilinear.KERNEL, w.shape[:-2]), (x, y), dw),
    ]:
        check_equal(trilinear.reference(*operands, wanted=wanted, geometry=geometry), result)


def test_what_is_not_finite_passes_through(case):
    x, w = case
    for value in (jnp.nan, jnp.inf, -jnp.inf):
        spoiled = x.at[0, 2, 2, 1].set(value)
        step = functools.partial(gradients, convolve)
        for a, b in zip(
            jax.tree.leaves(natively(step, spoiled, w)),
            jax.tree.leaves(on_xla(step, spoiled, w)),
            strict=True,
        ):
            np.testing.assert_array_equal(jnp.isnan(a), jnp.isnan(b))
            np.testing.assert_array_equal(jnp.isinf(a), jnp.isinf(b))


def test_wrong_shapes_are_errors_in_python(case):
    x, w = case
    with pytest.raises(ShapeError, match="channels"):
        kernels.conv(x[..., :3], w)
    bad = trilinear.Geometry((1, 1), (1, 1), (0, 0), (0, 0), 1)
    with pytest.raises(Exception, match="sizes do not fit"):
        jax.jit(lambda: trilinear.output_of(x, w, (6, 7), bad))().block_until_ready()
    with pytest.raises(Exception, match="channels or groups do not fit"):
        jax.jit(lambda: trilinear.output_of(x[..., :2], w, (4, 6), bad))().block_until_ready()


def test_threads_share_the_kernels(case):
    _, w = case
    cases = [(normal(batch, batch, 6, 7, 4), w * batch) for batch in (1, 3, 8, 33)]
    check_threads(functools.partial(gradients, convolve), cases)
