"""One trunk and two heads: which digit is it, and (a rare case that must not be missed) is it a 0?

Losses, weights and metrics go by the names of the outputs.
Run it with: python examples/multi_output.py
"""

import sys

import plait
from plait import Input, Model, layers
from plait.datasets import load_digits


def make_model() -> Model:
    image = Input((8, 8), name="image")
    x = layers.Flatten()(image)
    x = layers.Dense(64, activation="relu")(x)
    x = layers.Dropout(0.2)(x)
    digit = layers.Dense(10, activation="softmax", name="digit")(x)
    zero = layers.Dense(1, activation="sigmoid", name="zero")(x)
    return Model(image, [digit, zero], name="two_heads")


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = load_digits()
    targets = {"digit": y_train, "zero": (y_train == 0).astype("float32")}
    test_targets = {"digit": y_test, "zero": (y_test == 0).astype("float32")}

    model = make_model()
    model.compile(
        optimizer="adam",
        loss={"digit": "sparse_categorical_crossentropy", "zero": "binary_crossentropy"},
        loss_weights={"digit": 1.0, "zero": 0.5},
        metrics={"digit": ["accuracy"], "zero": [plait.metrics.Recall(name="recall")]},
    )
    # One sample in ten is a zero: each counts as nine of the others. The digits count alike.
    model.fit(
        x_train,
        targets,
        epochs=5 if short else 30,
        class_weight={"zero": {0: 1.0, 1: 9.0}},
        verbose=2,
    )

    digits, zeros = model.predict(x_test, verbose=0)
    agree = (digits.argmax(axis=-1) == 0) == (zeros[:, 0] > 0.5)
    print(f"the heads agree on what is a zero in {agree.mean():.1%} of the test images")
    return model.evaluate(x_test, test_targets, verbose=0, return_dict=True)


if __name__ == "__main__":
    print(main("--short" in sys.argv))
