"""Self-attention over words: which part of scikit-learn does a piece of its documentation describe?

One block of a transformer encoder (Vaswani et al. 2017); short pieces are padded and masked.
Run it with: python examples/text_attention.py
"""

import re
import sys
from collections import Counter
from importlib import import_module

import numpy as np

import plait
from plait import Input, Model, layers

TOPICS = ["cluster", "ensemble", "linear_model", "preprocessing"]
LENGTH = 24
PADDING, UNKNOWN = 0, 1


def pieces_of(topic: str) -> list[list[str]]:
    """Return the docstrings of a package of scikit-learn in pieces of up to `LENGTH` words."""
    package = import_module(f"sklearn.{topic}")
    pieces = []
    for name in package.__all__:
        prose = (getattr(package, name).__doc__ or "").split("\n    Examples\n")[0]
        words = re.findall(r"[a-z]+", prose.lower())
        pieces += [words[i : i + LENGTH] for i in range(0, len(words), LENGTH)]
    return pieces


def encode(pieces: list[list[str]], vocabulary: dict[str, int]) -> np.ndarray:
    """Return the numbers of the words, with `PADDING` at the end of each row."""
    rows = np.full((len(pieces), LENGTH), PADDING, "int32")
    for row, words in zip(rows, pieces, strict=True):
        row[: len(words)] = [vocabulary.get(word, UNKNOWN) for word in words]
    return rows


def make_model(vocabulary_size: int) -> Model:
    words = Input((LENGTH,), dtype="int32", name="words")
    x = layers.Embedding(vocabulary_size, 32, mask_zero=True)(words)
    x = layers.Dropout(0.3)(x)
    attended = layers.MultiHeadAttention(num_heads=2, key_dim=16, dropout=0.1)(x, x)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    expanded = layers.Dense(32)(layers.Dense(64, activation="gelu")(x))
    x = layers.LayerNormalization()(layers.Add()([x, expanded]))
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(0.3)(x)
    return Model(words, layers.Dense(len(TOPICS), activation="softmax")(x), name="topics")


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    pieces, labels = [], []
    for label, topic in enumerate(TOPICS):
        found = pieces_of(topic)
        pieces += found
        labels += [label] * len(found)
    y = np.array(labels)
    held_out = np.arange(len(y)) % 5 == 0

    counts = Counter(word for words in pieces for word in words)
    frequent = [word for word, count in counts.most_common() if count >= 3]
    vocabulary = {word: number for number, word in enumerate(frequent, start=UNKNOWN + 1)}
    x = encode(pieces, vocabulary)
    print(f"{len(pieces)} pieces of up to {LENGTH} words; {len(vocabulary)} different words")

    model = make_model(len(vocabulary) + 2)
    model.compile(
        plait.optimizers.AdamW(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(x[~held_out], y[~held_out], epochs=2 if short else 12, class_weight="balanced")
    results = model.evaluate(x[held_out], y[held_out], verbose=0, return_dict=True)

    question = "scale each feature to zero mean and unit variance"
    probabilities = model.predict(encode([question.split()], vocabulary), verbose=0)[0]
    print(f"'{question}' is about {TOPICS[probabilities.argmax()]} ({probabilities.max():.0%})")
    return results


if __name__ == "__main__":
    print(main("--short" in sys.argv))
