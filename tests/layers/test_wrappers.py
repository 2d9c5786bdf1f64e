import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from plait import layers
from plait.core.walk import variables_by_path
from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.graph import tree
from plait.graph.tensor import SymbolicTensor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4)).astype("float32")
IMAGES = RNG.normal(size=(2, 3, 5, 5, 2)).astype("float32")
MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1]], bool)


def gradients(layer, x, training, call):
    """Return gradients by trainable variables and by the input, of plait's layer or of Keras'."""
    trainable = [v.value for v in layer.trainable_variables]
    others = [v.value for v in layer.non_trainable_variables]

    def loss(values, x):
        outputs, _ = layer.stateless_call(values, others, x, training=training, **call)
        return sum(jnp.sum(jnp.sin(output)) for output in jax.tree.leaves(outputs))

    return jax.tree.leaves(jax.jit(jax.grad(loss, argnums=(0, 1)))(trainable, jnp.asarray(x)))


def agree(layer, oracle, x, training=False, **call):
    """Hold outputs, gradients, shapes and variables of a layer against those of Keras' layer."""
    symbolic = tree.map_structure(
        lambda a: SymbolicTensor((None, None, *a.shape[2:]), str(a.dtype)), x
    )
    said = tree.flatten(layer(symbolic))
    oracle.build(x.shape)
    rng = np.random.default_rng(2)
    weights = [rng.uniform(0.1, 0.5, v.shape).astype("float32") for v in layer.variables]
    layer.set_weights(weights)
    oracle.set_weights(weights)
    arrays = tree.map_structure(lambda v: jnp.asarray(v) if isinstance(v, np.ndarray) else v, call)
    for a, b in zip(
        gradients(layer, x, training, arrays), gradients(oracle, x, training, arrays), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    ours = tree.flatten(layer(x, training=training, **call))
    theirs = tree.flatten(oracle(x, training=training, **arrays))
    assert len(ours) == len(theirs) == len(said)
    for a, b, spec in zip(ours, theirs, said, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert all(size in (None, have) for size, have in zip(spec.shape, a.shape, strict=True))
    for a, b in zip(layer.get_weights(), oracle.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    again = layer.from_config(layer.get_config())
    again.build(x.shape)
    assert again.get_config() == layer.get_config()
    assert [v.shape for v in again.variables] == [v.shape for v in layer.variables]


def states(count):
    rng = np.random.default_rng(1)
    return [rng.normal(size=(3, 6)).astype("float32") for _ in range(count)]


@pytest.mark.parametrize(
    ("kind", "config", "wrapper", "call"),
    [
        ("LSTM", {}, {}, {}),
        ("LSTM", {"return_sequences": True}, {}, {"mask": MASK}),
        ("LSTM", {"return_sequences": True, "return_state": True}, {"merge_mode": None}, {}),
        ("LSTM", {"return_state": True}, {"merge_mode": "sum"}, {"initial_state": states(4)}),
        ("GRU", {"return_sequences": True}, {"merge_mode": "mul"}, {"mask": MASK}),
        ("GRU", {}, {"merge_mode": "ave"}, {"mask": MASK}),
        ("SimpleRNN", {"return_sequences": True}, {"merge_mode": None}, {"mask": MASK}),
    ],
)
def test_bidirectional_computes_what_keras_computes(kind, config, wrapper, call):
    def make(module):
        return module.Bidirectional(getattr(module, kind)(6, **config), **wrapper)

    agree(make(layers), make(keras.layers), X, **call)


def test_a_backward_layer_of_ones_own():
    def make(module):
        backward = module.GRU(3, go_backwards=True, return_sequences=True)
        forward = module.LSTM(6, return_sequences=True)
        return module.Bidirectional(forward, backward_layer=backward, merge_mode=None)

    layer, oracle = make(layers), make(keras.layers)
    layer.build(X.shape)
    oracle.build(X.shape)
    oracle.set_weights(layer.get_weights())
    for a, b in zip(layer(X), oracle(X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_both_directions_have_names_and_weights_of_their_own():
    layer = layers.Bidirectional(layers.LSTM(6, name="lstm", stateful=True))
    layer.build(X.shape)
    paths = [path for path in variables_by_path(layer) if "rnn_state" not in path]
    assert paths[0] == "forward_lstm/lstm_cell/kernel"
    assert paths[-1] == "backward_lstm/lstm_cell/bias"
    first, second = layer(X), layer(X)
    assert not np.allclose(first, second)
    layer.reset_states()
    np.testing.assert_allclose(layer(X), first, rtol=1e-5, atol=1e-6)
    assert len(layer.states) == 4
    weights = [np.full(v.shape, i) for i, v in enumerate(layer.trainable_variables)]
    given = layers.Bidirectional(layers.LSTM(6), weights=weights)
    given.build(X.shape)
    assert [float(v.numpy().flat[0]) for v in given.variables] == [0, 1, 2, 3, 4, 5]


def test_masks_pass_through_bidirectional():
    def outputs(**config):
        x = np.where(MASK[..., None], X, 0)
        return layers.Bidirectional(layers.LSTM(6, name="lstm", **config))(layers.Masking()(x))

    np.testing.assert_array_equal(np.asarray(outputs(return_sequences=True))[~MASK], 0)


def time_distributed(inner):
    return lambda module: module.TimeDistributed(inner(module))


@pytest.mark.parametrize(
    ("inner", "x", "training"),
    [
        (lambda m: m.Dense(3, activation="tanh"), X, False),
        (lambda m: m.Conv2D(3, 2), IMAGES, False),
        (lambda m: m.Flatten(), IMAGES, False),
        (lambda m: m.BatchNormalization(), X, True),
        (lambda m: m.BatchNormalization(), X, False),
        (lambda m: m.TimeDistributed(m.Dense(2)), IMAGES[..., 0], False),
        (lambda m: m.LSTM(3), IMAGES[..., 0], False),
    ],
)
def test_time_distributed_computes_what_keras_computes(inner, x, training):
    agree(layers.TimeDistributed(inner(layers)), keras.layers.TimeDistributed(inner(keras.layers)),
          x, training)  # fmt: skip


def test_the_layer_within_gets_the_mask_of_its_step():
    x = IMAGES[..., 0]
    mask = RNG.uniform(size=x.shape[:3]) > 0.3
    ours, theirs = layers.LSTM(3), keras.layers.LSTM(3)
    agree(layers.TimeDistributed(ours), keras.layers.TimeDistributed(theirs), x, mask=mask)
    with pytest.raises(ShapeError, match=r"needs a mask that begins with \(2, 3\), received"):
        layers.TimeDistributed(layers.LSTM(3))(x, mask=mask[:, :2])


def test_rows_do_not_mix_over_time_and_steps_draw_on_their_own():
    centred = layers.TimeDistributed(layers.Lambda(lambda x: x - jnp.mean(x, axis=0)))
    np.testing.assert_allclose(centred(X), X - X.mean(0), rtol=1e-5, atol=1e-6)
    dropped = np.asarray(
        layers.TimeDistributed(layers.Dropout(0.5))(np.ones((4, 3, 50)), training=True)
    )
    assert not np.array_equal(dropped[:, 0], dropped[:, 1])
    assert set(np.unique(dropped)) == {0.0, 2.0}


def test_losses_within_add_up_over_time():
    layer = layers.TimeDistributed(layers.ActivityRegularization(l2=1.0))
    layer(X, training=True)
    assert float(sum(layer.losses)) == pytest.approx(float((X**2).sum()) / 3, rel=1e-4)


def test_integers_stay_integers():
    layer = layers.TimeDistributed(layers.Flatten())
    assert layer(SymbolicTensor((None, None, 2, 3), "int32")).dtype == "int32"
    assert layer(SymbolicTensor((None, None, 2, 3), "int32")).shape == (None, None, 6)
    embedded = layers.TimeDistributed(layers.Embedding(10, 4))
    assert embedded(np.ones((2, 3, 5), "int32")).shape == (2, 3, 5, 4)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: layers.TimeDistributed(3),
            ArgumentTypeError,
            "layer is a layer; received an object of type int",
        ),
        (
            lambda: layers.TimeDistributed(layers.Dense),
            ArgumentTypeError,
            "received the class Dense",
        ),
        (lambda: layers.TimeDistributed(layers.Dense(2))(X[:, 0]), ShapeError, "at least 3 axes"),
        (
            lambda: layers.Bidirectional("lstm"),
            ArgumentTypeError,
            "layer is a layer; received an object of type str",
        ),
        (
            lambda: layers.Bidirectional(layers.LSTM(2), backward_layer=3),
            ArgumentTypeError,
            "backward_layer is a layer",
        ),
        (
            lambda: layers.Bidirectional(layers.LSTM(2), merge_mode="max"),
            ConfigError,
            "merge_mode is 'concat'.* received 'max'",
        ),
        (
            lambda: layers.Bidirectional(layers.LSTM(2), backward_layer=layers.LSTM(2)),
            ConfigError,
            "need different go_backwards",
        ),
        (
            lambda: layers.Bidirectional(
                layers.LSTM(2), backward_layer=layers.LSTM(2, go_backwards=True, stateful=True)
            ),
            ConfigError,
            "need the same stateful; received False and True",
        ),
        (
            lambda: layers.Bidirectional(layers.Dense(2)),
            ConfigError,
            "Dense 'dense.*' has no go_back",
        ),
        (
            lambda: layers.Bidirectional(layers.LSTM(6))(X, initial_state=states(3)),
            ShapeError,
            "needs initial states for both directions",
        ),
        (lambda: layers.Bidirectional(layers.LSTM(6))(X[0]), ShapeError, "3 axes, received 2"),
    ],
)
def test_bad_input_is_named(make, error, text):
    with pytest.raises(error, match=text):
        make()
