"""One call, or several, of every layer and operation that can be exported.

``LAYERS`` and ``OPERATIONS`` map a label, which begins with the layer or the operation, to a
function of the dict of symbolic inputs that returns a tensor or several.
"""

import jax.numpy as jnp
import numpy as np

import plait
from plait import layers, ops

SHAPES = {
    "vector": ((6,), "float32"),
    "other": ((6,), "float32"),
    "sequence": ((7, 4), "float32"),
    "open": ((None, 4), "float32"),
    "image": ((8, 9, 4), "float32"),
    "open_image": ((None, None, 4), "float32"),
    "planes": ((4, 8, 9), "float32"),
    "volume": ((5, 6, 4, 2), "float32"),
    "tokens": ((7,), "int32"),
    "bytes": ((5,), "uint8"),
}
SIZES = {"open": {1: 5}, "open_image": {1: 7, 2: 10}}


def inputs():
    """Return the symbolic inputs by name."""
    return {
        name: plait.Input(shape, dtype=dtype, name=name) for name, (shape, dtype) in SHAPES.items()
    }


def data(batch, seed=0):
    """Return arrays for the inputs; sequences are padded with zeros at the end and within."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, (shape, dtype) in SHAPES.items():
        sizes = [SIZES.get(name, {}).get(axis, size) for axis, size in enumerate(shape, 1)]
        if dtype == "float32":
            arrays[name] = rng.normal(size=(batch, *sizes)).astype(dtype)
        else:
            arrays[name] = rng.integers(1, 9, (batch, *sizes)).astype(dtype)
    arrays["tokens"][:, -2:] = 0
    arrays["tokens"][0, 2] = 0
    arrays["sequence"][:, -1] = 0
    return arrays


def randomize(model, seed=1):
    """Give every weight a value of its own; variances stay positive."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.dtype == "float32":
            value = 0.4 * rng.normal(size=variable.shape)
            positive = any(word in variable.name for word in ("variance", "stddev"))
            variable.assign(np.abs(value) + 0.5 if positive else value)


class Leaky(layers.Layer):
    """A cell of one's own, made of operations."""

    state_size = 4

    def call(self, inputs, states):
        new = 0.9 * states[0] + ops.tanh(inputs)
        return new, [new]


class Scale(layers.Layer):
    """A layer of one's own that has a weight and a layer within."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), name="factor")

    def call(self, inputs, training=False):
        return self.dense(ops.relu(inputs * self.factor)) + 1.0


def _masked(v):
    return layers.Embedding(9, 4, mask_zero=True)(v["tokens"])


def _nested():
    x = plait.Input((6,))
    inner = plait.Sequential([layers.Dense(4, activation="tanh"), layers.Dense(5)])
    return plait.Model(x, {"a": inner(x), "b": layers.Dense(2)(x)})


def _shared(v):
    dense = layers.Dense(3, activation="relu")
    return [dense(v["vector"]), dense(v["other"])]


def _with_states(v):
    states = [layers.Dense(3)(v["vector"]), layers.Dense(3)(v["other"])]
    return layers.LSTM(3, return_sequences=True, return_state=True)(
        v["sequence"], initial_state=states
    )


LAYERS = {
    "Dense": lambda v: layers.Dense(5, activation="gelu")(v["vector"]),
    "Dense 3-D": lambda v: layers.Dense(5, use_bias=False)(v["open"]),
    "EinsumDense": lambda v: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de")(
        v["sequence"]
    ),
    "EinsumDense ellipsis": lambda v: layers.EinsumDense("...x,xy->...y", 3, activation="relu")(
        v["image"]
    ),
    "Conv1D": lambda v: layers.Conv1D(3, 3, strides=2, activation="relu")(v["sequence"]),
    "Conv1D same": lambda v: layers.Conv1D(3, 4, padding="same")(v["open"]),
    "Conv1D causal": lambda v: layers.Conv1D(3, 3, padding="causal", dilation_rate=2)(v["open"]),
    "Conv2D": lambda v: layers.Conv2D(6, (3, 2), activation="silu")(v["image"]),
    "Conv2D same": lambda v: layers.Conv2D(6, 3, strides=(2, 3), padding="same")(v["image"]),
    "Conv2D same, open": lambda v: layers.Conv2D(6, 3, strides=2, padding="same")(v["open_image"]),
    "Conv2D dilated": lambda v: layers.Conv2D(6, 3, padding="same", dilation_rate=2)(
        v["open_image"]
    ),
    "Conv2D groups": lambda v: layers.Conv2D(6, 3, groups=2, use_bias=False)(v["image"]),
    "Conv2D first": lambda v: layers.Conv2D(6, 3, data_format="channels_first")(v["planes"]),
    "Conv3D": lambda v: layers.Conv3D(3, 2, padding="same", strides=(1, 2, 1))(v["volume"]),
    "DepthwiseConv1D": lambda v: layers.DepthwiseConv1D(3, depth_multiplier=2)(v["sequence"]),
    "DepthwiseConv2D": lambda v: layers.DepthwiseConv2D(
        3, strides=2, padding="same", depth_multiplier=3, activation="relu"
    )(v["image"]),
    "SeparableConv1D": lambda v: layers.SeparableConv1D(5, 3, padding="same")(v["sequence"]),
    "SeparableConv2D": lambda v: layers.SeparableConv2D(5, 3, depth_multiplier=2)(v["image"]),
    "Conv1DTranspose": lambda v: layers.Conv1DTranspose(3, 2, strides=4)(v["sequence"]),
    "Conv2DTranspose": lambda v: layers.Conv2DTranspose(3, 3, strides=2)(v["image"]),
    "Conv2DTranspose same": lambda v: layers.Conv2DTranspose(
        3, (4, 3), strides=2, padding="same", activation="relu"
    )(v["open_image"]),
    "Conv2DTranspose output": lambda v: layers.Conv2DTranspose(
        3, 4, strides=3, padding="same", output_padding=1
    )(v["image"]),
    "Conv2DTranspose dilated": lambda v: layers.Conv2DTranspose(3, 3, dilation_rate=2)(v["image"]),
    "Conv3DTranspose": lambda v: layers.Conv3DTranspose(3, 2, strides=2)(v["volume"]),
    "MaxPooling1D": lambda v: layers.MaxPooling1D(2)(v["sequence"]),
    "MaxPooling2D": lambda v: layers.MaxPooling2D(3, strides=2, padding="same")(v["open_image"]),
    "MaxPooling2D first": lambda v: layers.MaxPooling2D(data_format="channels_first")(v["planes"]),
    "MaxPooling3D": lambda v: layers.MaxPooling3D((1, 2, 2))(v["volume"]),
    "AveragePooling1D": lambda v: layers.AveragePooling1D(3, padding="same")(v["sequence"]),
    "AveragePooling2D": lambda v: layers.AveragePooling2D(3, strides=2, padding="same")(v["image"]),
    "AveragePooling3D": lambda v: layers.AveragePooling3D(2)(v["volume"]),
    "GlobalMaxPooling1D": lambda v: layers.GlobalMaxPooling1D()(v["open"]),
    "GlobalMaxPooling2D": lambda v: layers.GlobalMaxPooling2D(keepdims=True)(v["image"]),
    "GlobalMaxPooling3D": lambda v: layers.GlobalMaxPooling3D()(v["volume"]),
    "GlobalAveragePooling1D": lambda v: layers.GlobalAveragePooling1D()(v["open"]),
    "GlobalAveragePooling1D masked": lambda v: layers.GlobalAveragePooling1D()(_masked(v)),
    "GlobalAveragePooling2D": lambda v: layers.GlobalAveragePooling2D()(v["open_image"]),
    "GlobalAveragePooling2D first": lambda v: layers.GlobalAveragePooling2D("channels_first", True)(
        v["planes"]
    ),
    "GlobalAveragePooling3D": lambda v: layers.GlobalAveragePooling3D()(v["volume"]),
    "ZeroPadding1D": lambda v: layers.ZeroPadding1D((1, 2))(v["sequence"]),
    "ZeroPadding2D": lambda v: layers.ZeroPadding2D(((1, 2), (0, 3)))(v["open_image"]),
    "ZeroPadding3D": lambda v: layers.ZeroPadding3D(1)(v["volume"]),
    "Cropping1D": lambda v: layers.Cropping1D((1, 2))(v["sequence"]),
    "Cropping2D": lambda v: layers.Cropping2D(((1, 2), (0, 3)))(v["open_image"]),
    "Cropping3D": lambda v: layers.Cropping3D(1)(v["volume"]),
    "UpSampling1D": lambda v: layers.UpSampling1D(3)(v["open"]),
    "UpSampling2D": lambda v: layers.UpSampling2D((2, 3))(v["open_image"]),
    "UpSampling2D bilinear": lambda v: layers.UpSampling2D(2, interpolation="bilinear")(v["image"]),
    "UpSampling2D bicubic": lambda v: layers.UpSampling2D(
        2, interpolation="bicubic", data_format="channels_first"
    )(v["planes"]),
    "UpSampling3D": lambda v: layers.UpSampling3D(2)(v["volume"]),
    "Flatten": lambda v: layers.Flatten()(v["image"]),
    "Flatten first": lambda v: layers.Flatten("channels_first")(v["planes"]),
    "Reshape": lambda v: layers.Reshape((-1, 2))(v["image"]),
    "Reshape open": lambda v: layers.Reshape((-1, 2))(v["open"]),
    "Permute": lambda v: layers.Permute((3, 1, 2))(v["image"]),
    "RepeatVector": lambda v: layers.RepeatVector(3)(v["vector"]),
    "Identity": lambda v: layers.Identity()(v["vector"]),
    "BatchNormalization": lambda v: layers.BatchNormalization()(v["image"]),
    "BatchNormalization axis": lambda v: layers.BatchNormalization(axis=1, scale=False)(
        v["planes"]
    ),
    "LayerNormalization": lambda v: layers.LayerNormalization()(v["open"]),
    "LayerNormalization axes": lambda v: layers.LayerNormalization(axis=[1, -1])(v["image"]),
    "GroupNormalization": lambda v: layers.GroupNormalization(2)(v["open_image"]),
    "GroupNormalization axis": lambda v: layers.GroupNormalization(-1, axis=1)(v["planes"]),
    "RMSNormalization": lambda v: layers.RMSNormalization()(v["sequence"]),
    "UnitNormalization": lambda v: layers.UnitNormalization(axis=[1, 2])(v["sequence"]),
    "Normalization": lambda v: layers.Normalization(mean=[1.0] * 6, variance=[4.0] * 6)(
        v["vector"]
    ),
    "Normalization inverse": lambda v: layers.Normalization(invert=True)(v["image"]),
    "Rescaling": lambda v: layers.Rescaling(1 / 255, offset=-0.5)(v["bytes"]),
    "CategoryEncoding": lambda v: layers.CategoryEncoding(9)(v["tokens"]),
    "CategoryEncoding one_hot": lambda v: layers.CategoryEncoding(9, "one_hot")(v["bytes"]),
    "CategoryEncoding count": lambda v: layers.CategoryEncoding(9, "count")(v["tokens"]),
    "Activation": lambda v: layers.Activation("selu")(v["vector"]),
    "ReLU": lambda v: layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2)(v["vector"]),
    "LeakyReLU": lambda v: layers.LeakyReLU(0.2)(v["vector"]),
    "PReLU": lambda v: layers.PReLU(shared_axes=[1, 2])(v["open_image"]),
    "ELU": lambda v: layers.ELU(0.7)(v["vector"]),
    "Softmax": lambda v: layers.Softmax(axis=[1, 2])(v["sequence"]),
    "Softmax masked": lambda v: layers.Softmax(axis=1)(v["vector"], mask=v["other"] > 0),
    "Dropout": lambda v: layers.Dropout(0.5)(v["vector"]),
    "SpatialDropout1D": lambda v: layers.SpatialDropout1D(0.5)(v["sequence"]),
    "SpatialDropout2D": lambda v: layers.SpatialDropout2D(0.5)(v["image"]),
    "SpatialDropout3D": lambda v: layers.SpatialDropout3D(0.5)(v["volume"]),
    "AlphaDropout": lambda v: layers.AlphaDropout(0.5)(v["vector"]),
    "GaussianDropout": lambda v: layers.GaussianDropout(0.5)(v["vector"]),
    "GaussianNoise": lambda v: layers.GaussianNoise(0.5)(v["vector"]),
    "ActivityRegularization": lambda v: layers.ActivityRegularization(0.1)(v["vector"]),
    "Add": lambda v: layers.Add()([v["vector"], v["other"], v["vector"]]),
    "Subtract": lambda v: layers.Subtract()([v["vector"], v["other"]]),
    "Multiply": lambda v: layers.Multiply()([v["vector"], v["other"]]),
    "Multiply masked": lambda v: layers.Multiply()([_masked(v), _masked(v)]),
    "Average": lambda v: layers.Average()([v["vector"], v["other"]]),
    "Maximum": lambda v: layers.Maximum()([v["vector"], v["other"]]),
    "Maximum masked": lambda v: layers.Maximum()([_masked(v), _masked(v)]),
    "Minimum": lambda v: layers.Minimum()([v["vector"], v["other"]]),
    "Concatenate": lambda v: layers.Concatenate(axis=1)([v["open"], v["sequence"]]),
    "Concatenate masked": lambda v: layers.LSTM(3)(
        layers.Concatenate()([_masked(v), layers.Dense(2)(v["sequence"])])
    ),
    "Dot": lambda v: layers.Dot(axes=(2, 2))([v["sequence"], v["open"]]),
    "Dot normalized": lambda v: layers.Dot(axes=1, normalize=True)([v["vector"], v["other"]]),
    "Embedding": lambda v: layers.Embedding(9, 5)(v["tokens"]),
    "Masking": lambda v: layers.GRU(3)(layers.Masking()(v["sequence"])),
    "LSTM": lambda v: layers.LSTM(3)(v["open"]),
    "LSTM states": _with_states,
    "LSTM backwards": lambda v: layers.LSTM(3, go_backwards=True, return_sequences=True)(
        v["sequence"]
    ),
    "LSTM other activations": lambda v: layers.LSTM(
        3, activation="softsign", recurrent_activation="hard_sigmoid", return_sequences=True
    )(v["sequence"]),
    "LSTM masked": lambda v: layers.LSTM(3, return_sequences=True, return_state=True)(_masked(v)),
    "GRU": lambda v: layers.GRU(3, return_sequences=True)(v["sequence"]),
    "GRU reset before": lambda v: layers.GRU(3, reset_after=False)(v["sequence"]),
    "GRU masked": lambda v: layers.GRU(3, reset_after=False, zero_output_for_mask=True)(_masked(v)),
    "SimpleRNN": lambda v: layers.SimpleRNN(3, return_sequences=True, return_state=True)(v["open"]),
    "SimpleRNN masked": lambda v: layers.SimpleRNN(3, activation="relu", go_backwards=True)(
        _masked(v)
    ),
    "RNN": lambda v: layers.RNN(Leaky(), return_sequences=True)(v["sequence"]),
    "RNN LSTMCell": lambda v: layers.RNN(layers.LSTMCell(3), return_state=True)(v["sequence"]),
    "StackedRNNCells": lambda v: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(_masked(v)),
    "Bidirectional": lambda v: layers.Bidirectional(layers.LSTM(3, return_sequences=True))(
        v["open"]
    ),
    "Bidirectional masked": lambda v: layers.Bidirectional(
        layers.GRU(3, return_sequences=True), merge_mode="ave"
    )(_masked(v)),
    "Bidirectional states": lambda v: layers.Bidirectional(
        layers.SimpleRNN(3, return_state=True), merge_mode=None
    )(v["sequence"]),
    "TimeDistributed": lambda v: layers.TimeDistributed(layers.Dense(3))(v["open"]),
    "TimeDistributed Conv": lambda v: layers.TimeDistributed(layers.Conv1D(2, 3))(v["image"]),
    "Attention": lambda v: layers.Attention(use_scale=True)([v["sequence"], v["open"]]),
    "Attention masked": lambda v: layers.Attention()(
        [_masked(v), _masked(v)], use_causal_mask=True
    ),
    "Attention concat": lambda v: layers.Attention(score_mode="concat")(
        [v["sequence"], v["open"], v["open"]], return_attention_scores=True
    ),
    "AdditiveAttention": lambda v: layers.AdditiveAttention()([v["open"], _masked(v)]),
    "MultiHeadAttention": lambda v: layers.MultiHeadAttention(2, 3)(
        v["open"], v["sequence"], return_attention_scores=True
    ),
    "MultiHeadAttention masked": lambda v: layers.MultiHeadAttention(2, 3, value_dim=5)(
        query=_masked(v), value=_masked(v), use_causal_mask=True
    ),
    "MultiHeadAttention causal, open": lambda v: layers.MultiHeadAttention(
        2, 3, sliding_window=2, dropout=0.1
    )(v["open"], v["open"], use_causal_mask=True),
    "MultiHeadAttention 2 axes": lambda v: layers.MultiHeadAttention(
        2, 3, attention_axes=(1, 2), use_gate=True, output_shape=5
    )(v["image"], v["image"]),
    "Model nested": lambda v: [*_nested()(v["vector"]).values()],
    "Model shared": _shared,
    "Layer of one's own": lambda v: Scale()(v["vector"]),
    "Lambda": lambda v: layers.Lambda(lambda x: ops.sum(x * 2, axis=1))(v["sequence"]),
}

ACTIVATIONS = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh",
    "tanh_shrink",
]
LAYERS |= {
    f"Activation {name}": lambda v, name=name: layers.Activation(name)(v["vector"])
    for name in ACTIVATIONS
}

_UNARY = [
    "abs",
    "arctan",
    "arcsinh",
    "ceil",
    "cos",
    "cosh",
    "deg2rad",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "isfinite",
    "isinf",
    "isnan",
    "logical_not",
    "negative",
    "rad2deg",
    "round",
    "sign",
    "sin",
    "sinh",
    "square",
    "tan",
    "tanh",
    "trunc",
    "gelu",
    "relu",
    "silu",
]
_POSITIVE = ["log", "log10", "log1p", "log2", "reciprocal", "rsqrt", "sqrt", "arccosh"]
_SMALL = ["arccos", "arcsin", "arctanh"]
_BINARY = [
    "add",
    "divide",
    "equal",
    "floor_divide",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "less",
    "less_equal",
    "logaddexp",
    "logical_and",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "not_equal",
    "subtract",
    "true_divide",
    "divide_no_nan",
    "isclose",
]
_REDUCTIONS = [
    "all",
    "any",
    "argmax",
    "argmin",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "ptp",
    "std",
    "sum",
    "var",
]

_ROWS = np.array([[1.5, -2.0, 0.5, 3.0]], "float32")

OPERATIONS = {
    **{name: lambda v, f=name: getattr(ops, f)(v["vector"]) for name in _UNARY},
    **{name: lambda v, f=name: getattr(ops, f)(ops.abs(v["vector"]) + 1.01) for name in _POSITIVE},
    **{name: lambda v, f=name: getattr(ops, f)(ops.tanh(v["vector"])) for name in _SMALL},
    **{name: lambda v, f=name: getattr(ops, f)(v["vector"], v["other"]) for name in _BINARY},
    **{
        f"{name} of axes": lambda v, f=name: getattr(ops, f)(v["image"], axis=-1)
        for name in _REDUCTIONS
    },
    **{
        f"{name} kept": lambda v, f=name: getattr(ops, f)(v["sequence"], axis=1, keepdims=True)
        for name in _REDUCTIONS
    },
    "operators": lambda v: (2 - v["vector"]) * v["other"] / 3 + v["vector"] ** 2 - abs(v["other"]),
    "operators of integers": lambda v: (v["tokens"] // 2) * 3 % 5 - 1,
    "operators of negative integers": lambda v: [(-v["tokens"]) // 3, (-v["tokens"]) % 3],
    "operators of logic": lambda v: ~((v["vector"] > 0) & (v["other"] <= 0.5)) | (v["vector"] < 1),
    "operators of booleans": lambda v: [
        (v["vector"] > 0) + (v["other"] > 0),
        (v["vector"] > 0) * (v["other"] > 0),
    ],
    "operator matmul": lambda v: v["sequence"] @ np.ones((4, 2), "float32"),
    "divide integers": lambda v: v["tokens"] / 2,
    "power": lambda v: ops.power(ops.abs(v["vector"]), 1.5),
    "constants": lambda v: ops.add(v["sequence"], _ROWS) * jnp.ones((7, 1)),
    "cast": lambda v: ops.cast(v["vector"] * 3, "int32"),
    "clip": lambda v: ops.clip(v["vector"], -0.5, 0.5),
    "nan_to_num": lambda v: ops.nan_to_num(ops.log(v["vector"]), nan=-3.0),
    "where": lambda v: ops.where(v["vector"] > 0, v["other"], -1.0),
    "sum of booleans": lambda v: ops.sum(v["vector"] > 0, axis=1),
    "count_nonzero": lambda v: ops.count_nonzero(v["tokens"], axis=1),
    "cumsum": lambda v: ops.cumsum(v["image"], axis=2),
    "norm": lambda v: ops.norm(v["vector"], axis=1, keepdims=True),
    "average": lambda v: ops.average(v["vector"], axis=1, weights=np.arange(1.0, 7.0)),
    "argmax of all": lambda v: ops.argmax(v["vector"][:1]),
    "get_item": lambda v: [
        v["image"][:, 1:-1, ::2],
        v["image"][:, 0, ..., -1],
        v["vector"][:, None, :],
        v["sequence"][:, ::-1],
        v["sequence"][..., [0, 2]],
    ],
    "reshape": lambda v: [ops.reshape(v["image"], (-1, 36)), ops.reshape(v["open"], (-1, 4))],
    "transpose": lambda v: ops.transpose(v["image"], (0, 3, 1, 2)) * 2,
    "moveaxis": lambda v: ops.moveaxis(v["image"], 1, -1),
    "swapaxes": lambda v: ops.swapaxes(v["image"], 1, 3),
    "concatenate": lambda v: ops.concatenate([v["vector"], v["other"]], axis=1),
    "concatenate constants": lambda v: ops.concatenate([v["vector"], v["vector"] * 0 + 1], axis=-1),
    "stack": lambda v: ops.stack([v["vector"], v["other"]], axis=1),
    "split": lambda v: ops.split(v["vector"], 3, axis=1),
    "unstack": lambda v: ops.unstack(v["sequence"], axis=1)[:2],
    "expand_dims": lambda v: ops.expand_dims(v["vector"], (1, -1)),
    "squeeze": lambda v: ops.squeeze(ops.expand_dims(v["vector"], 1), 1),
    "flip": lambda v: ops.flip(v["sequence"], axis=(1, 2)),
    "roll": lambda v: ops.roll(v["sequence"], 2, axis=1),
    "repeat": lambda v: ops.repeat(v["open"], 2, axis=1),
    "tile": lambda v: ops.tile(v["vector"], (1, 2)),
    "pad": lambda v: ops.pad(v["vector"], ((0, 0), (1, 2)), constant_values=1.5),
    "pad reflected": lambda v: ops.pad(
        v["open_image"], ((0, 0), (1, 2), (0, 1), (0, 0)), "reflect"
    ),
    "rearrange": lambda v: ops.rearrange(v["image"], "b (h p) w c -> b h w (p c)", p=2),
    "tril": lambda v: ops.tril(v["sequence"]),
    "triu": lambda v: ops.triu(v["sequence"], 1),
    "diff": lambda v: ops.diff(v["vector"], axis=1),
    "absolute": lambda v: ops.absolute(v["tokens"] - 4),
    "amax": lambda v: ops.amax(v["tokens"], axis=1),
    "amin": lambda v: ops.amin(v["bytes"], axis=1),
    "argsort": lambda v: ops.argsort(v["vector"]),
    "bitwise_invert": lambda v: ops.bitwise_invert(v["vector"] > 0),
    "bitwise_or": lambda v: ops.bitwise_or(v["tokens"], 5),
    "bitwise_xor": lambda v: ops.bitwise_xor(v["tokens"], 5),
    "copy": lambda v: ops.copy(v["vector"]),
    "flipud": lambda v: ops.flipud(v["vector"][:1]),
    "hard_swish": lambda v: ops.hard_swish(v["vector"]),
    "isneginf": lambda v: ops.isneginf(ops.log(v["vector"] * 0)),
    "ones_like": lambda v: ops.ones_like(v["vector"]),
    "stop_gradient": lambda v: ops.stop_gradient(v["vector"] * 2),
    "swish": lambda v: ops.swish(v["vector"]),
    "threshold": lambda v: ops.threshold(v["vector"], 0.3, -1.0),
    "zeros_like": lambda v: ops.zeros_like(v["tokens"]),
    "append": lambda v: ops.append(v["vector"], v["other"], axis=1),
    "arctan2": lambda v: ops.arctan2(v["vector"], v["other"]),
    "array_split": lambda v: ops.array_split(v["sequence"], 3, axis=1),
    "bitwise_and": lambda v: ops.bitwise_and(v["tokens"], 3),
    "bitwise_not": lambda v: ops.bitwise_not(v["tokens"]),
    "cbrt": lambda v: ops.cbrt(v["vector"]),
    "depth_to_space": lambda v: ops.depth_to_space(v["open_image"], 2),
    "erfc": lambda v: ops.erfc(v["vector"]),
    "fabs": lambda v: ops.fabs(v["vector"]),
    "fliplr": lambda v: ops.fliplr(v["image"]),
    "hstack": lambda v: ops.hstack([v["vector"], v["other"]]),
    "inner": lambda v: ops.inner(v["sequence"], np.ones((2, 4), "float32")),
    "isposinf": lambda v: ops.isposinf(1 / ops.abs(v["vector"] * 0)),
    "outer": lambda v: ops.outer(v["vector"][0], v["other"][0]),
    "ravel": lambda v: ops.ravel(v["vector"][:1]),
    "select": lambda v: ops.select([v["vector"] > 1, v["vector"] > 0], [v["other"], 2.0], -1.0),
    "sinc": lambda v: ops.sinc(v["vector"]),
    "space_to_depth": lambda v: ops.space_to_depth(v["planes"][:, :, :, 1:], 4, "channels_first"),
    "vstack": lambda v: ops.vstack([v["vector"][0], v["other"][0]]),
    "take": lambda v: ops.take(v["sequence"], np.array([0, 3, -1]), axis=1),
    "take rows": lambda v: ops.take(np.eye(9, dtype="float32"), v["tokens"], axis=0),
    "take_along_axis": lambda v: ops.take_along_axis(
        v["vector"], ops.argmax(v["other"], axis=1, keepdims=True), axis=1
    ),
    "one_hot": lambda v: ops.one_hot(v["tokens"], 9),
    "multi_hot": lambda v: ops.multi_hot(v["tokens"], num_classes=9),
    "top_k": lambda v: ops.top_k(v["vector"], 2),
    "sort": lambda v: ops.sort(v["sequence"], axis=1),
    "slice": lambda v: ops.slice(v["vector"], (0, 2), (-1, 3)),
    "broadcast_to": lambda v: ops.broadcast_to(v["vector"][:1], (3, 6)),
    "full_like": lambda v: ops.full_like(v["other"], 2.5),
    "matmul": lambda v: ops.matmul(v["sequence"], ops.transpose(v["open"], (0, 2, 1))),
    "einsum": lambda v: ops.einsum("btd,bsd->bts", v["sequence"], v["open"]),
    "einsum implicit": lambda v: ops.einsum("...ij,jk", v["sequence"], np.ones((4, 2), "float32")),
    "tensordot": lambda v: ops.tensordot(v["image"], np.ones((9, 4, 2), "float32"), axes=2),
    "dot": lambda v: ops.dot(v["sequence"], np.ones((4, 2), "float32")),
    "glu": lambda v: ops.glu(v["vector"]),
    "softmax": lambda v: [ops.softmax(v["image"], axis=1), ops.log_softmax(v["vector"])],
    "normalize": lambda v: ops.normalize(v["vector"], axis=1),
    "moments": lambda v: ops.moments(v["image"], axes=[1, 2]),
    "layer_normalization": lambda v: ops.layer_normalization(v["vector"], np.arange(6.0)),
    "rms_normalization": lambda v: ops.rms_normalization(v["vector"]),
    "batch_normalization": lambda v: ops.batch_normalization(
        v["vector"], np.arange(6.0), np.arange(1.0, 7.0), axis=1, scale=np.arange(6.0)
    ),
    "dot_product_attention": lambda v: ops.dot_product_attention(
        *([v["image"]] * 3), is_causal=True
    ),
    "conv": lambda v: ops.conv(v["image"], np.ones((3, 3, 4, 2), "float32"), 2, "same"),
    "depthwise_conv": lambda v: ops.depthwise_conv(v["image"], np.ones((3, 3, 4, 2), "float32")),
    "separable_conv": lambda v: ops.separable_conv(
        v["image"], np.ones((3, 3, 4, 1), "float32"), np.ones((1, 1, 4, 2), "float32")
    ),
    "conv_transpose": lambda v: ops.conv_transpose(
        v["image"], np.ones((3, 3, 2, 4), "float32"), 2, "same"
    ),
    "max_pool": lambda v: ops.max_pool(v["image"], 2),
    "average_pool": lambda v: ops.average_pool(v["image"], 2, padding="same"),
    "image.resize": lambda v: ops.image.resize(v["image"], (5, 12)),
}


def build(cases):
    """Return a model with all cases, and label -> the names of its outputs."""
    symbols = inputs()
    outputs, names = {}, {}
    for label, make in cases.items():
        made = make(symbols)
        made = made if isinstance(made, list | tuple) else [made]
        names[label] = [f"{label}/{index}" for index in range(len(made))]
        outputs.update(zip(names[label], made, strict=True))
    return plait.Model(symbols, outputs), names
