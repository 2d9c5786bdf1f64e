import keras
import numpy as np
import pytest
from check_layer import check_layer

from plait import layers
from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.graph.tensor import SymbolicTensor

RNG = np.random.default_rng(0)


def data(*shape, dtype="float32"):
    return (10 * RNG.normal(size=shape)).astype(dtype)


@pytest.mark.parametrize(
    ("name", "config", "x"),
    [
        ("Flatten", {}, data(2, 3, 4)),
        ("Flatten", {"data_format": "channels_first"}, data(2, 3, 4, 5)),
        ("Flatten", {}, data(3)),
        ("Flatten", {}, data(2, 3, 4, dtype="int32")),
        ("Reshape", {"target_shape": (4, 3)}, data(2, 12)),
        ("Reshape", {"target_shape": (-1, 2, 2)}, data(2, 12)),
        ("Reshape", {"target_shape": ()}, data(2, 1)),
        ("Reshape", {"target_shape": [6]}, data(2, 3, 2, dtype="int32")),
        ("Permute", {"dims": (2, 1)}, data(2, 3, 4)),
        ("Permute", {"dims": (3, 1, 2)}, data(2, 3, 4, 5, dtype="int32")),
        ("RepeatVector", {"n": 3}, data(2, 5)),
        ("Identity", {}, data(2, 5)),
        ("Identity", {}, data(2, 5, dtype="int32")),
    ],
)
def test_against_keras(name, config, x):
    check_layer(
        lambda: getattr(layers, name)(**config), lambda: getattr(keras.layers, name)(**config), x
    )


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Flatten(), (None, None, 3), (None, None)),
        (layers.Reshape((-1, 3)), (None, None, 3), (None, None, 3)),
        (layers.Reshape((2, 3)), (None, None, 3), (None, 2, 3)),
        (layers.Permute((2, 1)), (None, None, 3), (None, 3, None)),
        (layers.RepeatVector(2), (None, None), (None, 2, None)),
    ],
)
def test_unknown_sizes(layer, shape, expected):
    assert layer(SymbolicTensor(shape)).shape == expected


def test_reshape_with_an_unknown_size_runs():
    layer = layers.Reshape((-1, 3))
    assert layer(SymbolicTensor((None, None))).shape == (None, None, 3)
    assert layer(data(2, 6)).shape == (2, 2, 3)
    assert layer(data(2, 9)).shape == (2, 3, 3)


@pytest.mark.parametrize("layer", [layers.Flatten(), layers.Reshape((6,)), layers.Identity()])
def test_an_empty_batch(layer):
    assert layer(np.zeros((0, 2, 3), "float32")).shape[0] == 0


def test_identity_keeps_structures():
    a, b = layers.Identity()([SymbolicTensor((None, 2)), SymbolicTensor((None, 3))])
    assert (a.shape, b.shape) == ((None, 2), (None, 3))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.Reshape((-1, -1)), ConfigError, "only one size of target_shape may be -1"),
        (lambda: layers.Reshape((-2, 3)), ConfigError, "whole number >= 0, received -2"),
        (lambda: layers.Reshape((2.5,)), ConfigError, "whole number"),
        (lambda: layers.Permute((0, 1)), ConfigError, "each of 1 to 2 once"),
        (lambda: layers.Permute((1, 3)), ConfigError, "each of 1 to 2 once"),
        (lambda: layers.RepeatVector(0), ConfigError, "n must be a positive whole number"),
        (lambda: layers.RepeatVector(1.5), ConfigError, "n must be a positive whole number"),
        (lambda: layers.Flatten("NHWC"), ConfigError, "data_format must be 'channels_last'"),
        (lambda: layers.Flatten(data_frmat=1), ArgumentTypeError, "data_format"),
        (lambda: layers.Reshape((3, 4))(data(2, 10)), ShapeError, "has 10 elements.*takes 12"),
        (
            lambda: layers.Reshape((-1, 4))(SymbolicTensor((None, 10))),
            ShapeError,
            r"cannot reshape \(None, 10\) to \(None, -1, 4\): each sample has 10 elements, the "
            "target takes a multiple of 4",
        ),
        (lambda: layers.Permute((2, 1))(data(2, 3)), ShapeError, "3 axes, received 2"),
        (lambda: layers.RepeatVector(2)(data(2, 3, 4)), ShapeError, "2 axes, received 3"),
        (lambda: layers.Flatten()([data(2, 3)]), ArgumentTypeError, "takes one tensor"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
