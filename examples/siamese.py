"""Siamese towers: do two images show the same digit? One tower, shared, sees both.

The loss is the contrastive loss of Hadsell, Chopra & LeCun (2006).
Run it with: python examples/siamese.py
"""

import sys
from typing import Any

import numpy as np

import plait
from plait import Input, Model, layers, ops
from plait.datasets import load_digits

MARGIN = 1.0


def make_tower() -> Model:
    """Return what maps an image to a point; similar images shall come to lie close together."""
    image = Input((8, 8))
    x = layers.Flatten()(image)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(32)(x)
    x = layers.UnitNormalization()(x)
    return Model(image, x, name="tower")


def make_model() -> Model:
    left, right = Input((8, 8), name="left"), Input((8, 8), name="right")
    tower = make_tower()
    # The tower is called twice and has one set of weights.
    difference = tower(left) - tower(right)
    squared = ops.sum(ops.square(difference), axis=-1, keepdims=True)
    distance = ops.sqrt(ops.maximum(squared, 1e-7))
    return Model([left, right], distance, name="siamese")


def contrastive_loss(same: Any, distance: Any) -> Any:
    """Pull equal digits together; push different ones apart until they are a margin away."""
    far = ops.square(ops.maximum(MARGIN - distance, 0.0))
    return ops.mean(same * ops.square(distance) + (1.0 - same) * far, axis=-1)


def same_digit(same: Any, distance: Any) -> Any:
    """Return for each pair whether its distance is on the right side of half the margin."""
    return ops.equal(distance < MARGIN / 2, same > 0.5)


def draw_pairs(
    x: np.ndarray, y: np.ndarray, count: int, seed: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Draw pairs of images; about half of them show the same digit."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, len(y), count)
    second = rng.integers(0, len(y), count)
    by_digit = [np.flatnonzero(y == digit) for digit in range(10)]
    for i in range(0, count, 2):
        second[i] = rng.choice(by_digit[y[first[i]]])
    same = (y[first] == y[second]).astype("float32")
    return [x[first], x[second]], same[:, None]


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = load_digits()
    pairs, same = draw_pairs(x_train, y_train, 2000 if short else 20000, seed=0)
    test_pairs, test_same = draw_pairs(x_test, y_test, 2000, seed=1)

    model = make_model()
    model.compile("adam", contrastive_loss, metrics=[same_digit])
    model.fit(pairs, same, batch_size=64, epochs=2 if short else 10)
    results = model.evaluate(test_pairs, test_same, verbose=0, return_dict=True)

    # The tower alone is a model too: here it finds the nearest known digit of an unknown one.
    tower = model.get_layer("tower")
    known, unknown = tower.predict(x_train, verbose=0), tower.predict(x_test, verbose=0)
    nearest = (unknown @ known.T).argmax(axis=-1)
    results["nearest_neighbour_accuracy"] = float((y_train[nearest] == y_test).mean())
    return results


if __name__ == "__main__":
    print(main("--short" in sys.argv))
