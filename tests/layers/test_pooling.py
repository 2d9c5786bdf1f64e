"""Poolings over windows and over everything against Keras."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from check_layer import check_layer

from plait import kernels
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import SymbolicTensor
from plait.layers import global_pooling, pooling

FIRST = "channels_first"
SHAPES = {1: (2, 11, 4), 2: (2, 7, 6, 3), 3: (2, 5, 4, 5, 2)}


def some(rank, data_format=None):
    shape = SHAPES[rank]
    if data_format == FIRST:
        shape = (shape[0], shape[-1], *shape[1:-1])
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    return np.maximum(x, 0)


@pytest.mark.parametrize("kind", ["MaxPooling", "AveragePooling"])
@pytest.mark.parametrize(
    ("rank", "arguments"),
    [
        (1, {"pool_size": 3, "strides": 2, "padding": "same", "data_format": FIRST}),
        (2, {"pool_size": (3, 2), "strides": (1, 3)}),
        (3, {"pool_size": (1, 2, 3), "padding": "same"}),
    ],
)
def test_windows_equal_keras(kind, rank, arguments):
    name = f"{kind}{rank}D"
    layer, oracle = check_layer(
        lambda: getattr(pooling, name)(**arguments),
        lambda: getattr(keras.layers, name)(**arguments),
        some(rank, arguments.get("data_format")),
        training=(False,),
        leave_out=("pool_size",),
    )
    assert (layer.pool_size, layer.strides) == (oracle.pool_size, oracle.strides)


@pytest.mark.parametrize("kind", ["GlobalMaxPooling", "GlobalAveragePooling"])
@pytest.mark.parametrize(
    ("rank", "arguments"),
    [(1, {}), (2, {"keepdims": True}), (3, {"keepdims": True, "data_format": FIRST})],
)
def test_global_equals_keras(kind, rank, arguments):
    name = f"{kind}{rank}D"
    x = some(rank, arguments.get("data_format"))
    check_layer(
        lambda: getattr(global_pooling, name)(**arguments),
        lambda: getattr(keras.layers, name)(**arguments),
        x + np.random.default_rng(1).uniform(0, 1e-3, x.shape).astype("float32"),
        training=(False,),
    )


@pytest.mark.parametrize("arguments", [{}, {"data_format": FIRST, "keepdims": True}])
def test_masked_mean_equals_keras(arguments):
    mask = np.random.default_rng(1).random((2, 11)) > 0.4
    check_layer(
        lambda: global_pooling.GlobalAveragePooling1D(**arguments),
        lambda: keras.layers.GlobalAveragePooling1D(**arguments),
        some(1, arguments.get("data_format")),
        training=(False,),
        call_kwargs={"mask": mask},
    )


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_every_window_and_stride(kind, padding):
    """Values equal among each other: the gradient must go where Keras sends it."""
    x = np.random.default_rng(0).integers(0, 3, (2, 40, 2)).astype("float32")
    ours, theirs = (getattr(module, f"{kind}_pool") for module in (kernels, keras.ops))
    for size, strides in ((3, 2), (2, 3), (20, 7)):
        weights = np.random.default_rng(1).normal(size=theirs(x, size, strides, padding).shape)

        def loss(pool, x, size=size, strides=strides, weights=weights):
            return (pool(x, size, strides, padding) * weights).sum()

        expected = jax.jit(jax.value_and_grad(lambda x: loss(theirs, x)))(x)
        actual = jax.jit(jax.value_and_grad(lambda x: loss(ours, x)))(x)
        np.testing.assert_allclose(actual[0], expected[0], rtol=1e-4)
        np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-6)


def test_equal_elements_of_a_square_window():
    x = np.random.default_rng(0).integers(0, 2, (2, 9, 9, 2)).astype("float32")
    weights = np.random.default_rng(1).normal(size=(2, 5, 5, 2))
    actual, expected = (
        jax.jit(jax.grad(lambda x, pool=pool: (pool(x, (3, 4), 2, "same") * weights).sum()))(x)
        for pool in (kernels.max_pool, keras.ops.max_pool)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_maximum_of_nan_is_nan_and_derivatives_go_forward():
    x = jnp.asarray([1.0, jnp.nan, 3.0, 2.0]).reshape(1, 4, 1)
    assert np.isnan(kernels.max_pool(x, 2)[0, :, 0]).tolist() == [True, False]
    _, tangent = jax.jvp(lambda x: kernels.max_pool(x, 2), (x,), (jnp.ones_like(x),))
    assert tangent[0, 1, 0] == 1


def test_integers():
    images = np.arange(2 * 4 * 4 * 3, dtype="int32").reshape(2, 4, 4, 3)
    for cls in (pooling.MaxPooling2D, global_pooling.GlobalMaxPooling2D):
        layer = cls()
        assert layer(SymbolicTensor((None, 4, 4, 3), "int32")).dtype == "int32"
        assert layer(images).dtype == "int32"
    np.testing.assert_array_equal(
        pooling.MaxPooling2D(3, padding="same")(-images),
        keras.layers.MaxPooling2D(3, padding="same")(-images.astype("float32")),
    )
    for layer in (pooling.AveragePooling2D(2), global_pooling.GlobalAveragePooling2D()):
        np.testing.assert_allclose(layer(images), layer(images.astype("float32")))


def test_unknown_sizes_stay_unknown():
    layer = pooling.MaxPooling2D(2, padding="same", data_format=FIRST)
    assert layer.compute_output_shape((None, None, None, 5)) == (None, None, None, 3)
    assert pooling.AveragePooling1D(2).compute_output_shape((4, None, 3)) == (4, None, 3)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: pooling.MaxPooling2D(0), "MaxPooling2D: pool_size must be a whole number >= 1"),
        (lambda: pooling.MaxPooling2D((2, 2, 2)), r"received \(2, 2, 2\)"),
        (lambda: pooling.AveragePooling1D(2, strides=0), "strides must be a whole number"),
        (lambda: pooling.MaxPooling1D(2, padding="vaild"), "'vaild'. Did you mean 'valid'"),
        (lambda: global_pooling.GlobalMaxPooling2D("first"), "channels_first"),
    ],
)
def test_impossible_arguments(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


@pytest.mark.parametrize(
    ("make", "shape", "text"),
    [
        (
            lambda: pooling.MaxPooling2D(name="p"),
            (None, 1, 1, 8),
            r"MaxPooling2D 'p' \(test_pooling.py:\d+\) cannot pool: its pool \(2, 2\) is larger "
            r"than the input \(1, 1\)\.\n.*\nFix: padding='same'",
        ),
        (lambda: pooling.AveragePooling2D(2), (None, 8, 8), r"Fix: .*Reshape\(\(8, 8, 1\)\)"),
        (lambda: global_pooling.GlobalMaxPooling2D(), (None, 64), "expects 4 axes, received 2"),
        (lambda: global_pooling.GlobalAveragePooling1D(), (None, 8, 8, 3), "expects 3 axes"),
    ],
)
def test_impossible_inputs(make, shape, text):
    layer = make()
    with pytest.raises(ShapeError, match=text):
        layer(SymbolicTensor(shape))
