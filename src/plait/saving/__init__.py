"""Objects as plain data, and the classes and functions of yours that it may name."""

from plait.core.registry import (
    custom_object_scope,
    deserialize,
    register_serializable,
    serialize,
)

CustomObjectScope = custom_object_scope
deserialize_keras_object = deserialize
register_keras_serializable = register_serializable
serialize_keras_object = serialize

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize",
    "deserialize_keras_object",
    "register_keras_serializable",
    "register_serializable",
    "serialize",
    "serialize_keras_object",
]
