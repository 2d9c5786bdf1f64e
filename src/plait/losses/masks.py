"""Masks of arrays, kept by the scope: which entries count in a loss or metric."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from plait.core.scope import Scope, current_scope


def mask_of(tensor: Any) -> Any:
    """Return the mask attached to `tensor`, or None."""
    scope = current_scope()
    return None if scope is None else scope.get_mask(tensor)


def attach_mask(tensor: Any, mask: Any) -> None:
    """Attach a mask to `tensor` for whoever reduces it; nothing happens outside a scope."""
    scope = current_scope()
    if scope is not None:
        scope.set_mask(tensor, mask)


@contextmanager
def keeping_masks() -> Iterator[None]:
    """Have a scope that keeps masks: the open one, or one for the length of the block."""
    if current_scope() is not None:
        yield
        return
    with Scope() as scope:
        yield
    for variable, value in scope.changed.items():
        variable.assign(value)
