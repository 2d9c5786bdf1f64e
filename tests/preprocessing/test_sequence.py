"""Sequences as one array, as Keras makes them."""

import itertools

import keras
import numpy as np
import pytest

import plait
from plait.errors import ConfigError, DataError

SEQUENCES = [[], [1], [2, 3], [4, 5, 6], [7, 8, 9, 10]]


@pytest.mark.parametrize(
    ("padding", "truncating", "maxlen"),
    [*itertools.product(["pre", "post"], ["pre", "post"], [None, 1, 3, 6])],
)
def test_as_keras(padding, truncating, maxlen):
    options = {"padding": padding, "truncating": truncating, "maxlen": maxlen, "value": 0.5}
    ours = plait.utils.pad_sequences(SEQUENCES, dtype="float32", **options)
    theirs = keras.utils.pad_sequences(SEQUENCES, dtype="float32", **options)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


def test_steps_of_several_numbers_and_of_text():
    from plait.keras.preprocessing.sequence import pad_sequences

    vectors = [np.ones((2, 3)), np.ones((1, 3))]
    assert pad_sequences(vectors).shape == (2, 2, 3)
    words = pad_sequences([["a"], ["b", "c"]], dtype=object, value="", padding="post")
    assert words.tolist() == [["a", ""], ["b", "c"]]


@pytest.mark.parametrize(
    ("sequences", "options", "error", "text"),
    [
        ([1, 2], {}, DataError, r"sequences\[0\] is no sequence"),
        (["one"], {}, DataError, r"sequences\[0\] is no sequence"),
        ([[1], ["a"]], {}, DataError, r"sequences\[1\] does not fit an array of int32"),
        ([np.ones((1, 2)), np.ones((1, 3))], {}, DataError, r"steps of shape \(3,\)"),
        ([[1]], {"padding": "left"}, ConfigError, "padding is 'pre' or 'post'"),
        ([[1]], {"value": "end"}, ConfigError, "dtype=object"),
    ],
)
def test_errors(sequences, options, error, text):
    with pytest.raises(error, match=text):
        plait.utils.pad_sequences(sequences, **options)
