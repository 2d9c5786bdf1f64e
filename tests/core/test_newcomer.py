"""Mistakes that would train nothing, or fail far from where they were made."""

import numpy as np
import pytest

import plait
from plait import Input, layers


class MadeInCall(layers.Layer):
    def call(self, inputs):
        return layers.Dense(1)(inputs)


class Forgetful(layers.Layer):
    def call(self, inputs):
        inputs + 1


def test_a_layer_made_in_call_is_refused():
    with pytest.raises(plait.ConfigError, match="made inside call"):
        MadeInCall()(np.ones((2, 3)))
    model = plait.Sequential([Input((3,)), MadeInCall()])
    model.compile("sgd", "mse")
    with pytest.raises(plait.ConfigError, match="made inside call"):
        model.fit(np.ones((4, 3)), np.ones(4), verbose=0)


def test_a_call_that_returns_nothing_is_refused():
    for given in (np.ones((2, 3)), Input((3,))):
        with pytest.raises(plait.ArgumentTypeError, match=r"returned nothing from call\(\)"):
            Forgetful()(given)


def test_an_array_cannot_take_the_place_of_a_variable():
    dense = layers.Dense(2)
    dense.build((None, 3))
    with pytest.raises(plait.ConfigError, match=r"layer.kernel.assign\(value\)"):
        dense.kernel = np.ones((3, 2))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (layers.Dense(2), "received <Dense"),
        (layers.Input, "received <function"),
        (np.array([[1, None]], dtype=object), "received one of object"),
        (np.array([["a"]]), "received one of <U1"),
    ],
)
def test_what_is_no_array_is_named(given, text):
    with pytest.raises(plait.ArgumentTypeError) as raised:
        layers.Dense(3)(given)
    assert text in str(raised.value)
