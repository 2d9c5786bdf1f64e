"""One framework at one row, in a process of its own that `run.py` tells when to work.

Each line on standard input is a command; the answer is one line of JSON on standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

# name -> (what it imports, environment, module and class of the adapter)
FRAMEWORKS: dict[str, tuple[list[str], dict[str, str], str, str]] = {
    "plait": (["plait"], {}, "keras_api", "Plait"),
    "keras-jax": (["jax", "keras"], {"KERAS_BACKEND": "jax"}, "keras_api", "Keras"),
    "keras-tf": (["tensorflow", "keras"], {"KERAS_BACKEND": "tensorflow"}, "keras_api", "Keras"),
    "keras-torch": (["torch", "keras"], {"KERAS_BACKEND": "torch"}, "keras_api", "Keras"),
    "torch": (["torch"], {}, "pytorch", "Eager"),
    "torch.compile": (["torch"], {}, "pytorch", "Compiled"),
    "jax": (["jax", "optax"], {}, "raw_jax", "StepByStep"),
    "jax-epoch": (["jax", "optax"], {}, "raw_jax", "EpochByEpoch"),
}
LENGTHS = (1, 3, 7, 17, 32, 50, 77, 100, 160, 250)


def adapter(framework: str) -> Callable[[str], Any]:
    """Return the class that builds and trains a row in a framework."""
    _, _, module, name = FRAMEWORKS[framework]
    return getattr(importlib.import_module(f"frameworks.{module}"), name)


class Training:
    """Examples a second of `fit`, compilation excluded."""

    def __init__(self, framework: str, row: str) -> None:
        self.subject = adapter(framework)(row)
        self.samples = self.subject.row.samples
        self.x, self.y = self.subject.row.data()
        self.losses = self.subject.fit(self.x, self.y, 1)
        start = time.perf_counter()
        self.losses += self.subject.fit(self.x, self.y, 1)
        self.epoch = time.perf_counter() - start

    def ready(self) -> dict[str, Any]:
        return {"parameters": self.subject.parameters}

    def round(self, seconds: float) -> dict[str, float]:
        epochs = max(1, round(seconds / self.epoch + 0.5))
        start = time.perf_counter()
        self.losses += self.subject.fit(self.x, self.y, epochs)
        taken = time.perf_counter() - start
        self.epoch = taken / epochs
        if not self.losses[-1] < self.losses[0]:
            raise ArithmeticError(f"the loss did not fall: {self.losses[0]} -> {self.losses[-1]}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"train": epochs * self.samples / taken, "memory": peak}


class Answering:
    """Microseconds until one sample is answered, as an array of NumPy."""

    samples = 1

    def __init__(self, framework: str, row: str) -> None:
        self.subject = adapter(framework)(row)
        x, y = self.subject.row.data()
        batch = self.subject.row.batch
        self.subject.fit(x[:batch], y[:batch], 1)
        self.x = x[: self.samples]

    def ready(self) -> dict[str, Any]:
        return {"parameters": self.subject.parameters}

    def round(self, seconds: float) -> dict[str, float]:
        return {name: self._time(name, seconds / 2) for name in ("predict", "call")}

    def _time(self, name: str, seconds: float) -> float:
        answer = getattr(self.subject, name)
        answer(self.x)
        count, start = 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            answer(self.x)
            count += 1
        return (time.perf_counter() - start) / count * 1e6


class AnsweringBatch(Answering):
    """Microseconds until a batch of 32 is answered."""

    samples = 32

    def round(self, seconds: float) -> dict[str, float]:
        return {"batch": self._time("predict", seconds)}


class Floor:
    """What the machine can do, and what each row asks of it."""

    def __init__(self, framework: str, row: str) -> None:
        self.row = row

    def ready(self) -> dict[str, Any]:
        from frameworks.raw_jax import work

        return {"parameters": 0, "work": work(self.row)}

    def round(self, seconds: float) -> dict[str, float]:
        from floor import machine

        return machine()


def start(framework: str, row_name: str, began: float) -> dict[str, float]:
    """Import, take one step, then predict ten lengths; the seconds of each."""
    before = time.perf_counter()
    for module in FRAMEWORKS[framework][0]:
        importlib.import_module(module)
    imported = time.perf_counter() - before

    import numpy as np
    from rows import ROWS

    row = ROWS[row_name]
    rng = np.random.default_rng(0)
    x, y = row.make(rng, row.batch), rng.integers(0, row.classes, row.batch, dtype="int32")
    subject = adapter(framework)(row_name)
    subject.fit(x, y, 1)
    first = time.time() - began
    more = row.make(rng, max(LENGTHS))
    before = time.perf_counter()
    for length in LENGTHS:
        subject.predict(more[:length])
    return {"import": imported, "first": first, "lengths": time.perf_counter() - before}


def main() -> None:
    task, framework, row = sys.argv[1:4]
    os.environ.update(FRAMEWORKS[framework][1] if framework in FRAMEWORKS else {})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print goes to the log

    def answer(values: dict[str, Any]) -> None:
        print(json.dumps(values), file=answers, flush=True)

    if task == "start":
        answer(start(framework, row, float(sys.argv[4])))
        return
    kinds: dict[str, type[Any]] = {
        "train": Training,
        "answer": Answering,
        "batch": AnsweringBatch,
        "floor": Floor,
    }
    worker = kinds[task](framework, row)
    answer(worker.ready())
    for line in sys.stdin:
        answer(worker.round(float(line)))


if __name__ == "__main__":
    main()
