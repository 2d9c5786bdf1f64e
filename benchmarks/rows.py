"""What is trained: the shapes, sizes and data of each row, the same for every framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

VOCABULARY, TOKENS, WIDTH, HEADS, INNER = 2000, 128, 64, 4, 256


@dataclass(frozen=True)
class Row:
    """One model and its data.

    Attributes:
        title: how the table names it.
        batch: examples a step.
        samples: examples an epoch.
        make: draws the inputs of so many examples.
        classes: the number of classes; 2 with one sigmoid output.
        optimizer: "adam" or "momentum".
        convolutions: whether it has convolutions, which XLA on CPU runs on one thread in a loop.
    """

    title: str
    batch: int
    samples: int
    make: Callable[[np.random.Generator, int], Any]
    classes: int = 10
    optimizer: str = "adam"
    convolutions: bool = False

    def data(self) -> tuple[Any, np.ndarray]:
        """Return inputs and class numbers, which depend on the inputs: a loss can fall."""
        rng = np.random.default_rng(0)
        inputs = self.make(rng, self.samples)
        leaf = inputs[-1] if isinstance(inputs, list) else inputs
        features = leaf.reshape(self.samples, -1)[:, :128].astype("float32")
        features = (features - features.mean(0)) / (features.std(0) + 1e-6)
        teacher = rng.normal(size=(features.shape[1], self.classes))
        labels = (features @ teacher).argmax(1).astype("int32")
        return inputs, labels


def _images(*shape: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda rng, samples: rng.random((samples, *shape), dtype="float32")


def _tokens(rng: np.random.Generator, samples: int) -> np.ndarray:
    return rng.integers(0, VOCABULARY, (samples, TOKENS), dtype="int32")


def _image_and_text(rng: np.random.Generator, samples: int) -> list[np.ndarray]:
    return [_images(32, 32, 3)(rng, samples), rng.random((samples, 100), dtype="float32")]


ROWS = {
    "touchstone-1": Row("touchstone 1", 32, 8000, _images(28, 28)),
    "touchstone-2": Row("touchstone 2", 32, 512, _images(32, 32, 3), convolutions=True),
    "touchstone-3": Row("touchstone 3", 32, 1600, _image_and_text, classes=2, convolutions=True),
    "resnet20": Row(
        "ResNet-20", 64, 256, _images(32, 32, 3), optimizer="momentum", convolutions=True
    ),
    "inception": Row("inception blocks", 32, 256, _images(32, 32, 3), convolutions=True),
    "transformer": Row("transformer, 2 layers", 32, 1024, _tokens),
    "lstm": Row("LSTM(64), 64 steps", 64, 4096, _images(64, 32)),
    "wide-mlp": Row("wide MLP, 2 x 2048", 128, 4096, _images(784)),
}
