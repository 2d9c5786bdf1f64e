"""Hold the collector of cyclic garbage back while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected(*, all_stays: bool = False) -> Iterator[None]:
    """Let no collection run within the block: it would go through all that JAX holds, for nothing.

    What becomes garbage there is found by the next collection after it.

    Args:
        all_stays: nothing does; only a full collection will go through what was made.
    """
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if all_stays and gc.get_freeze_count() == 0:
            gc.freeze()
            gc.unfreeze()  # Into the oldest generation.
        if ran:
            gc.enable()
