import keras
import numpy as np
import pytest
from check_layer import check_layer

from plait import layers
from plait.errors import ConfigError, NotBuiltError, ShapeError
from plait.graph.tensor import SymbolicTensor

RNG = np.random.default_rng(0)
X2 = RNG.normal(size=(4, 5)).astype("float32")
X3 = RNG.normal(size=(2, 3, 5)).astype("float32")
X4 = RNG.normal(size=(2, 3, 4, 5)).astype("float32")


@pytest.mark.parametrize(
    ("config", "x"),
    [
        ({"units": 3}, X2),
        ({"units": 3, "activation": "tanh", "use_bias": False}, X3),
        ({"units": 2, "activation": "softmax", "kernel_regularizer": "l2"}, X4),
        ({"units": np.int64(2), "activation": "relu"}, X2.astype("int32")),
    ],
)
def test_dense(config, x):
    theirs = {**config, "units": int(config["units"])}
    check_layer(lambda: layers.Dense(**config), lambda: keras.layers.Dense(**theirs), x)


@pytest.mark.parametrize(
    ("equation", "output_shape", "bias_axes", "x"),
    [
        ("ab,bc->ac", 6, "c", X2),
        ("abc,cd->abd", (None, 6), None, X3),
        ("abc,cd->abd", (3, 6), "bd", X3),
        ("abcd,de->abce", (None, 4, 6), "ce", X4),
        ("abc,cde->abde", (None, 2, 3), "de", X3),
        ("abc,bcd->ad", 7, "d", X3),
        ("...x,xy->...y", 6, "y", X4),
        ("...bc,cd->...bd", (3, 6), "b", X3),
        ("ab...,bc->ac...", 6, "c", X4),
        ("ab...,bc->ac...", (6,), None, X2),
    ],
)
def test_einsum_dense(equation, output_shape, bias_axes, x):
    config = {"activation": "relu", "bias_axes": bias_axes}
    check_layer(
        lambda: layers.EinsumDense(equation, output_shape, **config),
        lambda: keras.layers.EinsumDense(equation, output_shape, **config),
        x,
    )


def test_activity_regularizer_adds_the_mean_over_the_batch():
    ours = layers.Dense(3, activity_regularizer="l2")
    ours(X2)
    theirs = keras.layers.Dense(3, activity_regularizer="l2")
    theirs(X2)
    theirs.set_weights(ours.get_weights())
    ours(X2), theirs(X2)
    np.testing.assert_allclose(sum(ours.losses), sum(theirs.losses), rtol=1e-5, atol=1e-6)


def test_einsum_dense_takes_unknown_sizes_from_the_input():
    layer = layers.EinsumDense("abcd,de->abce", (None, None, 6), bias_axes="ce")
    assert layer(SymbolicTensor((None, None, 4, 5))).shape == (None, None, 4, 6)
    assert layer.bias.shape == (4, 6)


def test_weights_are_made_once():
    dense = layers.Dense(3)
    dense.build((None, 5))
    assert dense(X2).shape == (4, 3)
    assert [w.name for w in dense.weights] == ["kernel", "bias"]


@pytest.mark.parametrize("units", [0, -1, 2.5, "3", None, True, (3,)])
def test_units_must_be_a_positive_whole_number(units):
    with pytest.raises(ConfigError, match=r"Dense: units must be a positive whole number, rec"):
        layers.Dense(units)


def test_wrong_width_names_the_layer_and_both_sizes():
    dense = layers.Dense(3, name="logits")
    dense.build((None, 5))
    with pytest.raises(ShapeError, match=r"Dense 'logits' .*size 5 on axis -1, received 4"):
        dense(SymbolicTensor((None, 4)))
    with pytest.raises(ShapeError, match=r"Dense 'logits' .*size 5 on axis -1, received 4"):
        dense(X2[:, :4])


def test_bad_input():
    with pytest.raises(ShapeError, match="at least 2 axes, received 1"):
        layers.Dense(3)(SymbolicTensor((None,)))
    with pytest.raises(ShapeError, match="no known size"):
        layers.Dense(3)(SymbolicTensor((None, None)))
    with pytest.raises(TypeError, match="takes one tensor"):
        layers.Dense(3)([X2, X2])
    with pytest.raises(TypeError, match="Did you mean 'activation'"):
        layers.Dense(3, activaton="relu")
    with pytest.raises(NotBuiltError):
        layers.Dense(3).count_params()


@pytest.mark.parametrize(
    ("equation", "output_shape", "bias_axes", "message"),
    [
        ("ab,bc", 3, None, "no equation of an input and a kernel"),
        ("...ab...,bc->...ac", 3, None, "no equation"),
        ("ab,bc->ad", 3, None, "'d' in the output"),
        ("ab,bcd->ac", 3, None, "'d' in the kernel"),
        ("ab,bc->ac", 3, "b", "bias_axes has 'b'"),
    ],
)
def test_bad_equations(equation, output_shape, bias_axes, message):
    with pytest.raises(ConfigError, match=message):
        layers.EinsumDense(equation, output_shape, bias_axes=bias_axes)


@pytest.mark.parametrize(
    ("equation", "output_shape", "shape", "message"),
    [
        ("ab,bc->ac", 3, (None, 4, 5), "expects 2 axes"),
        ("...abc,cd->...abd", 3, (None, 4), "expects at least 3 axes"),
        ("abc,cd->abd", 3, (None, 4, 5), "does not fit the output 'abd'"),
        ("abc,cd->abd", (7, 3), (None, 4, 5), "has size 7 for 'b'.* has 4"),
    ],
)
def test_einsum_dense_on_shapes_that_do_not_fit(equation, output_shape, shape, message):
    with pytest.raises(ShapeError, match=message):
        layers.EinsumDense(equation, output_shape)(SymbolicTensor(shape))
