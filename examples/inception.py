"""Inception blocks (Szegedy et al. 2015): parallel towers whose outputs are concatenated.

Run it with: python examples/inception.py
"""

import sys

import plait
from plait import Input, Model, SymbolicTensor, layers
from plait.datasets import load_digits


def inception_block(x: SymbolicTensor, filters: int, name: str) -> SymbolicTensor:
    """Look at `x` through windows of 1, 3 and 5 pixels and through a pooling, side by side."""

    def conv(x: SymbolicTensor, filters: int, size: int, tower: str) -> SymbolicTensor:
        return layers.Conv2D(
            filters, size, padding="same", activation="relu", name=f"{name}_{tower}"
        )(x)

    one = conv(x, filters, 1, "one")
    three = conv(conv(x, filters // 2, 1, "three_reduce"), filters, 3, "three")
    five = conv(conv(x, filters // 2, 1, "five_reduce"), filters, 5, "five")
    pooled = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    pooled = conv(pooled, filters, 1, "pool_project")
    return layers.Concatenate(name=name)([one, three, five, pooled])


def make_model() -> Model:
    image = Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(image)
    x = inception_block(x, 8, "inception_a")
    x = layers.MaxPooling2D(2, name="halve")(x)
    x = inception_block(x, 16, "inception_b")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    return Model(image, layers.Dense(10, activation="softmax", name="digit")(x), name="inception")


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = load_digits()
    if short:
        x_train, y_train, x_test, y_test = x_train[:960], y_train[:960], x_test[:256], y_test[:256]
    x_train, x_test = x_train[..., None], x_test[..., None]

    model = make_model()
    model.summary()
    model.compile(
        plait.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(x_train, y_train, epochs=2 if short else 25)
    results = model.evaluate(x_test, y_test, verbose=0, return_dict=True)

    # Any tensor of the graph can be an output: how active is each of the four towers?
    towers = Model(model.input, model.get_layer("inception_b").output)
    activity = towers.predict(x_test, verbose=0).mean(axis=(0, 1, 2)).reshape(4, -1).mean(axis=1)
    for name, value in zip(("1 x 1", "3 x 3", "5 x 5", "pool"), activity, strict=True):
        print(f"mean activity of the {name} tower: {value:.3f}")
    return results


if __name__ == "__main__":
    print(main("--short" in sys.argv))
