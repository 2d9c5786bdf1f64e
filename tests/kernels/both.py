"""A function on native kernels and on XLA's: that it uses them, and that results are the same."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from plait import kernels


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), "float32")


def natively(function, *arguments, uses, without=()):
    """Return the function's value; it uses one of the first primitives, and none of the others."""

    def traced(*a):
        return function(*a)

    text = str(jax.make_jaxpr(traced)(*arguments))
    assert any(primitive in text for primitive in uses)
    assert not any(primitive in text for primitive in without)
    return jax.jit(traced)(*arguments)


def on_xla(function, *arguments):
    with kernels.using("xla"):
        return jax.jit(lambda *a: function(*a))(*arguments)


def check_equal(ours, theirs):
    """Check that they are the same but for 1e-5 of each array's largest number."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        scale = float(jnp.max(jnp.abs(b))) or 1.0
        np.testing.assert_allclose(a / scale, b / scale, atol=1e-5, rtol=0)


def check_threads(function, cases):
    """Check that calls from several threads at once return the same numbers as calls alone."""
    compiled = jax.jit(function)
    alone = [compiled(*case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda case: compiled(*case), cases * 20))
    for found, expected in zip(together, alone * 20, strict=True):
        jax.tree.map(np.testing.assert_array_equal, found, expected)
