"""Adam as one native kernel, against the same on XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from both import normal

from plait import kernels, optimizers

pytestmark = pytest.mark.usefixtures("native_kernels")
SHAPES = [(3,), (1,), (33, 65), (5, 7, 11), (40_000,), ()]


def arrays(scale=1.0):
    """Return gradients, variables, momenta and velocities."""
    kinds = [[scale * normal(10 * k + i, *s) for i, s in enumerate(SHAPES)] for k in range(4)]
    return *kinds[:3], [jnp.abs(v) for v in kinds[3]]


def natively(gradients, variables, momenta, velocities, alpha=0.01):
    moved = kernels.adam(gradients, variables, momenta, velocities, alpha, 0.9, 0.999, 1e-7)
    assert moved is not None
    return moved


def by_hand(gradients, variables, momenta, velocities, alpha=0.01):
    m = [0.9 * m + 0.1 * g for m, g in zip(momenta, gradients, strict=True)]
    v = [0.999 * v + 0.001 * g * g for v, g in zip(velocities, gradients, strict=True)]
    moved = [w - alpha * a / (jnp.sqrt(b) + 1e-7) for w, a, b in zip(variables, m, v, strict=True)]
    return moved, m, v


def check_close(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_one_update(scale):
    check_close(jax.jit(natively)(*arrays(scale)), by_hand(*arrays(scale)))


def test_arguments_stay_as_they_are():
    """Results take the place of arguments only where nobody needs those."""
    given = arrays()
    before = jax.tree.map(np.array, given)
    jax.jit(natively)(*given)
    for a, b in zip(jax.tree.leaves(given), jax.tree.leaves(before), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nan_stays_where_it_is():
    gradients, *rest = arrays()
    gradients[2] = gradients[2].at[1, 2].set(jnp.nan)
    variables, _, _ = jax.jit(natively)(gradients, *rest)
    assert int(sum(jnp.isnan(v).sum() for v in variables)) == 1


def test_it_is_differentiable():
    """An update in an update, as in learning to learn."""

    def loss(alpha, move):
        variables, _, _ = move(*arrays(), alpha)
        return sum(jnp.sum(jnp.sin(v)) for v in variables)

    found, expected = (
        jax.jit(jax.grad(loss), static_argnums=1)(0.1, f) for f in (natively, by_hand)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_a_mapped_axis():
    gradients, *rest = arrays()
    many = [jnp.stack([g, 2 * g]) for g in gradients]
    found = jax.jit(jax.vmap(natively, ([0] * len(many), None, None, None)))(many, *rest)
    expected = [by_hand([factor * g for g in gradients], *rest) for factor in (1.0, 2.0)]
    check_close(found, jax.tree.map(lambda *leaves: jnp.stack(leaves), *expected))


@pytest.mark.parametrize(
    ("optimizer", "native"),
    [
        (optimizers.Adam(), True),
        (optimizers.AdamW(weight_decay=0.1, clipnorm=0.5, use_ema=True), True),
        (optimizers.Adam(gradient_accumulation_steps=2), True),
        (optimizers.Adam(amsgrad=True), False),
        (optimizers.Nadam(), False),
    ],
    ids=["adam", "adamw", "accumulation", "amsgrad", "nadam"],
)
def test_optimizers_that_use_it(optimizer, native):
    params = {"a": normal(0, 7, 9), "b": normal(1, 3)}

    def train(params):
        state = optimizer.init(params)
        for seed in range(4):
            grads = {path: normal(seed, *p.shape) for path, p in params.items()}
            params, state = optimizer.update(grads, state, params)
        return params, state

    assert ("plait_adam" in str(jax.make_jaxpr(train)(params))) is native
    found = jax.jit(train)(params)
    with kernels.using("xla"):
        expected = jax.jit(lambda params: train(params))(params)
    check_close(found, expected)


def test_what_is_on_several_devices_is_left_to_xla(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert kernels.adam(*arrays(), 0.1, 0.9, 0.999, 1e-7) is None
