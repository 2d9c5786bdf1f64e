import keras
import numpy as np
import pytest
from check_layer import check_layer

from plait import layers
from plait.errors import ConfigError, ShapeError

NUMBERS = np.array([[1, 2, 0], [4, 0, 3]], "int32")


@pytest.mark.parametrize(
    ("config", "x"),
    [
        ({}, NUMBERS),
        ({"mask_zero": True}, NUMBERS),
        ({"embeddings_regularizer": "l2"}, NUMBERS.astype("float32") + 0.7),
        ({}, NUMBERS[0].astype("uint8")),
        ({}, np.array([[0, 5, -1, 7]], "int32")),
    ],
)
def test_embedding(config, x):
    check_layer(
        lambda: layers.Embedding(5, 4, **config), lambda: keras.layers.Embedding(5, 4, **config), x
    )


def test_mask_zero_masks_what_is_zero():
    layer = layers.Embedding(5, 4, mask_zero=True)
    np.testing.assert_array_equal(layer.compute_mask(NUMBERS), NUMBERS != 0)
    assert layers.Embedding(5, 4).compute_mask(NUMBERS) is None


@pytest.mark.parametrize("wrap", [list, np.asarray], ids=["list", "array"])
def test_weights_are_the_first_value(wrap):
    table = np.arange(6, dtype="float32").reshape(3, 2)
    layer = layers.Embedding(3, 2, weights=[table] if wrap is list else table)
    np.testing.assert_array_equal(layer(np.array([[2]]))[0, 0], table[2])
    assert "weights" not in layer.get_config()


def test_input_length_is_an_input_shape():
    assert layers.Embedding(3, 2, input_length=7).batch_input_shape == (None, 7)


@pytest.mark.parametrize("sizes", [(0, 4), (5, -1), (2.5, 4), (5, None), (True, 4)])
def test_sizes_must_be_positive_whole_numbers(sizes):
    with pytest.raises(ConfigError, match=r"Embedding: (in|out)put_dim must be a positive whole"):
        layers.Embedding(*sizes)


def test_weights_of_another_shape():
    with pytest.raises(ShapeError, match=r"\(3, 2\).*received \(2, 2\)"):
        layers.Embedding(3, 2, weights=[np.zeros((2, 2))])
