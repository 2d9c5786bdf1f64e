import keras
import numpy as np
import pytest
from check_layer import check_layer

from plait import layers
from plait.errors import ArgumentTypeError, ConfigError

X = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
NUMBERS = np.array([[0, 1, 1], [3, 2, 4]], "int32")


@pytest.mark.parametrize(
    ("config", "x"),
    [
        ({"scale": 0.5}, X),
        ({"scale": 1 / 127.5, "offset": -1}, (100 * abs(X)).astype("uint8")),
        ({"scale": np.array([1.0, 2.0, 3.0]), "offset": [0.0, 1.0, 2.0]}, X),
    ],
)
def test_rescaling(config, x):
    check_layer(lambda: layers.Rescaling(**config), lambda: keras.layers.Rescaling(**config), x)


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("x", [NUMBERS, NUMBERS[:, :1], NUMBERS[1]], ids=["rows", "one", "flat"])
def test_category_encoding(mode, x):
    if x.ndim == 1 and mode != "one_hot":
        expected = keras.layers.CategoryEncoding(5, mode)(x)
        np.testing.assert_array_equal(layers.CategoryEncoding(5, mode)(x), expected)
        return
    check_layer(
        lambda: layers.CategoryEncoding(5, mode),
        lambda: keras.layers.CategoryEncoding(5, mode),
        x,
    )


def test_counts_may_be_weighted():
    weights = np.array([[0.5, 0.25, 1], [1, 2, 3]], "float32")
    expected = keras.layers.CategoryEncoding(5, "count")(NUMBERS, count_weights=weights)
    actual = layers.CategoryEncoding(5, "count")(NUMBERS, count_weights=weights)
    np.testing.assert_allclose(actual, expected)
    with pytest.raises(ArgumentTypeError, match="takes no count_weights with output_mode='one_hot"):
        layers.CategoryEncoding(5, "one_hot")(NUMBERS, count_weights=weights)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.CategoryEncoding(), "num_tokens must be a positive whole number"),
        (lambda: layers.CategoryEncoding(0), "num_tokens must be a positive whole number"),
        (lambda: layers.CategoryEncoding(3, "binary_hot"), "no output_mode 'binary_hot'"),
        (lambda: layers.CategoryEncoding(3, sparse=True), "sparse=True is not supported"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
