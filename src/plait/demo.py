"""``plait demo``: three networks, from the simplest to two inputs, trained on real data."""

from __future__ import annotations

import numpy as np

from plait import Input, Model, Sequential, datasets, layers, utils


def sequential() -> Sequential:
    """Return a straight stack for images of 28 x 28 pixels and ten classes."""
    return Sequential(
        [
            layers.Flatten(input_shape=(28, 28)),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ],
        name="stack",
    )


def residual() -> Model:
    """Return a residual block with a projected shortcut for images of 32 x 32 x 3."""
    image = Input((32, 32, 3), name="image")
    x = layers.Conv2D(64, 3, padding="same")(image)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Activation("relu")(x)
    x = layers.Conv2D(64, 3, padding="same")(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    shortcut = layers.Conv2D(64, 1)(image)
    x = layers.Activation("relu")(layers.Add()([x, shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    return Model(image, layers.Dense(10, activation="softmax")(x), name="residual")


def two_inputs() -> Model:
    """Return a model of an image and 100 features of a text, for two classes."""
    image = Input((32, 32, 3), name="image_input")
    text = Input((100,), name="text_input")
    x = layers.Flatten()(layers.Conv2D(32, 3, activation="relu")(image))
    y = layers.Dense(64, activation="relu")(text)
    merged = layers.concatenate([x, y])
    return Model([image, text], layers.Dense(1, activation="sigmoid")(merged), name="two_inputs")


def digit_tiles(images: np.ndarray) -> np.ndarray:
    """Return 8 x 8 digits as images of 32 x 32 x 3 that show each of them 16 times.

    Two convolutions of 3 x 3 see 5 x 5 pixels: most of a digit of this size.
    """
    return np.repeat(np.tile(images, (1, 4, 4))[..., None], 3, axis=-1)


def main() -> dict[str, float]:
    """Train the three networks, print what happens, and return their test accuracies."""
    utils.set_random_seed(0)
    accuracies = {}

    (x, y), (x_test, y_test) = datasets.load_mnist_sample()
    stack = sequential()
    stack.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    stack.summary()
    stack.fit(x, y, epochs=12)
    logs = stack.evaluate(x_test, y_test, verbose=0, return_dict=True)
    accuracies["1 Sequential, MNIST sample"] = logs["accuracy"]

    (x, y), (x_test, y_test) = datasets.load_digits()
    block = residual()
    block.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    block.summary()
    block.fit(digit_tiles(x), y, epochs=4)
    logs = block.evaluate(digit_tiles(x_test), y_test, verbose=0, return_dict=True)
    accuracies["2 residual block, digits"] = logs["accuracy"]

    (pairs, y), (pairs_test, y_test) = datasets.load_photos_and_texts()
    two = two_inputs()
    two.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    two.summary()
    two.fit(pairs, y, epochs=5)
    logs = two.evaluate(pairs_test, y_test, verbose=0, return_dict=True)
    accuracies["3 two inputs, photos and texts"] = logs["accuracy"]

    print("\naccuracy on held-out data")
    for name, accuracy in accuracies.items():
        print(f"  {name:32} {accuracy:.1%}")
    return accuracies


if __name__ == "__main__":
    main()
