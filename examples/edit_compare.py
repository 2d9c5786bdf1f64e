"""Look at a model and at what an edit changed: findings, difference, pictures, source.

A network with three mistakes is checked, mended while it keeps what it has learned, compared with
what it was, drawn, and written as source. Run it with: python examples/edit_compare.py
"""

import pathlib
import sys
import tempfile
import warnings

import numpy as np

import plait
from plait import Input, Model, Sequential, layers
from plait.datasets import load_digits


def make_model() -> Model:
    """Return a network with an encoder nested in it, and three mistakes."""
    encoder = Sequential(
        [
            Input((8, 8)),
            layers.Flatten(name="flat"),
            layers.Dense(64, name="wide"),
            layers.Dense(32, name="narrow"),  # nothing nonlinear between the two
            layers.BatchNormalization(momentum=0.9, name="norm"),  # takes the bias away again
            layers.ReLU(name="relu"),
        ],
        name="encoder",
    )
    image = Input((8, 8), name="image")
    x = layers.Dense(10, activation="softmax", name="digit")(encoder(image))
    return Model(image, layers.Dropout(0.1, name="drop")(x), name="digits")  # of the result


def main(short: bool = False, folder: str | None = None) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    (x, y), (x_test, y_test) = load_digits()
    epochs = 6 if short else 20
    results = {}

    model = make_model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", plait.errors.ModelWarning)  # shown below
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    findings = plait.check(model)
    results["findings"] = float(len(findings))
    print("before:", *findings, sep="\n  ")

    model.fit(x, y, epochs=epochs, verbose=2)
    before = model.copy()
    with model.edit() as edit:
        edit.insert_after("encoder/wide", layers.ReLU(name="bend"))
        edit.replace("encoder/narrow", layers.Dense(32, use_bias=False))
        edit.remove("drop")
    print("\nedits:", *model.edits, sep="\n  ")
    results["left"] = float(len(plait.check(model)))
    model.fit(x, y, epochs=epochs, verbose=2)
    results["accuracy"] = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]

    difference = plait.diff(before, model)
    print(f"\nwhat changed:\n{difference}")
    target = pathlib.Path(folder or tempfile.mkdtemp(prefix="plait-"))
    print("\ndrawn:", model.plot(target / "model.html"))
    print("both:", difference.plot(target / "difference.html"))

    source = model.to_python()
    print(f"\n{source}")
    scope: dict[str, Model] = {}
    exec(source, scope)
    again = scope["model"]
    again.set_weights(model.get_weights())
    same = np.allclose(again.predict(x_test, verbose=0), model.predict(x_test, verbose=0))
    results["source_agrees"] = float(same and not plait.diff(model, again))

    features = model.taps("encoder/bend", "encoder")
    head, tail = model.cut("encoder/bend")  # cuts the encoder too
    halves = tail.predict(head.predict(x_test, verbose=0), verbose=0)
    results["halves_agree"] = float(np.allclose(halves, model.predict(x_test, verbose=0)))
    print(features.output_shape)
    print([layer.name for layer in head.layers], "+", [layer.name for layer in tail.layers])
    return results


if __name__ == "__main__":
    print(main("--short" in sys.argv))
