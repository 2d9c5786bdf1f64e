"""Chains of layers that run as one native kernel."""

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

import plait
from plait import kernels, layers
from plait.models import fusion

pytestmark = pytest.mark.skipif(kernels.native().library is None, reason="plait-onednn is not here")


def residual(bias=True, **norm):
    """Return a model of two blocks, the second with a shortcut."""
    image = plait.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, padding="same", use_bias=bias)(image)
    x = layers.ReLU()(layers.BatchNormalization(**norm)(x))
    y = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=bias)(x)
    y = layers.BatchNormalization(**norm)(y)
    shortcut = layers.BatchNormalization(**norm)(layers.Conv2D(16, 1, strides=2)(x))
    x = layers.Activation("relu")(layers.Add()([shortcut, y]))
    x = layers.Conv2D(8, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return plait.Model(image, layers.Dense(10, activation="softmax")(x))


def names(model):
    """Return the names of the layers of every chain, in order."""
    chains = dict.fromkeys(fusion.chains(model.graph).values())
    return [[type(node.layer).__name__ for node in chain.nodes] for chain in chains]


def primitives(model, x, training):
    step = jax.make_jaxpr(lambda x: model.apply(model.state(), x, training=training)[0])(x)
    return str(step).count("plait_block")


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return (x.reshape(-1, 8, 8, 1) / 16).astype("float32"), y.astype("int32")


def test_chains_are_found():
    assert names(residual()) == [
        ["Conv2D", "BatchNormalization", "ReLU"],
        ["Conv2D", "BatchNormalization"],
        ["Conv2D", "BatchNormalization", "Add", "Activation"],
        ["Conv2D"],
    ]


def test_what_others_take_is_not_passed_over():
    image = plait.Input((8, 8, 1))
    x = layers.Conv2D(8, 3)(image)
    y = layers.BatchNormalization()(x)
    z = layers.ReLU()(y)
    assert names(plait.Model(image, z)) == [["Conv2D", "BatchNormalization", "ReLU"]]
    assert names(plait.Model(image, [z, y])) == [["Conv2D", "BatchNormalization"]]
    assert names(plait.Model(image, [z, x])) == [["Conv2D"]]
    twice = layers.Add()([y, y])
    assert names(plait.Model(image, layers.ReLU()(twice))) == [["Conv2D", "BatchNormalization"]]


@pytest.mark.parametrize(
    "after",
    [
        layers.BatchNormalization(axis=1),
        layers.BatchNormalization(renorm=True),
        layers.ReLU(max_value=6.0),
        layers.Activation("tanh"),
        layers.BatchNormalization(dtype="mixed_bfloat16"),
    ],
    ids=["axis", "renorm", "relu6", "tanh", "dtype"],
)
def test_other_layers_end_a_chain(after):
    model = plait.Sequential([plait.Input((8, 8, 1)), layers.Conv2D(8, 3), after])
    assert names(model) == [["Conv2D"]]


@pytest.mark.parametrize("bias", [True, False])
def test_training_is_that_of_the_layers_one_by_one(digits, bias):
    x, y = digits
    histories, weights, outputs = [], [], []
    for choice in ("auto", "xla"):
        plait.utils.set_random_seed(1)
        with kernels.using(choice):
            model = residual(bias, momentum=0.9)
            assert (primitives(model, x[:4], True) > 0) is (choice == "auto")
            model.compile(
                plait.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy"
            )
            history = model.fit(x, y, batch_size=50, epochs=2, shuffle=False, verbose=0)
            outputs.append(model.predict(x[:333], verbose=0))
        histories.append(history.history["loss"])
        weights.append(model.get_weights())
    np.testing.assert_allclose(*histories, rtol=1e-4)
    np.testing.assert_allclose(*outputs, rtol=1e-3, atol=1e-4)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-4)
    assert histories[0][1] < histories[0][0]


@pytest.mark.parametrize("training", [False, True])
def test_one_call_is_that_of_the_layers_one_by_one(digits, training):
    model = residual()
    model(digits[0][:50], training=True)  # averages that are not those of the start
    x = digits[0][:33]

    def apply(x):
        return model.apply(model.state(), x, training=training)

    found = jax.jit(apply)(x)
    with kernels.using("xla"):
        expected = jax.jit(lambda x: apply(x))(x)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_frozen_normalization_uses_its_averages(digits):
    model = residual()
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    outputs, updates = model.apply(model.state(), digits[0][:8], training=True)
    assert not updates
    expected = model(digits[0][:8], training=False)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_masks_and_other_dtypes_go_layer_by_layer():
    signal = plait.Input((6, 4))
    x = layers.Conv1D(8, 3, padding="same", activation="relu")(layers.Masking()(signal))
    model = plait.Model(signal, x)
    zeros = np.zeros((2, 6, 4), "float32")
    assert primitives(model, zeros, False) == 0
    bare = plait.Sequential(
        [plait.Input((8, 8, 1)), layers.Conv2D(8, 3, activation="relu", dtype="bfloat16")]
    )
    assert primitives(bare, np.zeros((2, 8, 8, 1), "float32"), False) == 0


def test_a_kernel_larger_than_the_input_names_the_layer():
    image = plait.Input((None, None, 1))
    model = plait.Model(image, layers.Conv2D(8, 5, activation="relu", name="wide")(image))
    with pytest.raises(plait.errors.ShapeError, match="wide"):
        model(np.zeros((1, 3, 3, 1), "float32"))


def test_every_layer_shows_up_in_a_profile(digits):
    rows = str(residual().profile(digits[0][:16]))
    assert "batch_normalization" in rows
    assert "add" in rows
