"""A model of two inputs: does a photo and a phrase tell of a flower or of a building?

Run it with: python examples/two_inputs.py
"""

import sys

import numpy as np

import plait
from plait import Input, Model, layers
from plait.datasets import load_photos_and_texts


def make_model() -> Model:
    image = Input((32, 32, 3), name="image_input")
    text = Input((100,), name="text_input")

    x = layers.Conv2D(32, 3, activation="relu")(image)
    x = layers.Flatten()(x)
    y = layers.Dense(64, activation="relu")(text)

    merged = layers.concatenate([x, y])
    output = layers.Dense(1, activation="sigmoid")(merged)
    return Model(inputs=[image, text], outputs=output)


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    train_size, test_size = (128, 64) if short else (1200, 300)
    (x_train, y_train), (x_test, y_test) = load_photos_and_texts(train_size, test_size)

    model = make_model()
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.summary()

    # The data are a dict by the names of the inputs; a list in their order is as good.
    model.fit(x_train, y_train, epochs=2 if short else 5)
    results = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    print(f"test accuracy: {results['accuracy']:.1%}")

    for name in x_test:
        results[f"accuracy_without_{name}"] = accuracy_without(model, name, x_test, y_test)
        print(f"  without {name}: {results[f'accuracy_without_{name}']:.1%}")
    return results


def accuracy_without(model: Model, name: str, x: dict[str, np.ndarray], y: np.ndarray) -> float:
    """Return the accuracy when one of the inputs says nothing."""
    blind = {**x, name: np.zeros_like(x[name])}
    return model.evaluate(blind, y, verbose=0, return_dict=True)["accuracy"]


if __name__ == "__main__":
    main("--short" in sys.argv)
