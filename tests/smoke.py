"""A short run through the main verbs, for Pythons and JAXs other than the tests' own."""

import sys

import numpy as np

import plait
from plait import Input, Model, Sequential, layers, ops


def test_build_train_and_predict():
    import jax

    print(f"python {sys.version.split()[0]}, jax {jax.__version__}")
    plait.utils.set_random_seed(0)
    (x, y), (x_test, y_test) = plait.datasets.load_digits()
    stack = Sequential(
        [
            layers.Flatten(input_shape=(8, 8)),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.1),
            layers.Dense(10, activation="softmax"),
        ]
    )
    stack.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = stack.fit(x, y, epochs=8, validation_data=(x_test, y_test), verbose=2)
    assert history.history["val_accuracy"][-1] > 0.85
    stack.summary()

    image = Input((8, 8, 1), name="image")
    h = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(image))
    h = layers.Activation("relu")(layers.Add()([h, layers.Conv2D(4, 1)(image)]))
    row = layers.LSTM(8)(ops.squeeze(image, -1))
    merged = layers.concatenate([layers.GlobalMaxPooling2D()(h), row])
    model = Model(image, {"digit": layers.Dense(10)(merged), "mean": ops.mean(h, axis=(1, 2, 3))})
    model.compile("adam", {"digit": plait.losses.SparseCategoricalCrossentropy(from_logits=True)})
    model.fit(x[:256, ..., None], {"digit": y[:256]}, epochs=1, verbose=0)
    assert model.predict(x_test[:5, ..., None], verbose=0)["digit"].shape == (5, 10)


def test_a_layer_of_ones_own_is_pure():
    import jax

    class Square(layers.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight(shape=(), initializer="ones", name="factor")

        def call(self, inputs):
            return inputs * inputs * self.factor

    layer = Square()
    layer(np.ones((2, 2)))
    gradient = jax.grad(lambda v: layer.apply(v, np.full((2, 2), 3.0))[0].sum())(layer.state())
    assert float(gradient["factor"]) == 36.0
