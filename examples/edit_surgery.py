"""Surgery on a trained model: other activations, dropout, a new head, a frozen trunk; and back.

Weights, losses and the optimizer's slots stay with the layers that stay, so each edit is followed
by more training and not by a new start. Run it with: python examples/edit_surgery.py
"""

import sys

import numpy as np

import plait
from plait import Input, Model, layers
from plait.datasets import load_digits


def make_model() -> Model:
    """Return a small residual network for images of 8 x 8 pixels."""
    image = Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(image)
    for block in ("block1", "block2"):
        shortcut = x
        x = layers.Conv2D(16, 3, padding="same", name=f"{block}_conv1")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{block}_norm")(x)
        x = layers.ReLU(name=f"{block}_relu1")(x)
        x = layers.Conv2D(16, 3, padding="same", name=f"{block}_conv2")(x)
        x = layers.Add(name=f"{block}_add")([x, shortcut])
        x = layers.ReLU(name=f"{block}_relu2")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return Model(image, layers.Dense(10, activation="softmax", name="digit")(x), name="digits")


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    (x, y), (x_test, y_test) = load_digits()
    x, x_test = x[..., None], x_test[..., None]
    epochs = 3 if short else 10
    results = {}

    model = make_model()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=epochs, verbose=2)
    results["trained"] = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]

    print("\nEvery ReLU becomes a GELU, each block gets dropout; training goes on.")
    with model.edit() as edit:
        edit.replace_layers("*:ReLU", layers.Activation("gelu"))
        edit.insert_after("block*_relu2", layers.SpatialDropout2D(0.05, name="dropout"))
    print(model.graph)
    print("edits:", *model.edits, sep="\n  ")
    steps = int(model.optimizer.iterations.value)
    moment = model.optimizer.slots["stem/kernel/momentum"]
    model.fit(x, y, epochs=epochs, verbose=2)
    assert int(model.optimizer.iterations.value) > steps  # counted on, with Adam's moments
    assert model.optimizer.slots["stem/kernel/momentum"] is moment
    results["with gelu"] = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]

    print("\nA new head says whether the digit is even. The trunk is frozen, then freed.")
    even, even_test = (y % 2 == 0).astype("float32"), (y_test % 2 == 0).astype("float32")
    model.replace("digit", layers.Dense(1, activation="sigmoid", name="even"))
    print("edits:", *model.edits[-2:], sep="\n  ")
    model.compile(plait.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.freeze("block*")
    model.freeze("stem")
    model.fit(x, even, epochs=epochs, verbose=2)
    model.unfreeze()
    model.optimizer.learning_rate = 0.001
    model.fit(x, even, epochs=epochs, verbose=2)
    results["even"] = model.evaluate(x_test, even_test, verbose=0, return_dict=True)["accuracy"]

    print("\nAn edit that does not fit changes nothing, and says what to do.")
    before = str(model.graph)
    try:
        model.replace("block1_conv1", layers.Conv2D(32, 3, padding="same"))
    except plait.ShapeError as error:
        print(error)
    assert str(model.graph) == before

    print("\nA block less: its shortcut takes the place of its sum. And back again.")
    expected = model.predict(x_test[:1], verbose=0)
    model.remove("block2_add", keep="dropout")
    print(len(model.layers), "layers;", model.edits[-1].strip())
    model.undo()
    results["undone"] = float(np.allclose(model.predict(x_test[:1], verbose=0), expected))
    return results


if __name__ == "__main__":
    print(main("--short" in sys.argv))
