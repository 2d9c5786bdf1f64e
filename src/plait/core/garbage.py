"""Hold the collector of cyclic garbage back while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Let no collection run within the block: it would go through all that JAX holds, for nothing.

    What becomes garbage there is found by the next collection after it.
    """
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            gc.enable()
