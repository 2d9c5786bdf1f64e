import warnings

import jax
import keras
import numpy as np
import pytest
from check_layer import check_layer

import plait
from plait import layers
from plait.graph.tensor import SymbolicTensor


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


Q, V, K = data(3, 4, 6), data(3, 5, 6, seed=1), data(3, 5, 6, seed=2)
Q_MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)
V_MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], bool)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("Attention", {}),
        ("Attention", {"use_scale": True, "seed": 1}),
        ("Attention", {"score_mode": "concat"}),
        ("Attention", {"score_mode": "concat", "use_scale": True}),
        ("AdditiveAttention", {}),
        ("AdditiveAttention", {"use_scale": False}),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        {},
        {"mask": [Q_MASK, V_MASK], "use_causal_mask": True},
        {"mask": [None, V_MASK, V_MASK], "return_attention_scores": True},
    ],
    ids=["plain", "masked", "scores"],
)
def test_attention_is_keras(name, config, call):
    inputs = [Q, V] if call else [Q, V, K]
    check_layer(
        lambda: getattr(layers, name)(**config),
        lambda: getattr(keras.layers, name)(**config),
        inputs,
        call_kwargs=call,
        leave_out=("kwargs",),
    )


@pytest.mark.parametrize(
    ("config", "inputs", "call"),
    [
        ({}, (Q, V), {}),
        ({"use_bias": False}, (Q, V, K), {}),
        ({"value_dim": 5, "output_shape": 7}, (Q, V), {"return_attention_scores": True}),
        ({"output_shape": (2, 3), "dropout": 0.1}, (Q, V), {}),
        ({"use_gate": True}, (Q, V), {"use_causal_mask": True}),
        ({"sliding_window": 2}, (Q, V), {"use_causal_mask": True}),
        ({"dropout": 0.5}, (Q, V), {"use_causal_mask": True, "value_mask": V_MASK}),
        (
            {},
            (Q, V),
            {
                "value_mask": V_MASK,
                "key_mask": V_MASK[::-1].copy(),
                "attention_mask": np.tril(np.ones((3, 4, 5), bool), 1),
            },
        ),
        (
            {},
            (Q, V),
            {
                "attention_mask": np.tril(np.ones((3, 2, 4, 5), bool), 1),
                "return_attention_scores": True,
            },
        ),
        ({"kernel_regularizer": "l2", "bias_initializer": "ones"}, (Q, data(3, 5, 2)), {}),
        ({}, (data(2, 3, 4, 6), data(2, 3, 4, 6, seed=1)), {}),
        (
            {"attention_axes": 2},
            (data(2, 3, 4, 6), data(2, 3, 5, 6, seed=1)),
            {"return_attention_scores": True},
        ),
        ({"attention_axes": (-2,)}, (data(2, 3, 4, 6), data(2, 3, 4, 6, seed=1)), {}),
    ],
)
def test_multi_head_attention_is_keras(config, inputs, call):
    config = {"num_heads": 2, "key_dim": 4, **config}
    layer, oracle = check_layer(
        lambda: layers.MultiHeadAttention(**config),
        lambda: keras.layers.MultiHeadAttention(**config),
        *inputs,
        call_kwargs=call,
        training=(False,) if config.get("dropout") else (False, True),
    )
    ours = [path for path in layer.state() if "/" in path]
    assert ours == ["/".join(w.path.split("/")[-2:]) for w in oracle.weights]
    losses = [float(a) for a in layer.regularization_losses()]
    np.testing.assert_allclose(losses, [float(a) for a in oracle.losses], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scores", [False, True])
def test_masks_that_come_with_tensors_are_seen_as_by_keras(scores):
    ids = np.array([[1, 2, 3, 0], [4, 0, 0, 0]])
    config = {"num_heads": 2, "key_dim": 4}
    embed, attend = layers.Embedding(5, 6, mask_zero=True), layers.MultiHeadAttention(**config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = embed(ids)
        ours = attend(x, x, return_attention_scores=scores)
    oracle_embed = keras.layers.Embedding(5, 6, mask_zero=True)
    oracle = keras.layers.MultiHeadAttention(**config)
    y = oracle_embed(ids)
    oracle(y, y)
    oracle_embed.set_weights(embed.get_weights())
    oracle.set_weights(attend.get_weights())
    y = oracle_embed(ids)
    theirs = oracle(y, y, return_attention_scores=scores)
    for a, b in zip(*((o if scores else [o]) for o in (ours, theirs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(plait.core.masks.attached(ours[0] if scores else ours), ids != 0)


def test_a_mask_for_each_head_goes_with_one_for_all():
    layer = layers.MultiHeadAttention(2, 4)
    each = np.tril(np.ones((3, 2, 4, 5), bool), 1)
    arguments = {"value_mask": V_MASK, "return_attention_scores": True}
    weights = layer(Q, V, attention_mask=each, **arguments)[1]
    np.testing.assert_array_equal(weights > 0, each & V_MASK[:, None, None])
    images = data(2, 3, 4, 6)
    layer = layers.MultiHeadAttention(2, 4, attention_axes=2)
    weights = layer(images, images, use_causal_mask=True, return_attention_scores=True)[1]
    np.testing.assert_array_equal(weights > 0, np.broadcast_to(np.tri(4) > 0, weights.shape))


def test_an_explicit_query_mask_is_that_of_the_tensor():
    layer = layers.MultiHeadAttention(2, 4)
    weights = layer(Q, V, query_mask=Q_MASK, return_attention_scores=True)[1]
    np.testing.assert_allclose(weights.sum(-1), np.repeat(Q_MASK[:, None], 2, 1), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "mixed_bfloat16"])
def test_masked_attention_in_half_precision_is_finite(dtype):
    for make, args, masks in [
        (lambda: layers.Attention(dtype=dtype), ([Q, V],), {"mask": [Q_MASK, V_MASK]}),
        (lambda: layers.MultiHeadAttention(2, 4, dtype=dtype), (Q, V), {"value_mask": V_MASK}),
    ]:
        assert np.isfinite(np.asarray(make()(*args, **masks), "float32")).all()


@pytest.mark.parametrize(
    "make", [lambda **c: layers.Attention(**c), lambda **c: layers.MultiHeadAttention(2, 4, **c)]
)
def test_dropout_drops_weights_in_training_only(make):
    layer = make(dropout=0.5, seed=3)
    args = (Q, V) if isinstance(layer, layers.MultiHeadAttention) else ([Q, V],)
    np.testing.assert_array_equal(layer(*args), layer(*args))
    assert np.abs(layer(*args, training=True) - layer(*args, training=True)).max() > 1e-3
    state = layer.state()
    once, again = (
        layer.apply(state, *args, training=True, rng=jax.random.key(7))[0] for _ in range(2)
    )
    np.testing.assert_array_equal(once, again)


def test_a_projection_regularizer_adds_one_loss_for_each_projection():
    config = {"num_heads": 2, "key_dim": 4, "activity_regularizer": "l2"}
    layer, oracle = layers.MultiHeadAttention(**config), keras.layers.MultiHeadAttention(**config)
    layer(Q, V)
    oracle(Q, V)
    oracle.set_weights(layer.get_weights())
    layer(Q, V)
    oracle(Q, V)
    np.testing.assert_allclose(
        sorted(map(float, layer.losses)), sorted(map(float, oracle.losses)), rtol=1e-5
    )


def test_symbolic_scores_have_the_keys_last():
    query, value = SymbolicTensor((None, 4, 6)), SymbolicTensor((None, None, 6))
    outputs, scores = layers.MultiHeadAttention(2, 4)(query, value, return_attention_scores=True)
    assert (outputs.shape, scores.shape) == ((None, 4, 6), (None, 2, 4, None))
    outputs, scores = layers.Attention()([query, value], return_attention_scores=True)
    assert (outputs.shape, scores.shape) == ((None, 4, 6), (None, 4, None))


def test_configurations_that_keras_writes_are_read():
    for name, config in [
        ("Attention", {}),
        ("AdditiveAttention", {}),
        ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "attention_axes": [1]}),
    ]:
        written = getattr(keras.layers, name)(**config).get_config()
        read = getattr(layers, name).from_config(written)
        assert all(read.get_config()[key] == value for key, value in config.items())


MHA = layers.MultiHeadAttention


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: MHA(0, 4),
            plait.errors.ConfigError,
            "MultiHeadAttention: num_heads must be a pos",
        ),
        (lambda: MHA(2, -1), plait.errors.ConfigError, "key_dim must be"),
        (lambda: MHA(2, 4, value_dim=0), plait.errors.ConfigError, "value_dim must be"),
        (lambda: MHA(2, 4, dropout=1.5), plait.errors.ConfigError, "dropout must be between 0"),
        (lambda: MHA(2, 4, sliding_window=0), plait.errors.ConfigError, "sliding_window must"),
        (lambda: MHA(2, 4, attention_axes="1"), plait.errors.ConfigError, "attention_axes is"),
        (lambda: MHA(2, 4, attention_axes=2)(Q, V), plait.errors.ShapeError, "attend over axis 2"),
        (lambda: MHA(2, 4)(Q, V[0]), plait.errors.ShapeError, r"cannot attend from \(3, 4, 6\) to"),
        (lambda: MHA(2, 4)(Q, V, K[:, 1:]), plait.errors.ShapeError, "one key for each value"),
        (
            lambda: MHA(2, 4)(data(2, 3, 4, 6), data(2, 3, 4, 6), use_causal_mask=True),
            plait.errors.ShapeError,
            "attends over 2 axes at once",
        ),
        (lambda: MHA(2, 4)(Q), plait.errors.ArgumentTypeError, "value"),
        (lambda: layers.Attention(score_mode="mul"), plait.errors.ConfigError, "'dot' or 'concat'"),
        (lambda: layers.Attention(dropout=-1), plait.errors.ConfigError, "dropout must be"),
        (lambda: layers.Attention()(Q), plait.errors.ArgumentTypeError, "a list of two or three"),
        (lambda: layers.Attention()([Q]), plait.errors.ArgumentTypeError, "a list of two or three"),
        (
            lambda: layers.Attention()([Q, data(3, 5, 7)]),
            plait.errors.ShapeError,
            r"(?s)Attention 'attention\w*' .*cannot compare query \(3, 4, 6\) with key \(3, 5, 7\)"
            r".*Fix: project one first: query = layers.Dense\(7\)\(query\)",
        ),
        (
            lambda: layers.AdditiveAttention()([Q, V, K[:, 1:]]),
            plait.errors.ShapeError,
            "has 4 keys for 5 values",
        ),
        (
            lambda: layers.Attention()([Q, V], mask=V_MASK),
            plait.errors.ArgumentTypeError,
            "masks as a list",
        ),
    ],
)
def test_bad_input_is_named(make, error, text):
    with pytest.raises(error, match=text):
        make()
