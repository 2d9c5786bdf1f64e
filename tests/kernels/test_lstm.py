import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from plait.kernels.lstm import projected_lstm as lstm

RNG = np.random.default_rng(0)
STEPS, BATCH, UNITS = 4, 3, 2


def array(*shape):
    return jnp.asarray(RNG.normal(size=shape), "float32")


ARGUMENTS = (array(STEPS, BATCH, 4 * UNITS), array(UNITS, 4 * UNITS), array(BATCH, UNITS))
KEEP = jnp.asarray(RNG.random((STEPS, BATCH)) < 0.6)


def step_by_step(projected, kernel, h, c, keep, reverse):
    """Return what `lstm` does, written as in Hochreiter & Schmidhuber 1997 and step by step."""
    outputs = [None] * STEPS
    for time in reversed(range(STEPS)) if reverse else range(STEPS):
        i, f, g, o = jnp.split(projected[time] + h @ kernel, 4, axis=-1)
        new_c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_h = jax.nn.sigmoid(o) * jnp.tanh(new_c)
        kept = True if keep is None else keep[time][:, None]
        h, c = jnp.where(kept, new_h, h), jnp.where(kept, new_c, c)
        outputs[time] = h
    return jnp.stack(outputs), h, c


@pytest.mark.parametrize("keep", [None, KEEP], ids=["all steps", "masked"])
@pytest.mark.parametrize("reverse", [False, True])
def test_values_and_derivatives_are_those_of_single_steps(keep, reverse):
    def whole(projected, kernel, h):
        outputs, last = lstm(projected, kernel, (h, 0.5 * h), keep, reverse)
        return outputs, *last

    def single(projected, kernel, h):
        return step_by_step(projected, kernel, h, 0.5 * h, keep, reverse)

    def loss(function):
        return lambda *arguments: sum(jnp.sum(jnp.sin(part)) for part in function(*arguments))

    def curvature(function):
        """Return the gradient of a norm of the gradient, as a gradient penalty has it."""
        inner = jax.grad(loss(function), (0, 1, 2))
        return jax.grad(
            lambda *arguments: sum(jnp.sum(part**2) for part in inner(*arguments)), (0, 1, 2)
        )

    for make in (lambda f: f, lambda f: jax.grad(loss(f), (0, 1, 2)), curvature):
        for have, want in zip(
            jax.jit(make(whole))(*ARGUMENTS), jax.jit(make(single))(*ARGUMENTS), strict=True
        ):
            np.testing.assert_allclose(have, want, rtol=2e-5, atol=2e-5)


def test_forward_and_reverse_derivatives_are_those_of_differences():
    def outputs(projected, kernel, h):
        return lstm(projected, kernel, (h, h), KEEP, False)

    check_grads(jax.jit(outputs), ARGUMENTS, order=1, atol=2e-2, rtol=2e-2)
