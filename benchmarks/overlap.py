"""Whether batches are made while the device trains on the one before.

A step of s ms with a generator that takes g ms for a batch should take max(g, s) ms, not g + s.
The generator waits, as for a disk, or computes on one core. ``python benchmarks/overlap.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import plait
from plait import layers

WIDTH, ROWS, STEPS = 2048, 64, 50
X, Y = np.zeros((ROWS, WIDTH), "float32"), np.zeros((ROWS, 1), "float32")


def compute(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        np.sort(X[:8], axis=None)


def milliseconds(seconds: float, make: Callable[[float], None]) -> float:
    """Return how long a step takes with a generator that takes so long for a batch."""

    def batches() -> Iterator[Any]:
        while True:
            make(seconds)
            yield X.copy(), Y

    model = plait.Sequential(
        [plait.Input((WIDTH,)), layers.Dense(WIDTH, activation="relu"), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    model.fit(batches(), steps_per_epoch=5, verbose=0)
    start = time.perf_counter()
    model.fit(batches(), steps_per_epoch=STEPS, verbose=0)
    return (time.perf_counter() - start) / STEPS * 1000


def main() -> None:
    step = milliseconds(0, time.sleep)
    print(f"a step by itself: {step:.1f} ms")
    for make in (time.sleep, compute):
        for share in (0.5, 1, 2):
            taken = milliseconds(share * step / 1000, make)
            print(f"{make.__name__:8} {share * step:5.1f} ms a batch: {taken:5.1f} ms a step")


if __name__ == "__main__":
    main()
