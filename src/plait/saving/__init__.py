"""Files: whole models, weights, checkpoints; and objects as plain data.

>>> import pathlib, tempfile, plait
>>> from plait import layers
>>> model = plait.Sequential([plait.Input((4,)), layers.Dense(2)])
>>> path = pathlib.Path(tempfile.mkdtemp()) / "model.keras"
>>> model.save(path)
>>> plait.saving.load_model(path).output_shape
(None, 2)
"""

from plait.core.registry import (
    custom_object_scope,
    deserialize,
    register_serializable,
    serialize,
)
from plait.saving.checkpoint import Checkpoints
from plait.saving.keras_file import load_model, save_model

CustomObjectScope = custom_object_scope
deserialize_keras_object = deserialize
register_keras_serializable = register_serializable
serialize_keras_object = serialize

__all__ = [
    "Checkpoints",
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize",
    "deserialize_keras_object",
    "load_model",
    "register_keras_serializable",
    "register_serializable",
    "save_model",
    "serialize",
    "serialize_keras_object",
]
