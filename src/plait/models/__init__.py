"""Models: graphs of layers that train."""

from plait.core.registry import register_class
from plait.models.cloning import clone_model, model_from_json
from plait.models.model import Model
from plait.models.sequential import Sequential
from plait.saving import load_model, save_model

Functional = Model
register_class("models", Model, "Functional")

__all__ = [
    "clone_model",
    "model_from_json",
    "Functional",
    "Model",
    "Sequential",
    "load_model",
    "save_model",
]
