"""The models in the Keras API: one text for plait and for Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
from rows import HEADS, INNER, ROWS, VOCABULARY, WIDTH


def touchstone_1(api: Any) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def touchstone_2(api: Any) -> Any:
    layers = api.layers
    image = api.Input((32, 32, 3))
    x = layers.Conv2D(64, 3, padding="same")(image)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Conv2D(64, 3, padding="same")(x))
    shortcut = layers.Conv2D(64, 1)(image)
    x = layers.Activation("relu")(layers.Add()([x, shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    return api.Model(image, layers.Dense(10, activation="softmax")(x))


def touchstone_3(api: Any) -> Any:
    layers = api.layers
    image, text = api.Input((32, 32, 3)), api.Input((100,))
    x = layers.Flatten()(layers.Conv2D(32, 3, activation="relu")(image))
    merged = layers.concatenate([x, layers.Dense(64, activation="relu")(text)])
    return api.Model([image, text], layers.Dense(1, activation="sigmoid")(merged))


def resnet20(api: Any) -> Any:
    layers = api.layers

    def conv_norm(x: Any, filters: int, size: int, strides: int) -> Any:
        x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    image = api.Input((32, 32, 3))
    x = layers.ReLU()(conv_norm(image, 16, 3, 1))
    for filters in (16, 32, 64):
        for block in range(3):
            strides = 2 if filters > 16 and block == 0 else 1
            y = layers.ReLU()(conv_norm(x, filters, 3, strides))
            y = conv_norm(y, filters, 3, 1)
            if strides == 2:
                x = conv_norm(x, filters, 1, strides)
            x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return api.Model(image, layers.Dense(10, activation="softmax")(x))


def inception(api: Any) -> Any:
    layers = api.layers

    def conv(x: Any, filters: int, size: int) -> Any:
        return layers.Conv2D(filters, size, padding="same", activation="relu")(x)

    def block(x: Any, filters: int) -> Any:
        pooled = layers.MaxPooling2D(3, strides=1, padding="same")(x)
        return layers.Concatenate()(
            [
                conv(x, filters, 1),
                conv(conv(x, filters // 2, 1), filters, 3),
                conv(conv(x, filters // 2, 1), filters, 5),
                conv(pooled, filters, 1),
            ]
        )

    image = api.Input((32, 32, 3))
    x = block(conv(image, 32, 3), 16)
    x = block(layers.MaxPooling2D(2)(x), 32)
    x = layers.GlobalAveragePooling2D()(x)
    return api.Model(image, layers.Dense(10, activation="softmax")(x))


def transformer(api: Any) -> Any:
    layers = api.layers

    class Positions(layers.Layer):
        def build(self, shape: Any) -> None:
            self.table = self.add_weight(shape=shape[1:], initializer="uniform", name="table")

        def call(self, x: Any) -> Any:
            return x + self.table

    tokens = api.Input((128,), dtype="int32")
    x = Positions()(layers.Embedding(VOCABULARY, WIDTH)(tokens))
    for _ in range(2):
        seen = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(x, x)
        x = layers.LayerNormalization(epsilon=1e-5)(layers.Add()([x, seen]))
        thought = layers.Dense(WIDTH)(layers.Dense(INNER, activation="gelu")(x))
        x = layers.LayerNormalization(epsilon=1e-5)(layers.Add()([x, thought]))
    x = layers.GlobalAveragePooling1D()(x)
    return api.Model(tokens, layers.Dense(10, activation="softmax")(x))


def lstm(api: Any) -> Any:
    layers = api.layers
    return api.Sequential(
        [api.Input((64, 32)), layers.LSTM(64), layers.Dense(10, activation="softmax")]
    )


def wide_mlp(api: Any) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input((784,)),
            layers.Dense(2048, activation="relu"),
            layers.Dense(2048, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


class Trained:
    """A compiled model of one row."""

    def __init__(self, api: Any, name: str) -> None:
        self.row = ROWS[name]
        self.model = globals()[name.replace("-", "_")](api)
        self.parameters = sum(
            int(np.prod(weight.shape)) for weight in self.model.trainable_variables
        )
        optimizer: Any = "adam"
        if self.row.optimizer == "momentum":
            optimizer = api.optimizers.SGD(0.05, momentum=0.9)
        loss = "sparse_categorical_crossentropy" if self.row.classes > 2 else "binary_crossentropy"
        self.model.compile(optimizer, loss)

    def fit(self, x: Any, y: Any, epochs: int) -> list[float]:
        """Train; return the loss of each epoch."""
        history = self.model.fit(x, y, batch_size=self.row.batch, epochs=epochs, verbose=0)
        return history.history["loss"]

    def predict(self, x: Any) -> np.ndarray:
        return self.model.predict(x, verbose=0)

    def call(self, x: Any) -> np.ndarray:
        return np.asarray(self.model(x))


class Plait(Trained):
    def __init__(self, name: str) -> None:
        import plait

        super().__init__(plait, name)


class Keras(Trained):
    """Keras on the backend that the environment names."""

    def __init__(self, name: str) -> None:
        import keras

        super().__init__(keras, name)

    def call(self, x: Any) -> np.ndarray:
        import keras

        return keras.ops.convert_to_numpy(self.model(x))
