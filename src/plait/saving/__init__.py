"""Files: whole models, weights, checkpoints, exports; and objects as plain data.

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
from plait.saving.exported import ExportedModel, load_exported
from plait.saving.keras_file import load_model, save_model
from plait.saving.onnx.registry import onnx_converter
from plait.saving.report import LoadReport
from plait.saving.weights import load_weights, save_weights

CustomObjectScope = custom_object_scope
deserialize_keras_object = deserialize
register_keras_serializable = register_serializable
serialize_keras_object = serialize

__all__ = [
    "Checkpoints",
    "CustomObjectScope",
    "ExportedModel",
    "LoadReport",
    "custom_object_scope",
    "deserialize",
    "deserialize_keras_object",
    "load_exported",
    "load_model",
    "onnx_converter",
    "load_weights",
    "register_keras_serializable",
    "register_serializable",
    "save_model",
    "save_weights",
    "serialize",
    "serialize_keras_object",
]
