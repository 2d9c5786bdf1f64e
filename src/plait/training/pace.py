"""`Pace`: how far a run is and how fast, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class Pace:
    """Count the steps of one epoch against a clock.

    Args:
        title: what is counted: "Epoch 1/5".
        total: the number of steps, if it is known.
        start: the time now, in seconds.
    """

    def __init__(self, title: str, total: int | None, start: float) -> None:
        self.title = title
        self.total = total
        self.done = 0
        self._start = start
        self._first: tuple[int, float] | None = None
        self._last: float | None = None

    def step(self, done: int, now: float) -> None:
        """Note that so many steps are done."""
        self.done = done
        if self._first is None:
            self._first = done, now

    def end(self, now: float) -> None:
        """Note that no more steps follow; what comes later does not count as their time."""
        if self._last is None:
            self._last = now

    @property
    def share(self) -> float | None:
        """The share of the steps that is done, if their number is known."""
        return min(self.done / self.total, 1.0) if self.total else None

    def seconds_a_step(self, now: float) -> float:
        """Return the mean time of a step.

        Left out, if there are more, are those that were done when this first heard of steps: they
        waited for a compilation, or an earlier run did them.
        """
        now = now if self._last is None else self._last
        if self._first is not None and self.done > self._first[0]:
            return (now - self._first[1]) / (self.done - self._first[0])
        return (now - self._start) / max(self.done, 1)

    def count(self) -> str:
        """Return "12/125", or "12 steps" if nobody knows how many there are."""
        if self.total is None or self.done > self.total:
            return f"{self.done} step{'' if self.done == 1 else 's'}"
        return f"{self.done}/{self.total}"

    def elapsed(self, now: float) -> str:
        """Return the time since the start."""
        return duration(now - self._start)

    def remaining(self, now: float) -> str | None:
        """Return the time the remaining steps should take, if anybody can know."""
        if self.total is None or not 1 < self.done < self.total:
            return None
        return duration(self.seconds_a_step(now) * (self.total - self.done))

    def speed(self, now: float) -> str:
        """Return the time of a step: "9ms/step"."""
        seconds = self.seconds_a_step(now)
        if seconds >= 1:
            return f"{seconds:.1f}s/step"
        if seconds >= 1e-3:
            return f"{seconds * 1e3:.0f}ms/step"
        return f"{seconds * 1e6:.0f}us/step"


def duration(seconds: float) -> str:
    """Return "1.2s", "2:05" or "1:02:05"."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def measures(logs: Mapping[str, Any]) -> list[str]:
    """Return "loss: 0.4321" and the like; of arrays, the mean, as Keras does."""
    return [f"{name}: {_number(value)}" for name, value in logs.items()]


def _number(value: Any) -> str:
    if isinstance(value, str):
        return value
    mean = float(np.mean(value))
    return f"{mean:.4f}" if mean == 0 or abs(mean) > 1e-3 else f"{mean:.4e}"
