"""Data made ready for models; the names of ``tf.keras.preprocessing``."""

from plait.preprocessing import sequence

__all__ = ["sequence"]
