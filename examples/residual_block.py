"""A residual block: two mistakes that are easily made, what plait says to them, and the right way.

Run it with: python examples/residual_block.py
"""

import sys

import numpy as np

import plait
from plait import Input, Model, layers
from plait.datasets import load_digits


def make_block(project: bool, pool: bool) -> Model:
    """Return conv-BN-relu-conv-BN with a shortcut around it, and a classifier on top.

    The momentum makes the moving averages fit for a training of few steps.
    """
    image = Input((32, 32, 3), name="image")
    x = layers.Conv2D(64, 3, padding="same")(image)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Activation("relu")(x)
    x = layers.Conv2D(64, 3, padding="same")(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    shortcut = layers.Conv2D(64, 1)(image) if project else image
    x = layers.Add()([x, shortcut])
    x = layers.Activation("relu")(x)
    if pool:
        x = layers.GlobalAveragePooling2D()(x)
    model = Model(image, layers.Dense(10, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def tiled(images: np.ndarray) -> np.ndarray:
    """Return 8 x 8 gray images as 32 x 32 x 3 that show each of them 16 times.

    Two convolutions of 3 x 3 see 5 x 5 pixels: most of a digit of this size.
    """
    large = np.tile(images, (1, 4, 4))
    return np.stack([large, large, large], axis=-1)


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = load_digits()
    x_train, x_test = tiled(x_train), tiled(x_test)
    if short:
        x_train, y_train, x_test, y_test = x_train[:64], y_train[:64], x_test[:32], y_test[:32]

    print("1. The shortcut has 3 channels and the block has 64:\n")
    try:
        make_block(project=False, pool=True)
    except plait.ShapeError as error:
        print(error)

    print("\n2. The shortcut is projected, but there is one prediction per pixel:\n")
    try:
        make_block(project=True, pool=False).fit(x_train, y_train)
    except plait.ShapeError as error:
        print(error)

    print("\n3. Projected and pooled:\n")
    model = make_block(project=True, pool=True)
    model.fit(x_train, y_train, epochs=1 if short else 4)
    return model.evaluate(x_test, y_test, verbose=0, return_dict=True)


if __name__ == "__main__":
    print(main("--short" in sys.argv))
