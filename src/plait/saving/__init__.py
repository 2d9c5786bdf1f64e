"""Objects as plain data, checkpoints, and the classes and functions that files may name."""

from plait.core.registry import (
    custom_object_scope,
    deserialize,
    register_serializable,
    serialize,
)
from plait.saving.checkpoint import Checkpoints

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
    "register_keras_serializable",
    "register_serializable",
    "serialize",
    "serialize_keras_object",
]
