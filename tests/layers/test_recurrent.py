import sys

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from check_layer import check_layer, check_signature

from plait.core import random
from plait.core.layer import Layer
from plait.core.walk import variables_by_path
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import SymbolicTensor
from plait.layers.cells import GRUCell, LSTMCell, SimpleRNNCell
from plait.layers.recurrent import RNN
from plait.layers.recurrent_layers import GRU, LSTM, SimpleRNN
from plait.layers.stacked_cells import StackedRNNCells

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4)).astype("float32")
MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1]], bool)
LAYERS = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": SimpleRNN}
CELLS = {"LSTM": LSTMCell, "GRU": GRUCell, "SimpleRNN": SimpleRNNCell}


def states(count, units=6):
    rng = np.random.default_rng(1)
    return [rng.normal(size=(3, units)).astype("float32") for _ in range(count)]


ALL = {"return_sequences": True, "return_state": True}
CASES = [
    ("LSTM", {}, {}),
    ("LSTM", ALL, {}),
    ("LSTM", {**ALL, "go_backwards": True}, {"initial_state": states(2)}),
    ("LSTM", {**ALL, "go_backwards": True}, {"mask": MASK}),
    ("LSTM", {**ALL, "zero_output_for_mask": True}, {"mask": MASK, "initial_state": states(2)}),
    ("LSTM", {"zero_output_for_mask": True}, {"mask": MASK}),
    ("LSTM", {**ALL, "unroll": True}, {"mask": MASK}),
    ("LSTM", {"use_bias": False, "activation": "relu", "recurrent_activation": None}, {}),
    ("LSTM", {"unit_forget_bias": False, "activity_regularizer": "l2"}, {"mask": MASK}),
    ("LSTM", {"implementation": 1, "kernel_regularizer": "l1", "use_cudnn": False}, {}),
    ("GRU", {}, {}),
    ("GRU", {**ALL, "go_backwards": True}, {"mask": MASK, "initial_state": states(1)}),
    ("GRU", {**ALL, "reset_after": False}, {"mask": MASK, "initial_state": states(1)[0]}),
    ("GRU", {"reset_after": False, "use_bias": False, "unroll": True}, {}),
    ("GRU", {"use_bias": False, "implementation": 1, "go_backwards": True}, {}),
    ("SimpleRNN", {}, {"mask": MASK}),
    ("SimpleRNN", {**ALL, "go_backwards": True, "activation": "relu"}, {}),
    ("SimpleRNN", {**ALL, "use_bias": False}, {"initial_state": states(1)}),
]


def _run(apply, weights, call):
    """Return outputs and gradients by weights, inputs and initial states, from one compilation."""
    mask = call.get("mask")
    given = {k: jax.tree.map(jnp.asarray, v) for k, v in call.items() if k != "mask"}

    def loss(weights, x, given):
        outputs = apply(weights, x, mask=mask, **given)
        return sum(jnp.sum(jnp.sin(3 * leaf)) for leaf in jax.tree.leaves(outputs)), outputs

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))
    (_, outputs), grads = run(weights, jnp.asarray(X), given)
    return jax.tree.leaves(outputs), jax.tree.leaves(grads)


def agree(layer, oracle, call):
    layer.build(X.shape)
    oracle.build(X.shape)
    paths = list(variables_by_path(layer))
    rng = np.random.default_rng(2)
    weights = [rng.normal(0, 0.4, v.shape).astype("float32") for v in layer.variables]
    others = [v.value for v in oracle.non_trainable_variables]
    ours = _run(lambda w, *a, **k: layer.apply(dict(zip(paths, w)), *a, **k)[0], weights, call)
    theirs = _run(lambda w, *a, **k: oracle.stateless_call(w, others, *a, **k)[0], weights, call)
    for what, actual, expected in zip(("outputs", "gradients"), ours, theirs, strict=True):
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5, err_msg=what)


def keras_layer(kind, *args, **config):
    return getattr(keras.layers, kind)(*args, **config)


@pytest.mark.parametrize(("kind", "config", "call"), CASES)
def test_layers_compute_what_keras_computes(kind, config, call):
    agree(LAYERS[kind](6, **config), keras_layer(kind, 6, **config), call)


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_from_all_sides(kind):
    layer, oracle = check_layer(
        lambda: LAYERS[kind](6, return_sequences=True),
        lambda: keras_layer(kind, 6, return_sequences=True),
        X,
        training=(False,),
        gradients=False,
    )
    cell = oracle.cell.name
    assert list(variables_by_path(layer))[:2] == [f"{cell}/kernel", f"{cell}/recurrent_kernel"]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_cells_are_those_of_keras(kind):
    ours, theirs = CELLS[kind](6), getattr(keras.layers, f"{kind}Cell")(6)
    check_signature(type(ours), type(theirs))
    given = states(2 if kind == "LSTM" else 1)
    output, new = ours(X[:, 0], given)
    theirs(jnp.asarray(X[:, 0]), [jnp.asarray(s) for s in given])
    theirs.set_weights(ours.get_weights())
    expected, expected_new = theirs(jnp.asarray(X[:, 0]), [jnp.asarray(s) for s in given])
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    for a, b in zip(new, expected_new, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def _custom(base):
    """Return a cell class, the same for plait's `Layer` and Keras'."""

    class Leaky(base):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = self.state_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(
                shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
            )
            self.built = True

        def call(self, inputs, states):
            new = 0.7 * states[0] + inputs @ self.kernel
            return new, [new]

    return Leaky


Leaky = _custom(Layer)
KerasLeaky = _custom(keras.layers.Layer)


def test_a_cell_of_ones_own_runs_as_in_keras():
    for config, call in [
        ({**ALL, "go_backwards": True}, {"mask": MASK, "initial_state": states(1)}),
        ({"return_sequences": True, "zero_output_for_mask": True}, {"mask": MASK}),
    ]:
        agree(RNN(Leaky(6), **config), keras.layers.RNN(KerasLeaky(6), **config), call)


@pytest.mark.parametrize("call", [{}, {"mask": MASK}])
def test_stacked_cells_run_as_in_keras(call):
    def stack(module):
        cells = [module.LSTMCell(6), module.GRUCell(5), module.SimpleRNNCell(4)]
        return module.RNN(cells, return_sequences=True)

    layer = stack(sys.modules[__name__])
    agree(layer, stack(keras.layers), call)
    assert type(layer.cell) is StackedRNNCells
    both = RNN(layer.cell, return_state=True)(X)
    assert jax.tree.map(jnp.shape, both) == ((3, 4), [(3, 6), (3, 6)], (3, 5), (3, 4))
    step, _ = layer.cell(X[:, 0], layer.cell.get_initial_state(3))
    np.testing.assert_allclose(step, layer(X[:, :1])[:, 0], rtol=1e-5, atol=1e-6)
    assert layer(X, initial_state=[*states(2), *states(1, 5), *states(1, 4)]).shape == (3, 5, 4)


class Counting(Layer):
    """A cell that counts its steps, draws, and adds to the loss."""

    state_size = 2

    def build(self, input_shape):
        self.steps = self.add_weight((), "zeros", trainable=False, name="steps")
        self.built = True

    def call(self, inputs, states):
        self.steps.assign_add(1.0)
        self.add_loss(jnp.sum(inputs))
        noise = random.uniform((inputs.shape[0], 2))
        return noise, [states[0] + 1]


def test_what_a_cell_assigns_draws_and_adds_to_the_loss_is_kept():
    layer = RNN(Counting(), **ALL)
    noise, last = layer(X)
    assert float(layer.cell.steps.value) == 5
    assert float(layer.losses[0]) == pytest.approx(X.sum(), rel=1e-4)
    assert len({float(value) for value in noise[0, :, 0]}) == 5
    np.testing.assert_array_equal(last, np.full((3, 2), 5))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("rates", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}])
def test_dropout_is_drawn_once_a_call(kind, rates):
    layer = LAYERS[kind](6, return_sequences=True, seed=1, **rates)
    base = layer(X)
    np.testing.assert_array_equal(base, layer(X, training=False))
    first, second = layer(X, training=True), layer(X, training=True)
    assert not np.allclose(first, base)
    assert not np.allclose(first, second)


def test_input_dropout_drops_the_same_features_at_every_step():
    layer = SimpleRNN(4, activation=None, dropout=0.5, return_sequences=True)
    layer.build((None, 5, 4))
    layer.set_weights([np.eye(4), np.zeros((4, 4)), np.zeros(4)])
    kept = np.asarray(layer(np.ones((64, 5, 4)), training=True))
    assert set(np.unique(kept)) == {0.0, 2.0}
    np.testing.assert_array_equal(kept, np.repeat(kept[:, :1], 5, axis=1))
    assert 0.3 < (kept[:, 0] == 0).mean() < 0.7


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_stateful_layers_go_on_where_they_were(kind):
    layer = LAYERS[kind](6, stateful=True)
    oracle = getattr(keras.layers, kind)(6, stateful=True)
    first = layer(X)
    oracle(X)
    oracle.set_weights([v.numpy() for v in layer.trainable_variables])
    oracle.reset_state()
    assert layer.non_trainable_variables[0].name == "rnn_state"
    for _ in range(2):
        expected = oracle(X)
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5, atol=1e-6)
    layer.reset_states()
    np.testing.assert_allclose(layer(X), first, rtol=1e-5, atol=1e-6)
    with pytest.raises(ShapeError, match="is stateful with a batch of 3; received a batch of 2"):
        layer(X[:2])
    with pytest.raises(ShapeError, match=r"batch size must be known(.|\n)*batch_shape="):
        LAYERS[kind](6, stateful=True)(SymbolicTensor((None, 5, 4)))


def test_a_list_as_first_argument_holds_the_initial_states():
    layer = LSTM(6)
    expected = layer(X, initial_state=states(2))
    np.testing.assert_array_equal(layer([X, *states(2)]), expected)
    symbolic = [SymbolicTensor((None, None, 4)), *(SymbolicTensor((None, 6)) for _ in range(2))]
    assert layer(symbolic).shape == (None, 6)


def test_half_precision_is_kept_through_the_loop():
    layer = LSTM(6, dtype="mixed_bfloat16", **ALL)
    assert {a.dtype.name for a in layer(X)} == {"bfloat16"}
    assert layer.cell.kernel.dtype == "float32"


def test_the_cell_s_arguments_are_attributes_of_the_layer():
    layer = GRU(6, dropout=0.1)
    assert (layer.units, layer.dropout, layer.reset_after) == (6, 0.1, True)
    layer.dropout = 0.3
    assert layer.cell.dropout == layer.get_config()["dropout"] == 0.3


def test_clones_share_no_cell():
    layer = RNN([LSTMCell(6), Leaky(6)])
    layer(X)
    clone = layer.clone()
    assert clone.cell.cells[0] is not layer.cell.cells[0]
    assert not clone.built


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: LSTM(0), ConfigError, "LSTM: units must be a positive whole number"),
        (lambda: GRU(2.5), ConfigError, "GRU: units must be a positive whole number"),
        (lambda: LSTM(3, dropout=1.5), ConfigError, "LSTM: dropout must be between 0 and 1"),
        (lambda: LSTM(3, use_cudnn="no"), ConfigError, "use_cudnn is True, False or"),
        (
            lambda: RNN(Layer()),
            ConfigError,
            "RNN: Layer is no recurrent cell: it has no state_size",
        ),
        (lambda: RNN([]), ConfigError, "no cells to stack"),
        (lambda: StackedRNNCells([3]), ConfigError, "int is no recurrent cell: it has no call"),
        (lambda: LSTM(3)(X[:, 0]), ShapeError, r"3 axes, received 2(.|\n)*Fix: .*return_sequences"),
        (
            lambda: LSTM(6)(X, initial_state=states(1)),
            ShapeError,
            r"LSTM 'lstm.*' .*begins with 2 states of shape \(3, 6\), \(3, 6\), received "
            r"initial_state of 1 state",
        ),
        (
            lambda: GRU(6)(SymbolicTensor((None, 5, 4)), initial_state=SymbolicTensor((None, 7))),
            ShapeError,
            r"1 state of shape \(None, 6\), received initial_state of 1 state of shape \(None, 7\)",
        ),
    ],
)
def test_bad_input_is_named(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_a_cell_that_loses_a_state_is_named():
    class Loses(Layer):
        state_size = (2, 2)

        def call(self, inputs, states):
            return states[0], [states[0]]

    with pytest.raises(ShapeError, match=r"has 2 states, but its cell Loses returns 1"):
        RNN(Loses())(X)


def test_a_masked_step_needs_an_output_to_repeat():
    class Wide(Layer):
        state_size, output_size = 2, 3

        def call(self, inputs, states):
            return jnp.zeros((inputs.shape[0], 3)), states

    with pytest.raises(ShapeError, match=r"cannot repeat(.|\n)*zero_output_for_mask=True"):
        RNN(Wide())(X, mask=MASK)
    assert RNN(Wide(), zero_output_for_mask=True)(X, mask=MASK).shape == (3, 3)
