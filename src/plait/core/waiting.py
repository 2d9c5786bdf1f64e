"""Wait for results that are about to come."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

_TIMES, _SECONDS = 50, 50e-6
_give_way = getattr(os, "sched_yield", lambda: time.sleep(0))


def wait_briefly(results: Sequence[Any]) -> None:
    """Return once the results of a call are there, or after 50 microseconds; at once while traced.

    A small model is done about when its call returns. Whoever goes to sleep until then is woken by
    the operating system, which takes longer than the model; asking a few times does not.
    """
    is_ready = getattr(results[-1], "is_ready", None) if results else None
    if is_ready is None:
        return
    latest = time.perf_counter() + _SECONDS
    for _ in range(_TIMES):
        if is_ready() or time.perf_counter() > latest:
            return
        _give_way()
