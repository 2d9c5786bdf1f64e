"""Automatic names, numbered names, and names that are none."""

import keras
import pytest

import plait
from plait import layers
from plait.core import naming


@pytest.mark.parametrize(
    "name",
    ["Dense", "Conv2D", "BatchNormalization", "LSTMCell", "GRU", "MyHTTPLayer2", "A1B2", "x_y"],
)
def test_snake_case_is_keras(name):
    from keras.src.utils.naming import to_snake_case

    assert naming.snake_case(name) == to_snake_case(name)
    assert keras.__version__


def test_automatic_names_count_on_until_the_session_is_cleared():
    plait.utils.clear_session()
    assert [layers.Dense(1).name for _ in range(3)] == ["dense", "dense_1", "dense_2"]
    assert layers.Dense(1, name="dense").name == "dense"
    plait.utils.clear_session()
    assert layers.Dense(1).name == "dense"


def test_free_names():
    assert naming.free_name("a", {}) == "a"
    assert naming.free_name("a", ["a", "a_1"]) == "a_2"


@pytest.mark.parametrize("name", ["", "a/b", "a@1", 3, None])
def test_errors(name):
    with pytest.raises(plait.ConfigError, match="a layer's name is a string"):
        naming.check_name(name)
