"""Models that cross between plait and Keras by files, compared on the way."""

import keras
import numpy as np

import plait
from plait.graph import tree


def close(actual, expected, rtol=1e-5, atol=1e-6):
    ours, theirs = tree.flatten(actual), tree.flatten(expected)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def cross(model, folder, custom_objects=None):
    """Return a model of plait as plait and Keras read it, and as plait reads Keras' file of it."""
    model.save(folder / "plait.keras")
    theirs = keras.models.load_model(folder / "plait.keras", custom_objects)
    again = plait.models.load_model(folder / "plait.keras")
    theirs.save(folder / "keras.keras")
    back = plait.models.load_model(folder / "keras.keras")
    return again, theirs, back
