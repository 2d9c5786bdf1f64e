"""Models made of other models: look inside, cut in two, share a trunk, put models together.

All of them share the weights of the first. Run it with: python examples/edit_parts.py
"""

import sys

import numpy as np

import plait
from plait import Input, Model, Sequential, layers
from plait.datasets import load_digits


def make_model() -> Model:
    image = Input((8, 8), name="image")
    flat = layers.Flatten(name="flat")(image)
    x = layers.Dense(64, activation="relu", name="first")(flat)
    x = layers.Dense(32, activation="relu", name="second")(x)
    # The pixels also skip to the end, past both layers.
    x = layers.Concatenate(name="joined")([x, flat])
    return Model(image, layers.Dense(10, activation="softmax", name="digit")(x), name="digits")


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    (x, y), (x_test, y_test) = load_digits()
    model = make_model()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=3 if short else 15, verbose=2)
    expected = model.predict(x_test, verbose=0)
    results = {"accuracy": float((expected.argmax(-1) == y_test).mean())}

    inside = model.taps("first", "second").predict(x_test, verbose=0)
    for name, values in inside.items():
        print(f"{name}: {values.shape}, {np.mean(values > 0):.0%} of it active")

    head, tail = model.cut("second")
    print("\nthe tail takes:", ", ".join(tail.input_names))
    composed = tail.predict(head.predict(x_test, verbose=0), verbose=0)
    results["cut_agrees"] = float(np.allclose(composed, expected, atol=1e-5))

    features = model.submodel("image", "second").predict(x, verbose=0)
    nearest = Sequential([Input((32,)), layers.Dense(1, activation="sigmoid", name="is_zero")])
    nearest.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    nearest.fit(features, (y == 0).astype("float32"), epochs=3 if short else 15, verbose=2)

    trunk = model.submodel("image", "second")
    zero = plait.stack(trunk, nearest, name="zero")
    found = zero.predict(x_test, verbose=0)[:, 0] > 0.5
    results["zero_accuracy"] = float((found == (y_test == 0)).mean())

    both = plait.merge(model, zero, prefix=("digit/", "zero/"))
    print("\nmerged:", both.input_names, "->", both.output_names)
    digits, _ = both.predict([x_test, x_test], verbose=0)
    results["merge_agrees"] = float(np.allclose(digits, expected, atol=1e-5))

    copy = model.copy()
    copy.set_weights([np.zeros_like(weight) for weight in copy.get_weights()])
    still = model.predict(x_test, verbose=0)
    results["copy_is_apart"] = float(np.array_equal(still, expected))
    return results


if __name__ == "__main__":
    print(main("--short" in sys.argv))
