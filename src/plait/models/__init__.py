"""Models: graphs of layers that train."""

from plait.models.model import Model
from plait.models.sequential import Sequential

Functional = Model

__all__ = ["Functional", "Model", "Sequential"]
