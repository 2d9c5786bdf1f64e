"""Convolutions of every kind against Keras, and what they say about impossible ones."""

import inspect

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from check_layer import check_layer

from plait import kernels
from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.graph.tensor import SymbolicTensor
from plait.layers import convolution, depthwise, transposed

FIRST = {"data_format": "channels_first"}
PENALTIES = {
    "kernel_regularizer": "l2",
    "activity_regularizer": "l1",
    "kernel_constraint": "non_neg",
    "bias_initializer": "ones",
}
SHAPES = {1: (2, 11, 4), 2: (2, 7, 6, 4), 3: (2, 5, 4, 5, 4)}

CASES = [
    ("Conv1D", {"filters": 6, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "strides": 3, "padding": "CAUSAL", **FIRST}),
    ("Conv2D", {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same"}),
    ("Conv2D", {"filters": 4, "kernel_size": (3, 2), "groups": 4, "use_bias": False}),
    ("Conv2D", {"filters": 5, "kernel_size": (2, 3), "dilation_rate": (2, 1), **FIRST}),
    ("Conv2D", {"filters": 3, "kernel_size": 1, "activation": "relu", **PENALTIES}),
    ("Conv3D", {"filters": 3, "kernel_size": (2, 3, 1), "strides": 2, "padding": "same"}),
    ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2, "strides": 2}),
    ("DepthwiseConv2D", {"kernel_size": 2, "strides": 2, "dilation_rate": 2, **FIRST}),
    ("SeparableConv1D", {"filters": 5, "kernel_size": 3, "padding": "same", "strides": 2}),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 2, "depth_multiplier": 2, **FIRST}),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2}),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": (3, 4), "dilation_rate": 2, **FIRST}),
    ("Conv3DTranspose", {"filters": 2, "kernel_size": 3, "strides": (2, 1, 2), "padding": "same"}),
]


def plait_class(name):
    return next(getattr(m, name) for m in (convolution, depthwise, transposed) if hasattr(m, name))


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_equals_keras(name, arguments):
    cls, oracle_class = plait_class(name), getattr(keras.layers, name)
    shape = SHAPES[cls.rank]
    if "data_format" in arguments:
        shape = (shape[0], shape[-1], *shape[1:-1])
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    one_for_each_axis = ("strides", "dilation_rate")
    layer, oracle = check_layer(
        lambda: cls(**arguments),
        lambda: oracle_class(**arguments),
        x,
        training=(False,),
        leave_out=(*one_for_each_axis, *(["output_padding"] if name.startswith("Conv3DT") else [])),
    )
    assert (layer.strides, layer.dilation_rate) == (oracle.strides, oracle.dilation_rate)
    assert np.allclose([float(loss) for loss in layer.losses], oracle.losses, rtol=1e-5, atol=1e-6)


def _parameters(cls):
    return inspect.signature(cls.__init__).parameters


@pytest.mark.parametrize("name", ["Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D",
    "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "Conv1DTranspose",
    "Conv2DTranspose"])  # fmt: skip
def test_positional_order_and_names_are_those_of_keras(name):
    ours, theirs = plait_class(name), getattr(keras.layers, name)
    assert list(_parameters(ours)) == list(_parameters(theirs))
    layer = ours(*([2, 2] if "filters" in _parameters(ours) else [2]))
    assert layer.name.startswith(keras.src.utils.naming.to_snake_case(name))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("output_padding", [None, 0, 1])
def test_transposed_sizes_and_numbers_for_every_kernel_and_stride(padding, output_padding):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 4, 2)).astype("float32")
    for kernel_size in (1, 2, 5):
        for strides, dilation in ((2, 1), (3, 1), (1, 2)):
            if output_padding is not None and output_padding >= strides:
                continue
            kernel = rng.normal(size=(kernel_size, 3, 2)).astype("float32")
            expected = keras.ops.conv_transpose(
                x, kernel, strides, padding, output_padding, dilation_rate=dilation
            )
            actual = kernels.conv_transpose(
                jnp.asarray(x), jnp.asarray(kernel), strides, padding, output_padding, dilation
            )
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
            extra = None if output_padding is None else (output_padding,)
            window = (kernel_size, 3)[:1]
            assert actual.shape[1:2] == kernels.transposed_sizes(
                (4,), window, (strides,), padding, extra, (dilation,)
            )


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_sizes_are_those_of_keras(padding):
    for size in range(1, 9):
        for kernel in (1, 2, 3, 5):
            for strides, dilation in ((1, 1), (2, 1), (3, 1), (1, 2), (1, 3)):
                arguments = (2, kernel, strides, padding, None, dilation)
                ours = convolution.Conv1D(*arguments)
                theirs = keras.layers.Conv1D(*arguments)
                try:
                    expected = theirs.compute_output_shape((None, size, 3))
                except ValueError:
                    with pytest.raises(ShapeError, match="is larger than the input"):
                        ours.compute_output_shape((None, size, 3))
                else:
                    assert ours.compute_output_shape((None, size, 3)) == expected


def test_unknown_sizes_stay_unknown():
    conv2d = convolution.Conv2D(8, 3, strides=2)
    assert conv2d.compute_output_shape((None, None, 9, 3)) == (None, None, 4, 8)
    grown = transposed.Conv2DTranspose(8, 3, strides=2, **FIRST)
    assert grown.compute_output_shape((None, 3, None, 4)) == (None, 8, None, 9)
    each = depthwise.DepthwiseConv2D(3, depth_multiplier=2)
    assert each.compute_output_shape((None, None, None, None)) == (None, None, None, None)


def test_integers_are_convolved_in_the_kernels_dtype():
    images = np.arange(2 * 5 * 5 * 3, dtype="uint8").reshape(2, 5, 5, 3)
    for layer in (convolution.Conv2D(2, 3), depthwise.DepthwiseConv2D(3)):
        np.testing.assert_allclose(
            layer(images), layer(images.astype("float32")), rtol=1e-5, atol=1e-6
        )


def test_kernel_finds_the_groups():
    x, kernel = jnp.ones((1, 5, 4)), jnp.ones((3, 2, 6))
    np.testing.assert_array_equal(kernels.conv(x, kernel), keras.ops.conv(x, kernel, 1, "valid"))
    with pytest.raises(ShapeError, match="takes 2 in each"):
        kernels.conv(x, kernel, groups=1)
    with pytest.raises(ShapeError, match="cannot move a kernel over 1 axes"):
        kernels.conv(jnp.ones((1, 5, 5, 4)), kernel)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: convolution.Conv2D(0, 3), ConfigError, "Conv2D: filters must be a positive"),
        (lambda: convolution.Conv2D("8", 3), (ConfigError, ArgumentTypeError), "filters must be"),
        (lambda: convolution.Conv2D(8, (3, 3, 3)), ConfigError, r"received \(3, 3, 3\)"),
        (lambda: convolution.Conv2D(8, 0), ConfigError, "kernel_size must be a whole number >= 1"),
        (lambda: convolution.Conv1D(8, 2, strides=0), ConfigError, "strides must be a whole"),
        (
            lambda: convolution.Conv2D(8, 3, padding="sane"),
            ConfigError,
            "padding cannot be 'sane'. Did you mean 'same'",
        ),
        (lambda: convolution.Conv2D(8, 3, padding="causal"), ConfigError, "'valid' or 'same'"),
        (lambda: convolution.Conv2D(8, 3, padding=1), ConfigError, "padding cannot be 1"),
        (lambda: convolution.Conv2D(8, 3, data_format="NCHW"), ConfigError, "channels_first"),
        (
            lambda: convolution.Conv2D(8, 3, strides=2, dilation_rate=2),
            ConfigError,
            r"strides=\(2, 2\) and dilation_rate=\(2, 2\) cannot both be above 1",
        ),
        (
            lambda: convolution.Conv2D(8, 3, groups=3),
            ConfigError,
            "filters=8 cannot be divided into 3 groups.\nFix: filters=9",
        ),
        (lambda: convolution.Conv2D(8, 3, groups=0), ConfigError, "groups must be a positive"),
        (
            lambda: depthwise.DepthwiseConv2D(3, depth_multiplier=0),
            ConfigError,
            "depth_multiplier must be a positive",
        ),
        (
            lambda: transposed.Conv1DTranspose(8, 3, strides=2, output_padding=2),
            ConfigError,
            r"output_padding=\(2,\) must be less than strides=\(2,\)",
        ),
        (lambda: convolution.Conv2D(8, 3, kernal_size=3), TypeError, "kernel_size"),
    ],
)
def test_impossible_arguments(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("make", "shape", "text"),
    [
        (
            lambda: convolution.Conv2D(8, 5, name="c"),
            (None, 3, 3, 1),
            r"Conv2D 'c' \(test_convolution.py:\d+\) cannot convolve: its kernel \(5, 5\) is "
            r"larger than the input \(3, 3\)\.\n.*\nFix: padding='same'",
        ),
        (
            lambda: convolution.Conv1D(8, 3, dilation_rate=2),
            (None, 4, 1),
            r"its kernel \(3,\), dilated to \(5,\), is larger than the input \(4,\)",
        ),
        (
            lambda: convolution.Conv2D(8, 3),
            (None, 28, 28),
            r"expects 4 axes, received 3: \(None, 28, 28\)\.\n.*\nFix: add the channel axis: "
            r"layers\.Reshape\(\(28, 28, 1\)\)",
        ),
        (
            lambda: convolution.Conv2D(8, 3, **FIRST),
            (None, 28, 28),
            r"layers\.Reshape\(\(1, 28, 28\)\)",
        ),
        (lambda: convolution.Conv2D(8, 3), (28, 28, 3), r"Fix: add the batch axis: x\[None\]"),
        (lambda: convolution.Conv2D(8, 3), (None, None, 28), r"Fix: .*ops\.expand_dims\(x, -1\)"),
        (lambda: convolution.Conv2D(8, 3), (None, 9, 28, 28, 3), "Fix: .*layers.TimeDistributed"),
        (lambda: convolution.Conv2D(8, 3), (None, 784), r"Fix: .*height, width, channels"),
        (
            lambda: convolution.Conv2D(8, 3),
            (None, 28, 28, None),
            "axis -1 of its input, the channels, has no known size",
        ),
        (
            lambda: convolution.Conv2D(8, 3, groups=2),
            (None, 28, 28, 3),
            "cannot divide 3 channels into 2 groups",
        ),
        (lambda: depthwise.DepthwiseConv1D(3), (None, 2, 3), r"kernel \(3,\) is larger"),
        (lambda: depthwise.SeparableConv1D(2, 3), (None, 9, None), "no known size"),
        (
            lambda: transposed.Conv1DTranspose(2, 2, strides=2, padding="same", output_padding=0),
            (None, 1, 3),
            "leaves sizes",
        ),
    ],
)
def test_impossible_inputs(make, shape, text):
    layer = make()
    with pytest.raises(ShapeError, match=text):
        layer(SymbolicTensor(shape))
    assert not layer.built


def test_a_built_layer_accepts_no_other_channels_and_no_smaller_input():
    layer = convolution.Conv2D(8, 3)
    layer(SymbolicTensor((None, None, None, 3)))
    with pytest.raises(ShapeError, match=r"size 3 on axis -1, received 1.*\n.*\nFix: give it 3"):
        layer(np.ones((1, 8, 8, 1), "float32"))
    with pytest.raises(ShapeError, match=r"\(3, 3\) is larger than the input \(2, 2\)"):
        layer(np.ones((1, 2, 2, 3), "float32"))


def test_causal_outputs_see_no_later_input():
    layer = convolution.Conv1D(1, 3, padding="causal", dilation_rate=2)
    layer.build((None, 8, 1))
    state = layer.state()
    jacobian = jax.jacobian(lambda x: layer.apply(state, x[None, :, None])[0][0, :, 0])(jnp.ones(8))
    assert not np.triu(jacobian, 1).any()
    assert np.diag(jacobian).all()
