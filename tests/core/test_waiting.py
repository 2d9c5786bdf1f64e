"""Waiting for results: until they are there, but not for long."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from plait import layers
from plait.core import waiting


class Result:
    """Is ready at the `needed`-th time it is asked."""

    def __init__(self, needed):
        self.asked, self.needed = itertools.count(1), needed

    def is_ready(self):
        return next(self.asked) >= self.needed


@pytest.mark.parametrize(("needed", "times"), [(1, 1), (7, 7), (10**9, 50)])
def test_results_are_asked_until_they_are_there_or_often_enough(monkeypatch, needed, times):
    monkeypatch.setattr(waiting, "_SECONDS", 1000)
    result = Result(needed)
    waiting.wait_briefly([result])
    assert next(result.asked) == times + 1


def test_results_are_asked_until_it_takes_too_long(monkeypatch):
    monkeypatch.setattr(waiting, "_SECONDS", -1)
    result = Result(10**9)
    waiting.wait_briefly([result])
    assert next(result.asked) == 2


def test_there_may_be_nothing_to_wait_for():
    waiting.wait_briefly([])
    waiting.wait_briefly([jnp.zeros(2)])


def test_a_layer_is_called_on_a_constant_while_another_function_is_traced():
    layer, x = layers.Dense(4), jnp.ones((2, 3))
    y = layer(x)
    np.testing.assert_allclose(jax.jit(lambda: layer(x))(), y, rtol=1e-6)
    slope = jax.jit(jax.grad(lambda scale: jnp.sum(layer(x) * scale)))(2.0)
    np.testing.assert_allclose(slope, jnp.sum(y), rtol=1e-6)
