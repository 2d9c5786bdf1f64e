"""The names of ``tf.keras.backend`` that programs still use."""

from plait.config import backend, epsilon, floatx, image_data_format, set_floatx
from plait.core.naming import clear_session

__all__ = [
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "image_data_format",
    "set_floatx",
]
