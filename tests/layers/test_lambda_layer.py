import warnings

import jax.numpy as jnp
import keras
import numpy as np
import pytest
from check_layer import check_layer, check_signature

from plait import layers
from plait.core import registry
from plait.errors import ArgumentTypeError, ConfigError
from plait.graph.tensor import SymbolicTensor

X = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")


def scaled(x, factor=2.0):
    return x * factor


def symbol(*shape, dtype="float32"):
    return SymbolicTensor(shape, dtype)


def test_takes_keras_arguments():
    check_signature(layers.Lambda, keras.layers.Lambda)
    check_signature(layers.Masking, keras.layers.Masking)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda x: x**2, None),
        (scaled, {"factor": 3.0}),
        (lambda x: x[:, :2].sum(-1), None),
        (jnp.tanh, None),
    ],
)
def test_against_keras(function, arguments):
    ours = layers.Lambda(function, arguments=arguments)
    theirs = keras.layers.Lambda(function, arguments=arguments)
    expected = theirs(X)
    np.testing.assert_allclose(ours(X), expected, rtol=1e-5, atol=1e-6)
    assert ours(symbol(None, 4, 3)).shape == (None, *expected.shape[1:])


@pytest.mark.parametrize(
    ("layer", "inputs", "shape", "dtype"),
    [
        (layers.Lambda(lambda x: x[0] + x[1]), [symbol(None, 3), symbol(None, 3)], (None, 3), None),
        (layers.Lambda(lambda x: jnp.argmax(x, -1)), symbol(None, 3), (None,), "int32"),
        (layers.Lambda(lambda x: x, (7,)), symbol(None, None), (None, 7), None),
        (layers.Lambda(lambda x: x, lambda s: (s[0], 9)), symbol(None, None), (None, 9), None),
        (layers.Lambda(lambda x: x), symbol(None, 3, dtype="int32"), (None, 3), "int32"),
    ],
)
def test_shapes_are_inferred_or_given(layer, inputs, shape, dtype):
    output = layer(inputs)
    assert output.shape == shape
    assert output.dtype == (dtype or "float32")


def test_several_outputs():
    a, b = layers.Lambda(lambda x: (x, x.sum(-1)))(symbol(None, 4, 3))
    assert (a.shape, b.shape) == ((None, 4, 3), (None, 4))


def test_training_and_mask_are_passed_where_asked_for():
    layer = layers.Lambda(lambda x, training, mask: x * training * mask[..., None], mask=None)
    mask = np.array([[1, 0, 1, 0]] * 2, bool)
    np.testing.assert_allclose(layer(X, training=True, mask=mask), X * mask[..., None])
    np.testing.assert_allclose(layer(X, mask=mask), 0 * X)


def test_masks():
    mask = np.ones((2, 4), bool)
    assert layers.Lambda(scaled, mask=lambda inputs, mask: mask).compute_mask(X, mask) is mask
    assert layers.Lambda(scaled, mask=mask).compute_mask(X) is mask
    with pytest.warns(UserWarning, match="does not pass masks on"):
        assert layers.Lambda(scaled).compute_mask(X, mask) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layers.Lambda(scaled).compute_mask(X, None)


def test_configuration():
    layer = layers.Lambda(scaled, arguments={"factor": 3.0}, name="triple")
    config = layer.get_config()
    with registry.custom_object_scope({"scaled": scaled}):
        again = layers.Lambda.from_config(config)
    np.testing.assert_allclose(again(X), 3 * X, rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match="its argument function: an anonymous function"):
        layers.Lambda(lambda x: x).get_config()


def test_bad_input():
    with pytest.raises(ArgumentTypeError, match="Lambda: function must be a function, received st"):
        layers.Lambda("relu")
    with pytest.raises((TypeError, ValueError), match=r"Lambda 'broken' .*test_lambda_layer\.py"):
        layers.Lambda(lambda x: x @ x, name="broken")(symbol(None, 4, 3))


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_masking(value):
    x = np.array(X)
    x[0, 1] = x[1, 2:] = value
    x[1, 0, 0] = value
    layer, _ = check_layer(lambda: layers.Masking(value), lambda: keras.layers.Masking(value), x)
    expected = keras.layers.Masking(value).compute_mask(x)
    np.testing.assert_array_equal(layer.compute_mask(x), expected)
