"""Every layer that files must hold, with arguments and inputs; the data of tests and of the docs.

A case is (class name, arguments, shapes of the inputs without the batch). Several shapes mean one
list of tensors, `Several` several arguments. `WRAPPED` builds arguments that hold layers.
"""

import numpy as np

VECTOR, STEPS, IMAGE, VOLUME = (6,), (5, 4), (8, 8, 3), (4, 4, 4, 2)
TOKENS = "tokens"


class Several(tuple):
    """Shapes of several arguments."""


CASES = [
    # core
    ("Dense", {"units": 3, "activation": "relu", "kernel_regularizer": "l2"}, VECTOR),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 3), "bias_axes": "d"},
     STEPS),
    ("Embedding", {"input_dim": 9, "output_dim": 3, "mask_zero": True}, TOKENS),
    ("Identity", {}, VECTOR),
    ("Activation", {"activation": "gelu"}, VECTOR),
    ("Masking", {"mask_value": 0.5}, STEPS),
    # activations
    ("ReLU", {"max_value": 4.0, "negative_slope": 0.1, "threshold": 0.2}, VECTOR),
    ("LeakyReLU", {"negative_slope": 0.2}, VECTOR),
    ("PReLU", {"shared_axes": [1]}, STEPS),
    ("ELU", {"alpha": 0.5}, VECTOR),
    ("Softmax", {"axis": 1}, STEPS),
    # convolutions
    ("Conv1D", {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}, STEPS),
    ("Conv2D", {"filters": 6, "kernel_size": (3, 2), "strides": 2, "groups": 3}, IMAGE),
    ("Conv3D", {"filters": 2, "kernel_size": 2, "padding": "same"}, VOLUME),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2}, STEPS),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    ("Conv3DTranspose", {"filters": 2, "kernel_size": 2}, VOLUME),
    ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2}, STEPS),
    ("DepthwiseConv2D", {"kernel_size": 3, "padding": "same"}, IMAGE),
    ("SeparableConv1D", {"filters": 3, "kernel_size": 3}, STEPS),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 3, "depth_multiplier": 2}, IMAGE),
    # pooling
    *[
        (f"{kind}Pooling{n}D", {"pool_size": 2, "padding": "same"}, shape)
        for kind in ("Max", "Average")
        for n, shape in ((1, STEPS), (2, IMAGE), (3, VOLUME))
    ],
    *[
        (f"Global{kind}Pooling{n}D", {"keepdims": n == 2}, shape)
        for kind in ("Max", "Average")
        for n, shape in ((1, STEPS), (2, IMAGE), (3, VOLUME))
    ],
    # normalization
    ("BatchNormalization", {"momentum": 0.9, "scale": False}, IMAGE),
    ("LayerNormalization", {"axis": (1, 2)}, STEPS),
    ("GroupNormalization", {"groups": 2}, STEPS),
    ("RMSNormalization", {}, VECTOR),
    ("UnitNormalization", {}, VECTOR),
    ("Normalization", {"mean": 0.5, "variance": 2.0}, VECTOR),
    ("SpectralNormalization", {}, VECTOR),
    # regularization
    ("Dropout", {"rate": 0.5, "seed": 3}, VECTOR),
    ("SpatialDropout1D", {"rate": 0.5}, STEPS),
    ("SpatialDropout2D", {"rate": 0.5}, IMAGE),
    ("SpatialDropout3D", {"rate": 0.5}, VOLUME),
    ("AlphaDropout", {"rate": 0.5}, VECTOR),
    ("GaussianDropout", {"rate": 0.5}, VECTOR),
    ("GaussianNoise", {"stddev": 0.5}, VECTOR),
    ("ActivityRegularization", {"l1": 0.1}, VECTOR),
    # shapes
    ("Flatten", {}, IMAGE),
    ("Reshape", {"target_shape": (-1, 2)}, VECTOR),
    ("Permute", {"dims": (2, 1)}, STEPS),
    ("RepeatVector", {"n": 3}, VECTOR),
    ("Cropping1D", {"cropping": (1, 2)}, STEPS),
    ("Cropping2D", {"cropping": ((1, 0), (2, 1))}, IMAGE),
    ("Cropping3D", {"cropping": 1}, VOLUME),
    ("ZeroPadding1D", {"padding": (1, 2)}, STEPS),
    ("ZeroPadding2D", {"padding": ((1, 0), (2, 1))}, IMAGE),
    ("ZeroPadding3D", {"padding": 1}, VOLUME),
    ("UpSampling1D", {"size": 2}, STEPS),
    ("UpSampling2D", {"size": (2, 3), "interpolation": "bilinear"}, IMAGE),
    ("UpSampling3D", {"size": 2}, VOLUME),
    # merging
    *[
        (name, {}, [VECTOR, VECTOR])
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    ],
    ("Concatenate", {"axis": 1}, [STEPS, STEPS]),
    ("Dot", {"axes": 2, "normalize": True}, [STEPS, STEPS]),
    # attention
    ("Attention", {"use_scale": True}, [STEPS, STEPS]),
    ("AdditiveAttention", {}, [STEPS, STEPS]),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, Several([STEPS, STEPS])),
    ("GroupQueryAttention", {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
     Several([STEPS, STEPS])),
    # recurrent
    ("LSTM", {"units": 3, "return_sequences": True, "dropout": 0.1}, STEPS),
    ("GRU", {"units": 3, "reset_after": False}, STEPS),
    ("SimpleRNN", {"units": 3, "go_backwards": True}, STEPS),
    ("RNN", {}, STEPS),
    ("Bidirectional", {"merge_mode": "sum"}, STEPS),
    ("TimeDistributed", {}, STEPS),
    ("ConvLSTM1D", {"filters": 2, "kernel_size": 3}, (3, 5, 4)),
    ("ConvLSTM2D", {"filters": 2, "kernel_size": 3}, (3, 6, 6, 2)),
    ("ConvLSTM3D", {"filters": 2, "kernel_size": 2}, (2, 4, 4, 4, 2)),
    # preprocessing
    ("Rescaling", {"scale": 0.5, "offset": 1.0}, IMAGE),
    ("CategoryEncoding", {"num_tokens": 9, "output_mode": "multi_hot"}, TOKENS),
    ("CenterCrop", {"height": 4, "width": 5}, IMAGE),
    ("Resizing", {"height": 4, "width": 5}, IMAGE),
    ("Discretization", {"bin_boundaries": [-0.5, 0.0, 0.5]}, VECTOR),
]  # fmt: skip

WRAPPED = {
    "SpectralNormalization": lambda lib: {"layer": lib.layers.Dense(3)},
    "RNN": lambda lib: {"cell": [lib.layers.LSTMCell(2), lib.layers.GRUCell(3)]},
    "Bidirectional": lambda lib: {"layer": lib.layers.LSTM(3, return_sequences=True)},
    "TimeDistributed": lambda lib: {"layer": lib.layers.Dense(3)},
}

# Classes that are parts of other layers or bases of them, other names of a class here, or that
# these files cannot hold, with the reason.
ELSEWHERE = {
    "Layer": "a base",
    "Wrapper": "a base",
    "InputLayer": "in every model",
    "InputSpec": "no layer",
    "Lambda": "a test of its own",
    "StackedRNNCells": "in RNN",
    "LSTMCell": "in RNN",
    "GRUCell": "in RNN",
    "SimpleRNNCell": "in SimpleRNN",
}


def make(lib, name, config):
    """Return the layer of a case, of plait or of Keras."""
    wrapped = WRAPPED.get(name)
    return getattr(lib.layers, name)(**config, **(wrapped(lib) if wrapped else {}))


def shapes_of(shapes):
    """Return the shapes of a case as a list."""
    return list(shapes) if isinstance(shapes, list | Several) else [shapes]


def data(shape, batch=4, seed=0):
    """Return an array for an input."""
    rng = np.random.default_rng(seed)
    if shape == TOKENS:
        return rng.integers(0, 9, (batch, 5)).astype("int32")
    return rng.normal(size=(batch, *shape)).astype("float32")


def model(lib, cases, inputs=None):
    """Return a model with an output for each case, and arrays for its inputs."""
    arrays, tensors = {}, {}

    def tensor(shape, index):
        key = f"{'x'.join(map(str, shape)) if shape != TOKENS else shape}_{index}"
        if key not in tensors:
            arrays[key] = data(shape, seed=index)
            tokens = shape == TOKENS
            tensors[key] = lib.Input((5,) if tokens else shape, name=f"in_{key}",
                                     dtype="int32" if tokens else None)  # fmt: skip
        return tensors[key]

    outputs = {}
    for number, (name, config, shapes) in enumerate(cases):
        given = [tensor(shape, index) for index, shape in enumerate(shapes_of(shapes))]
        layer = make(lib, name, config)
        args = given if isinstance(shapes, Several) else [given if len(given) > 1 else given[0]]
        outputs[f"{number}_{name}"] = layer(*args)
    return lib.Model(list(tensors.values()), outputs), list(arrays.values())
