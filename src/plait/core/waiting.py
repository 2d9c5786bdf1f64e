"""Wait for results that are about to come."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

_TIMES = 50
_give_way = getattr(os, "sched_yield", lambda: time.sleep(0))


def wait_briefly(results: Sequence[Any]) -> None:
    """Return once the results of a call are there, or after some microseconds.

    A small model is done about when its call returns. Whoever goes to sleep until then is woken by
    the operating system, which takes longer than the model; asking a few times does not.
    """
    if results:
        for _ in range(_TIMES):
            if results[-1].is_ready():
                return
            _give_way()
