"""What is known to compute each row of a batch from that row alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import plait
from plait import kernels, layers, ops
from plait.training.program import trace
from plait.training.rows import are_independent


def traces(function, shape, dtype="float32"):
    """Return the step of a function of one array for batches of 3 and of 4 rows."""
    steps = []
    for rows in (3, 4):
        batch = [jax.ShapeDtypeStruct((rows, *shape), dtype)]
        with kernels.using("xla"):
            steps.append(trace(lambda state, batch, *_: ({}, function(batch[0])), [], batch))
    return steps


def model_traces(make, shape, dtype="float32"):
    x = plait.Input(shape, dtype=dtype)
    model = plait.Model(x, make(x))
    state = model.state()
    return traces(lambda x: model.apply(state, x, training=False)[0], shape, dtype)


IMAGE, STEPS, VECTOR = (8, 8, 3), (5, 4), (6,)
APART = {
    "dense": (lambda x: layers.Dense(3, activation="softmax")(x), VECTOR),
    "dense on steps": (lambda x: layers.Dense(3, activation="gelu")(x), STEPS),
    "relu": (lambda x: layers.ReLU(max_value=6)(x), VECTOR),
    "flatten": (lambda x: layers.Dense(2)(layers.Flatten()(x)), IMAGE),
    "batch normalization": (lambda x: layers.BatchNormalization()(x), IMAGE),
    "layer normalization": (lambda x: layers.LayerNormalization()(x), STEPS),
    "group normalization": (lambda x: layers.GroupNormalization(3)(x), IMAGE),
    "convolution": (lambda x: layers.Conv2D(4, 3, strides=2, padding="same")(x), IMAGE),
    "depthwise": (lambda x: layers.SeparableConv2D(4, 3)(x), IMAGE),
    "transposed": (lambda x: layers.Conv2DTranspose(4, 3, strides=2)(x), IMAGE),
    "convolution of steps": (lambda x: layers.Conv1D(4, 3, padding="causal")(x), STEPS),
    "max pooling": (lambda x: layers.MaxPooling2D()(x), IMAGE),
    "average pooling": (lambda x: layers.AveragePooling2D(3, padding="same")(x), IMAGE),
    "global pooling": (lambda x: layers.GlobalAveragePooling2D()(x), IMAGE),
    "upsampling": (lambda x: layers.UpSampling2D()(x), IMAGE),
    "padding": (lambda x: layers.ZeroPadding2D()(x), IMAGE),
    "dropout": (lambda x: layers.Dropout(0.5)(x), VECTOR),
    "lstm": (lambda x: layers.LSTM(3)(x), STEPS),
    "both ways": (lambda x: layers.Bidirectional(layers.GRU(3, return_sequences=True))(x), STEPS),
    "attention": (lambda x: layers.MultiHeadAttention(2, 4)(x, x), STEPS),
    "each step": (lambda x: layers.TimeDistributed(layers.Dense(2))(x), STEPS),
    "merging": (lambda x: layers.concatenate([x, layers.Dense(6)(x) * x]), VECTOR),
    "slices": (lambda x: x[:, 1:3] + x[:, -2:], VECTOR),
    "sorted": (lambda x: ops.sort(x, axis=-1), VECTOR),
    "largest": (lambda x: ops.top_k(x, 2)[0], VECTOR),
    "sums": (lambda x: ops.cumsum(x, axis=1) / ops.max(x, axis=1, keepdims=True), VECTOR),
    "permuted": (lambda x: layers.Permute((2, 1))(x), STEPS),
}  # fmt: skip


@pytest.mark.parametrize("name", APART)
def test_layers_that_keep_rows_apart(name):
    make, shape = APART[name]
    assert are_independent(*model_traces(make, shape))


def test_lookups_keep_rows_apart():
    assert are_independent(*model_traces(layers.Embedding(9, 4), (7,), "int32"))
    assert are_independent(
        *traces(lambda x: jnp.take_along_axis(x, x.astype(int).argmax(1)[:, None], 1), VECTOR)
    )


MIXING = {
    "a mean of the batch": lambda x: x - x.mean(0),
    "the first row": lambda x: x - x[0],
    "the other way round": lambda x: x[::-1],
    "softmax over rows": lambda x: jax.nn.softmax(x, axis=0),
    "a running sum over rows": lambda x: jnp.cumsum(x, axis=0),
    "sorted rows": lambda x: jnp.sort(x, axis=0),
    "every row with every row": lambda x: x @ x.T,
    "weights from all rows": lambda x: x @ (x.T @ x),
    "the number of rows": lambda x: x * x.shape[0],
    "numbers made of it": lambda x: x * np.linspace(0, 1, x.shape[0])[:, None],
    "noise": lambda x: x + jax.random.normal(jax.random.key(0), x.shape),
    "shifted rows": lambda x: jnp.roll(x, 1, axis=0),
    "rows behind each other": lambda x: jnp.concatenate([x, x])[: x.shape[0]],
    "rows as features": lambda x: x.reshape(2, -1).T.reshape(x.shape),
    "a recurrence over rows": lambda x: jax.lax.scan(lambda c, r: (c + r, c), x[0] * 0, x)[1],
    "chosen by all rows": lambda x: jax.lax.cond(x.sum() > 0, lambda: x, lambda: -x),
    "another program for some sizes": lambda x: x + x * 2 if x.shape[0] > 3 else x * 2 + x * 2,
    "a row less": lambda x: x[1:],
    "no rows": lambda x: x.sum(),
    "written rows": lambda x: x.at[0].set(1.0),
}


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_rows_is_noticed(name):
    assert not are_independent(*traces(MIXING[name], VECTOR))
