"""Models: graphs of layers that train."""

from plait.core.registry import register_class
from plait.models.model import Model
from plait.models.sequential import Sequential
from plait.saving import load_model, save_model

Functional = Model
register_class("models", Model, "Functional")

__all__ = ["Functional", "Model", "Sequential", "load_model", "save_model"]
