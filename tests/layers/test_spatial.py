import keras
import numpy as np
import pytest
from check_layer import check_layer

from plait import layers
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import SymbolicTensor

FIRST, LAST = {"data_format": "channels_first"}, {}
SHAPES = {1: (2, 5, 6), 2: (2, 4, 5, 6), 3: (2, 3, 4, 5, 6)}


def data(rank, dtype="float32"):
    return (10 * np.random.default_rng(0).normal(size=SHAPES[rank])).astype(dtype)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("ZeroPadding1D", {}),
        ("ZeroPadding1D", {"padding": (2, 0), **FIRST}),
        ("ZeroPadding2D", {"padding": 2}),
        ("ZeroPadding2D", {"padding": (2, 0), **FIRST}),
        ("ZeroPadding2D", {"padding": ((1, 0), (2, 3))}),
        ("ZeroPadding3D", {}),
        ("ZeroPadding3D", {"padding": ((1, 0), (2, 3), (0, 0)), **FIRST}),
        ("Cropping1D", {"cropping": (2, 0)}),
        ("Cropping2D", {}),
        ("Cropping2D", {"cropping": ((1, 0), (2, 1)), **FIRST}),
        ("Cropping3D", {"cropping": ((0, 1), (1, 0), (2, 1))}),
        ("Cropping3D", {"cropping": 1, **FIRST}),
        ("UpSampling1D", {"size": 3}),
        ("UpSampling2D", {"size": 2}),
        ("UpSampling2D", {"size": (1, 3), **FIRST}),
        ("UpSampling2D", {"size": (2, 3), "interpolation": "bilinear"}),
        ("UpSampling2D", {"interpolation": "bicubic", **FIRST}),
        ("UpSampling2D", {"interpolation": "lanczos3"}),
        ("UpSampling3D", {"size": (1, 2, 3), **FIRST}),
    ],
)
def test_against_keras(name, config):
    check_layer(
        lambda: getattr(layers, name)(**config),
        lambda: getattr(keras.layers, name)(**config),
        data(int(name[-2])),
        training=(False,),
    )


@pytest.mark.parametrize("name", ["ZeroPadding1D", "Cropping1D", "UpSampling1D", "UpSampling2D"])
def test_whole_numbers_stay_whole(name):
    x = data(int(name[-2]), "int32")
    y = getattr(layers, name)()(SymbolicTensor((None, *x.shape[1:]), "int32"))
    assert y.dtype == getattr(layers, name)()(x).dtype == "int32"


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.ZeroPadding2D(1), (None, None, 7, 3)),
        (layers.Cropping2D(1), (None, None, 3, 3)),
        (layers.UpSampling2D(), (None, None, 10, 3)),
    ],
)
def test_unknown_sizes(layer, expected):
    assert layer(SymbolicTensor((None, None, 5, 3))).shape == expected


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.ZeroPadding1D(-1), ConfigError, "padding must be a whole number >= 0"),
        (lambda: layers.ZeroPadding2D((1, 2, 3)), ConfigError, "2 numbers or pairs"),
        (lambda: layers.ZeroPadding2D("same"), ConfigError, "received 'same'"),
        (lambda: layers.ZeroPadding3D(((1, 1), 2, 0.5)), ConfigError, "received 0.5"),
        (lambda: layers.Cropping3D((1, -1, 0)), ConfigError, "received -1"),
        (lambda: layers.UpSampling1D(0), ConfigError, "size must be a whole number >= 1"),
        (lambda: layers.UpSampling2D((2, 2, 2)), ConfigError, "or 2 of them"),
        (lambda: layers.UpSampling2D(interpolation="cubic"), ConfigError, "no interpolation 'cub"),
        (lambda: layers.UpSampling3D(data_format="x"), ConfigError, "UpSampling3D: data_format"),
        (lambda: layers.Cropping1D(3)(data(1)), ShapeError, "cannot cut 6 off axis 1"),
        (
            lambda: layers.Cropping2D(2)(SymbolicTensor((None, 4, 9, 3))),
            ShapeError,
            r"Cropping2D .* cannot cut 4 off axis 1 of \(None, 4, 9, 3\)",
        ),
        (lambda: layers.ZeroPadding2D()(data(1)), ShapeError, "4 axes, received 3"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
