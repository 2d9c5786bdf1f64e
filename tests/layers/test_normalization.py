import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from check_layer import check_layer

import plait
from plait import layers
from plait.graph.tensor import SymbolicTensor


def data(*shape, seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * 2 + 1).astype("float32")


CASES = {
    "BatchNormalization": [
        ({}, (8, 5)),
        ({}, (4, 6, 5)),
        ({"momentum": 0.9, "epsilon": 1e-2}, (3, 4, 6, 5)),
        ({"center": False}, (2, 3, 4, 2, 5)),
        ({"scale": False, "center": False}, (4, 6, 5)),
        ({"axis": 1}, (3, 4, 6, 5)),
        ({"axis": -2, "gamma_regularizer": "l2", "beta_constraint": "non_neg"}, (4, 6, 5)),
        ({"renorm": True}, (4, 6, 5)),
        (
            {"renorm": True, "scale": False, "center": False, "renorm_momentum": 0.5}
            | {"renorm_clipping": {"rmin": 0.5, "rmax": 2.0, "dmax": 0.4}},
            (8, 5),
        ),
    ],
    "LayerNormalization": [
        ({}, (8, 5)),
        ({}, (4, 6, 5)),
        ({"axis": [1, 2], "epsilon": 1e-5}, (4, 6, 5)),
        ({"axis": [-1, -2], "center": False}, (3, 4, 6, 5)),
        ({"axis": 1, "scale": False}, (3, 4, 6, 5)),
    ],
    "GroupNormalization": [
        ({"groups": 2}, (3, 6)),
        ({"groups": 3}, (4, 6, 6)),
        ({"groups": -1, "scale": False}, (3, 4, 6, 5)),
        ({"groups": 1, "center": False}, (3, 4, 6, 5)),
        ({"groups": 2, "axis": 1}, (3, 4, 6, 5)),
        ({"groups": 3, "axis": -2}, (3, 4, 6, 5)),
    ],
    "RMSNormalization": [({}, (8, 5)), ({}, (4, 6, 5)), ({"axis": [1, 2]}, (4, 6, 5))],
    "UnitNormalization": [({}, (8, 5)), ({"axis": 1}, (4, 6, 5)), ({"axis": [1, 2]}, (4, 6, 5))],
}


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [(name, config, shape) for name, cases in CASES.items() for config, shape in cases],
)
def test_normalization_is_keras(name, config, shape):
    check_layer(
        lambda: getattr(layers, name)(**config),
        lambda: getattr(keras.layers, name)(**config),
        data(*shape),
    )


def test_batch_statistics_leave_out_masked_steps():
    mask = np.array([[True] * 6, [True, False] * 3, [False] * 6, [True] * 2 + [False] * 4])
    check_layer(
        layers.BatchNormalization,
        keras.layers.BatchNormalization,
        data(4, 6, 5),
        call_kwargs={"mask": mask},
    )


def test_a_frozen_batch_normalization_uses_its_moving_averages():
    layer, x = layers.BatchNormalization(momentum=0.5), data(8, 3)
    layer(x, training=True)
    moving = layer.get_weights()
    layer.trainable = False
    np.testing.assert_array_equal(layer(x, training=True), layer(x))
    layer.trainable = True
    assert np.abs(layer(x, training=True) - layer(x)).max() > 0.1
    assert np.abs(layer.moving_mean.numpy() - moving[2]).max() > 0.1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    "name", ["BatchNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"]
)
def test_half_precision_is_computed_in_float32(name, dtype):
    x = data(4, 8, 16) * 100
    outputs = [
        np.asarray(getattr(layers, name)(dtype=d)(x, training=True), "float32")
        for d in (dtype, "float32")
    ]
    assert np.isfinite(outputs[0]).all()
    np.testing.assert_allclose(*outputs, rtol=2e-2, atol=3e-2)


@pytest.mark.parametrize("name", ["BatchNormalization", "LayerNormalization"])
def test_second_derivatives_are_those_of_the_plain_formula(name):
    layer, x = getattr(layers, name)(), jnp.asarray(data(3, 2, 2))
    layer.build(x.shape)

    def plain(x):
        axes = (0, 1) if name == "BatchNormalization" else -1
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        return jnp.sum(jnp.sin((x - mean) / jnp.sqrt(variance + 1e-3)))

    ours = jax.hessian(lambda x: jnp.sin(layer.apply({}, x, training=True)[0]).sum())(x)
    np.testing.assert_allclose(ours, jax.hessian(plain)(x), rtol=1e-3, atol=1e-4)


def test_the_gradient_of_a_unit_normalized_zero_is_finite():
    layer = layers.UnitNormalization()
    gradient = jax.grad(lambda x: layer.apply({}, x)[0].sum())(jnp.zeros((1, 3)))
    assert np.isfinite(gradient).all()


def test_configurations_that_keras_writes_are_read():
    for name in CASES:
        oracle = getattr(keras.layers, name)(**({"groups": 2} if name.startswith("G") else {}))
        oracle.build((None, 3, 4))
        getattr(layers, name).from_config(oracle.get_config())(SymbolicTensor((None, 3, 4)))


def build(layer, *shape):
    return layer(SymbolicTensor(shape))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: layers.GroupNormalization(0), plait.errors.ConfigError, "groups must be"),
        (lambda: layers.LayerNormalization(axis="last"), plait.errors.ArgumentTypeError, "axis is"),
        (lambda: layers.BatchNormalization([1, 2]), plait.errors.ArgumentTypeError, "one whole"),
        (lambda: layers.LayerNormalization(rms_scaling=True), plait.errors.ConfigError, "RMSNorm"),
        (lambda: layers.BatchNormalization(momentu=1), plait.errors.ArgumentTypeError, "momentum"),
        (
            lambda: layers.BatchNormalization(renorm=True, renorm_clipping={"max": 1}),
            plait.errors.ConfigError,
            "knows no 'max'",
        ),
        (
            lambda: layers.BatchNormalization(renorm_clipping={"rmax": 1, "rmin": 2}),
            plait.errors.ConfigError,
            "below rmin=2",
        ),
        (
            lambda: layers.BatchNormalization(renorm_clipping={"dmax": -1}),
            plait.errors.ConfigError,
            "negative dmax",
        ),
        (
            lambda: build(layers.GroupNormalization(4), None, 6),
            plait.errors.ShapeError,
            r"cannot split 6 channels into 4 groups.*\n.*\nFix: groups=3",
        ),
        (
            lambda: build(layers.GroupNormalization(1, axis=0), 3, 6),
            plait.errors.ShapeError,
            "the batch",
        ),
        (
            lambda: build(layers.BatchNormalization(axis=3), None, 6),
            plait.errors.ShapeError,
            r"BatchNormalization 'batch_n\w+' \(.*\) normalizes axis 3, but its input has 2 axes",
        ),
        (
            lambda: build(layers.UnitNormalization(axis=[1, 2]), None, 6),
            plait.errors.ShapeError,
            "normalizes axis 2",
        ),
        (
            lambda: build(layers.LayerNormalization(), None, None),
            plait.errors.ShapeError,
            "no known size",
        ),
        (
            lambda: layers.BatchNormalization()(
                data(2, 3, 4), training=True, mask=np.ones((2, 4), bool)
            ),
            plait.errors.ShapeError,
            r"takes a mask of shape \(2, 3\)",
        ),
    ],
)
def test_bad_input_is_named(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_another_shape_than_the_one_built_for_is_refused():
    layer = layers.BatchNormalization()
    build(layer, None, 4)
    with pytest.raises(plait.errors.ShapeError, match="size 4 on axis 1, received 5"):
        build(layer, None, 5)
