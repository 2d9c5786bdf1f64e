"""Makes ``plait.keras`` another name of plait, for ``from plait.keras.layers import Dense``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_PREFIX = "plait.keras."


class _Alias(MetaPathFinder, Loader):
    """Finds ``plait.keras.X`` as the very module ``plait.X``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_PREFIX):
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module("plait." + spec.name.removeprefix(_PREFIX))
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own


def install() -> None:
    """Make the alias known to the import system."""
    sys.modules["plait.keras"] = sys.modules["plait"]
    sys.meta_path.insert(0, _Alias())
