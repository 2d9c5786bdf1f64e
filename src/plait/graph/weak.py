"""Sets that belong to an object and keep nothing alive."""

from __future__ import annotations

import weakref
from typing import Any


class Members:
    """Owner -> members noted for it; neither is kept alive.

    As a dict of `weakref.WeakSet` it would be half a dozen objects for each layer, which every
    collection of garbage goes through.
    """

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[Any, set[weakref.ref[Any]]] = (
            weakref.WeakKeyDictionary()
        )

    def add(self, owner: Any, member: Any) -> None:
        """Note a member of `owner`."""
        known = self._known.get(owner)
        if known is None:
            known = self._known[owner] = set()
        known.add(weakref.ref(member, known.discard))

    def of(self, owner: Any) -> list[Any]:
        """Return the members that are alive."""
        # A copy: one may die while another is looked at.
        found = [reference() for reference in self._known.get(owner, set()).copy()]
        return [member for member in found if member is not None]
