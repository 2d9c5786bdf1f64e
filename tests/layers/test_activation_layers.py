import keras
import numpy as np
import pytest
from check_layer import check_layer

from plait import layers
from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.graph.tensor import SymbolicTensor

RNG = np.random.default_rng(0)
X = (3 * RNG.normal(size=(2, 4, 3))).astype("float32")
IMAGE = RNG.normal(size=(2, 3, 4, 5)).astype("float32")


@pytest.mark.parametrize(
    ("name", "config", "x"),
    [
        ("Activation", {"activation": "selu"}, X),
        ("Activation", {"activation": "gelu"}, X),
        ("ReLU", {}, X),
        ("ReLU", {"max_value": 1.5, "negative_slope": 0.2, "threshold": 0.5}, X),
        ("LeakyReLU", {}, X),
        ("LeakyReLU", {"negative_slope": 0.0}, X),
        ("ELU", {"alpha": 0.5}, X),
        ("PReLU", {}, X),
        ("PReLU", {"alpha_initializer": "ones", "shared_axes": [1, 2]}, IMAGE),
        ("PReLU", {"shared_axes": (1,), "alpha_regularizer": "l2"}, X),
        ("Softmax", {}, X),
        ("Softmax", {"axis": 1}, X),
        ("Softmax", {"axis": [1, 2]}, X),
        ("Softmax", {"axis": (-1,)}, X),
    ],
)
def test_against_keras(name, config, x):
    check_layer(
        lambda: getattr(layers, name)(**config), lambda: getattr(keras.layers, name)(**config), x
    )


@pytest.mark.parametrize(
    "mask",
    [
        np.array([[[True, True, False]] * 4, [[True, False, False]] * 4]),
        np.array([[[1.0, 0.0, 1.0]], [[0.0, 0.0, 0.0]]], "float32"),
        np.array([True, False, True]),
    ],
    ids=["whole", "numbers, nothing left", "broadcast"],
)
def test_softmax_with_a_mask(mask):
    expected = keras.layers.Softmax()(X, mask=mask)
    np.testing.assert_allclose(layers.Softmax()(X, mask=mask), expected, rtol=1e-5, atol=1e-7)


def test_shared_axes_may_have_unknown_sizes():
    layer = layers.PReLU(shared_axes=[1, 2])
    assert layer(SymbolicTensor((None, None, None, 3))).shape == (None, None, None, 3)
    assert layer.alpha.shape == (1, 1, 3)


def test_leaky_relu_takes_the_older_name():
    layer = layers.LeakyReLU(alpha=0.1)
    assert layer.negative_slope == 0.1
    assert layers.LeakyReLU.from_config(layer.get_config()).negative_slope == 0.1


def test_masks_pass_through():
    mask = np.array([[True, False]])
    for layer in (layers.Activation("relu"), layers.ReLU(), layers.Softmax()):
        assert layer.supports_masking
        assert layer.compute_mask(X, mask) is mask


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.Activation("rellu"), ConfigError, "Did you mean 'relu'"),
        (lambda: layers.Activation(), ArgumentTypeError, "Activation: missing"),
        (lambda: layers.ReLU(max_value=-1), ConfigError, "ReLU: max_value must be a number >= 0"),
        (lambda: layers.ReLU(negative_slope=None), ConfigError, "negative_slope .* received None"),
        (lambda: layers.ReLU(threshold=-0.5), ConfigError, "threshold must be"),
        (lambda: layers.LeakyReLU(-0.1), ConfigError, "LeakyReLU: negative_slope must be"),
        (lambda: layers.LeakyReLU("0.1"), ConfigError, "received '0.1'"),
        (lambda: layers.PReLU()(SymbolicTensor((None, None, 3))), ShapeError, "no known size"),
        (
            lambda: layers.Softmax()(X, mask=np.ones((4, 2), bool)),
            ShapeError,
            r"Softmax .* has a mask \(4, 2\), which does not broadcast to its input \(2, 4, 3\)",
        ),
        (lambda: layers.ReLU()(X, foo=1), ArgumentTypeError, "foo"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_prelu_keeps_the_sizes_it_was_built_for():
    layer = layers.PReLU(shared_axes=[1])
    layer(X)
    with pytest.raises(ShapeError, match="size 3 on axis 2, received 2"):
        layer(X[:, :, :2])
