"""The three touchstone networks: as in Keras number for number, and wrong ones with their fix."""

import keras
import numpy as np
import pytest

import plait

RNG = np.random.default_rng(0)


def stack(api):
    return api.Sequential(
        [
            api.Input((28, 28)),
            api.layers.Flatten(),
            api.layers.Dense(128, activation="relu"),
            api.layers.Dense(10, activation="softmax"),
        ]
    )


def residual(api, project=True, pool=True, filters=64):
    layers = api.layers
    image = api.Input((32, 32, 3), name="image")
    x = layers.Conv2D(filters, (3, 3), padding="same")(image)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    x = layers.Conv2D(filters, (3, 3), padding="same")(x)
    x = layers.BatchNormalization()(x)
    shortcut = layers.Conv2D(filters, 1)(image) if project else image
    x = layers.Activation("relu")(layers.Add()([x, shortcut]))
    if pool:
        x = layers.GlobalAveragePooling2D()(x)
    return api.Model(image, layers.Dense(10, activation="softmax")(x))


def two_inputs(api):
    layers = api.layers
    image_input = api.Input((32, 32, 3), name="image_input")
    text_input = api.Input((100,), name="text_input")
    x = layers.Flatten()(layers.Conv2D(32, 3, activation="relu")(image_input))
    y = layers.Dense(64, activation="relu")(text_input)
    output = layers.Dense(1, activation="sigmoid")(layers.concatenate([x, y]))
    return api.Model([image_input, text_input], output)


def images(n):
    return RNG.normal(size=(n, 32, 32, 3)).astype("float32")


CASES = {
    "stack": (
        stack,
        RNG.random((40, 28, 28)).astype("float32"),
        RNG.integers(0, 10, 40),
        "sparse_categorical_crossentropy",
    ),
    "residual": (residual, images(6), RNG.integers(0, 10, 6), "sparse_categorical_crossentropy"),
    "two_inputs": (
        two_inputs,
        {"image_input": images(10), "text_input": RNG.random((10, 100)).astype("float32")},
        RNG.integers(0, 2, (10, 1)).astype("float32"),
        "binary_crossentropy",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_equal_to_keras(case):
    build, x, y, loss = CASES[case]
    ours, theirs = build(plait), build(keras)
    assert ours.count_params() == theirs.count_params()
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(
        ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )
    for model, optimizers in ((ours, plait.optimizers), (theirs, keras.optimizers)):
        # With Keras' epsilon of 1e-7 the first step is the learning rate, up or down, also where
        # a gradient is all rounding (a bias in front of BatchNormalization).
        model.compile(optimizers.Adam(epsilon=1e-3), loss, metrics=["accuracy"])
    first, second = (
        model.fit(x, y, batch_size=len(y), shuffle=False, verbose=0).history
        for model in (ours, theirs)
    )
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5, atol=1e-6)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_one_step_of_gradient_descent_equal_to_keras(case):
    build, x, y, loss = CASES[case]
    ours, theirs = build(plait), build(keras)
    theirs.set_weights(ours.get_weights())
    ours.compile(plait.optimizers.SGD(0.1), loss)
    theirs.compile(keras.optimizers.SGD(0.1), loss)
    for model in (ours, theirs):
        model.fit(x, y, batch_size=len(y), shuffle=False, verbose=0)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_a_shortcut_without_projection_is_refused_with_the_fix():
    with pytest.raises(plait.ShapeError) as raised:
        residual(plait, project=False)
    text = str(raised.value)
    first, *rows, fix = text.splitlines()
    assert first.startswith("Add 'add")
    assert "(test_touchstones.py:" in first
    assert first.endswith("cannot add (None, 32, 32, 64) and (None, 32, 32, 3).")
    assert "from BatchNormalization 'batch_normalization" in rows[0]
    assert "from Input 'image'" in rows[1]
    assert fix == "Fix: project the shortcut first: shortcut = layers.Conv2D(64, 1)(shortcut)"


def test_a_classifier_without_pooling_is_refused_with_the_fix():
    model = residual(plait, pool=False, filters=4)
    model.compile("adam", "sparse_categorical_crossentropy")
    before = model.get_weights()
    with pytest.raises(plait.ShapeError) as raised:
        model.fit(images(4), np.zeros(4, int), verbose=0)
    text = str(raised.value)
    assert "is (None, 32, 32, 10) but its targets are (4,) class numbers" in text
    assert "the model predicts one class per pixel" in text
    assert "Fix: put layers.GlobalAveragePooling2D() or layers.Flatten() before Dense" in text
    for mine, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_missing_input_is_named_with_its_path():
    a, mask = plait.Input((8,), name="image"), plait.Input((8,), name="mask")
    attend = plait.layers.Multiply(name="attend")([a, mask])
    logits = plait.layers.Dense(3, name="logits")(attend)
    with pytest.raises(plait.GraphError) as raised:
        plait.Model(a, logits)
    assert "output 'logits' depends on input 'mask' (test_touchstones.py:" in str(raised.value)
    assert "which is not in Model(inputs=['image'])" in str(raised.value)
    assert "mask -> attend -> logits" in str(raised.value)
    assert "Fix: Model([image, mask], logits)" in str(raised.value)


def test_the_sample_of_mnist_is_learned():
    (x, y), (x_test, y_test) = plait.datasets.load_mnist_sample()
    plait.utils.set_random_seed(0)
    model = plait.demo.sequential()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=12, verbose=0)
    assert model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"] >= 0.91
