"""Native convolutions by Winograd's algorithm against XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from both import normal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.kernels import trilinear
from plait.kernels.trilinear import INPUT, KERNEL, OUTPUT

pytestmark = pytest.mark.usefixtures("native_kernels")


class Case:
    """One convolution, and arrays of the shapes of input, kernel and output."""

    def __init__(self, batch, sizes, channels, filters, before=(1, 1), after=(1, 1)):
        self.geometry = trilinear.Geometry((1, 1), (1, 1), before, after, 1)
        to = tuple(s + b + a - 2 for s, b, a in zip(sizes, before, after, strict=True))
        self.sizes = [sizes, (3, 3), to]
        shapes = (batch, *sizes, channels), (3, 3, channels, filters), (batch, *to, filters)
        self.arrays = [np.array(normal(seed, *shape)) for seed, shape in enumerate(shapes)]

    def is_winograd(self, role):
        shapes = [array.shape for array in self.arrays]
        return trilinear.implementations(*shapes, self.geometry)[role] == "winograd"

    def compute(self, role, function):
        first, second = (self.arrays[other] for other in (INPUT, KERNEL, OUTPUT) if other != role)
        wanted = trilinear.Wanted(role, self.sizes[role])
        return function(first, second, wanted=wanted, geometry=self.geometry)

    def check(self, role):
        ours = self.compute(role, jax.jit(trilinear.conv_p.bind, static_argnames=STATIC))
        theirs = self.compute(role, jax.jit(trilinear.reference, static_argnames=STATIC))
        np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
        np.testing.assert_array_equal(np.isposinf(ours), np.isposinf(theirs))
        finite = np.isfinite(theirs)
        scale = np.max(np.abs(theirs), where=finite, initial=1e-30)
        np.testing.assert_allclose(ours[finite] / scale, theirs[finite] / scale, atol=1e-5, rtol=0)


STATIC = ("wanted", "geometry")
ROLES = pytest.mark.parametrize("role", [INPUT, KERNEL, OUTPUT], ids=["input", "kernel", "output"])


@st.composite
def cases(draw):
    before, after = (draw(st.tuples(*[st.integers(0, 3)] * 2)) for _ in range(2))
    sizes = tuple(draw(st.integers(max(3 - b - a, 1), 19)) for b, a in zip(before, after))
    channels, filters = (16 * draw(st.integers(1, 5)) for _ in range(2))
    return Case(draw(st.integers(1, 40)), sizes, channels, filters, before, after)


@settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True)
@given(cases())
def test_all_three_are_those_of_xla(case):
    for role in (INPUT, KERNEL, OUTPUT):
        case.check(role)


@ROLES
def test_which_convolutions_it_is_for(role):
    assert Case(8, (8, 8), 16, 32).is_winograd(role)
    assert not Case(8, (8, 8), 8, 32).is_winograd(role)  # no whole vectors
    assert not Case(1, (8, 8), 16, 32).is_winograd(role)  # few tiles
    assert not Case(8, (8, 8), 512, 512).is_winograd(role)  # a large kernel


@ROLES
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e38, 1e-42])
def test_what_is_not_finite_or_nearly_so_passes_through(role, value):
    # oneDNN does not multiply the padding with the kernel, and so makes no NaN of it.
    roles = {INPUT, KERNEL, OUTPUT} if np.isfinite(value) else {INPUT, OUTPUT}
    for spoiled in roles - {role}:
        case = Case(10, (7, 9), 16, 32)
        assert case.is_winograd(role)
        array = case.arrays[spoiled]
        array[2 % len(array), 2, 2, 3] = value
        case.check(role)


@ROLES
def test_sums_near_the_largest_number_stay_finite(role):
    case = Case(10, (7, 9), 16, 32)
    for other in {INPUT, OUTPUT} - {role}:
        case.arrays[other][...] = 0
        case.arrays[other][:, ::3, ::3, 0] = 3e38
    if role == KERNEL:
        case.arrays[INPUT] *= 1e-38
    else:
        case.arrays[KERNEL] *= 0.1
    case.check(role)


@ROLES
def test_rounding_is_that_of_float32(role):
    case = Case(16, (16, 16), 64, 64)
    ours = case.compute(role, jax.jit(trilinear.conv_p.bind, static_argnames=STATIC))
    with jax.enable_x64(True):
        case.arrays = [jnp.asarray(array, "float64") for array in case.arrays]
        exact = case.compute(role, trilinear.reference)
    assert exact.dtype == "float64"
    assert np.max(np.abs(ours - np.asarray(exact))) < 2e-6 * np.max(np.abs(exact))
