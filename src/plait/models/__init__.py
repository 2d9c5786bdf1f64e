"""Models: graphs of layers that train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.core.registry import register_class
from plait.models.cloning import clone_model, model_from_json
from plait.models.model import Model
from plait.models.sequential import Sequential

if TYPE_CHECKING:
    from plait.saving import load_model, save_model

Functional = Model
register_class("models", Model, "Functional")


def __getattr__(name: str) -> Any:
    if name in ("load_model", "save_model"):
        from plait import saving

        return getattr(saving, name)
    raise AttributeError(f"module 'plait.models' has no attribute {name!r}")


__all__ = [
    "clone_model",
    "model_from_json",
    "Functional",
    "Model",
    "Sequential",
    "load_model",
    "save_model",
]
