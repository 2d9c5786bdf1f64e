"""Waiting for results: until they are there, but not for long."""

import itertools

import jax.numpy as jnp
import pytest

from plait.core.waiting import wait_briefly


class Result:
    """Is ready at the `needed`-th time it is asked."""

    def __init__(self, needed):
        self.asked, self.needed = itertools.count(1), needed

    def is_ready(self):
        return next(self.asked) >= self.needed


@pytest.mark.parametrize(("needed", "times"), [(1, 1), (7, 7), (10**9, 50)])
def test_results_are_asked_until_they_are_there_or_take_too_long(needed, times):
    result = Result(needed)
    wait_briefly([result])
    assert next(result.asked) == times + 1


def test_there_may_be_nothing_to_wait_for():
    wait_briefly([])
    wait_briefly([jnp.zeros(2)])
