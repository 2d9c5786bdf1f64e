"""Model(inputs, outputs): structures, sharing, nesting, names, and the errors of building."""

import jax
import numpy as np
import pytest

import plait
from plait import Input, Model, Sequential, layers, ops


def values(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def two_tower():
    a, b = Input((4,), name="a"), Input((3,), name="b")
    merged = layers.concatenate([layers.Dense(2)(a), layers.Dense(2)(b)])
    return a, b, merged


@pytest.mark.parametrize(
    "structure",
    [
        lambda a, b: [a, b],
        lambda a, b: (a, b),
        lambda a, b: {"a": a, "b": b},
        lambda a, b: {"outer": [a, {"inner": b}]},
    ],
)
def test_structures_on_both_sides(structure):
    a, b, merged = two_tower()
    model = Model(structure(a, b), {"main": merged, "others": [layers.Dense(1)(merged), a]})
    result = model(structure(values(5, 4), values(5, 3)))
    assert result["main"].shape == (5, 4)
    assert [leaf.shape for leaf in result["others"]] == [(5, 1), (5, 4)]
    predicted = model.predict(structure(values(5, 4), values(5, 3)), verbose=0)
    np.testing.assert_allclose(predicted["main"], result["main"], rtol=1e-5, atol=1e-6)


def test_inputs_by_name_whatever_the_structure():
    a, b, merged = two_tower()
    model = Model([a, b], merged)
    x, y = values(5, 4), values(5, 3)
    np.testing.assert_array_equal(model({"b": y, "a": x}), model([x, y]))
    assert model.input_names == ["a", "b"]


def test_shared_layers_and_nested_models():
    tower = Sequential([Input((4,)), layers.Dense(3, name="d"), layers.Dense(2)], name="tower")
    left, right = Input((4,)), Input((4,))
    difference = ops.abs(tower(left) - tower(right))
    model = Model([left, right], layers.Dense(1, name="same")(difference))
    assert [type(layer).__name__ for layer in model.layers].count("Sequential") == 1
    assert sorted(plait.core.walk.variables_by_path(model))[:2] == ["same/bias", "same/kernel"]
    assert "tower/d/kernel" in plait.core.walk.variables_by_path(model)
    x, y = values(3, 4), values(3, 4)[::-1]
    expected = np.abs(np.asarray(tower(x)) - np.asarray(tower(y)))
    kernel, bias = model.get_layer("same").get_weights()
    np.testing.assert_allclose(model([x, y]), expected @ kernel + bias, rtol=1e-5, atol=1e-6)
    assert model.get_layer("tower/d") is tower.layers[0]
    assert "tower@1: Sequential(" in str(model.graph)


def test_a_model_called_on_another_shape():
    x = Input((None, 8))
    pooled = layers.GlobalAveragePooling1D()(layers.Dense(4)(x))
    inner = Model(x, pooled)
    y = Input((7, 8))
    assert inner(y).shape == (None, 4)
    assert Model(y, inner(y))(values(2, 7, 8)).shape == (2, 4)


def test_operators_constants_and_keyword_tensors():
    x, y = Input((4,)), Input((4,))
    constant = values(4)
    out = {
        "sum": 2 * x + y / 3 - constant,
        "power": x**2 @ values(4, 2),
        "slice": x[:, 1:3],
        "compare": ops.cast(x < y, "float32"),
        "equal": ops.cast(x == y, "int32"),
        "norm": ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True)),
    }
    model = Model([x, y], out)
    a, b = values(6, 4), values(6, 4) * 2
    result = model([a, b])
    np.testing.assert_allclose(result["sum"], 2 * a + b / 3 - constant, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result["power"], a**2 @ values(4, 2), rtol=1e-4)
    np.testing.assert_array_equal(result["slice"], a[:, 1:3])
    np.testing.assert_array_equal(result["compare"], a < b)
    assert model.outputs[4].dtype == "int32"
    query, value = Input((5, 8)), Input((6, 8))
    attended = layers.MultiHeadAttention(2, 4)(query=query, value=value)
    assert attended.shape == (None, 5, 8)
    q, v = values(2, 5, 8), values(2, 6, 8)
    assert Model([query, value], attended)([q, v]).shape == (2, 5, 8)


def test_layers_with_several_outputs():
    x = Input((5, 3))
    sequence, hidden, cell = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    model = Model(x, [sequence, hidden, cell])
    assert [t.shape for t in model.outputs] == [(None, 5, 4), (None, 4), (None, 4)]
    assert len(set(model.output_names)) == 3
    first, last, _ = model(values(2, 5, 3))
    np.testing.assert_allclose(first[:, -1], last, rtol=1e-5, atol=1e-6)


def test_cutting_at_inner_tensors():
    x = Input((4,))
    h = layers.Dense(3, activation="relu", name="h")(x)
    out = layers.Dense(2)(h)
    whole, head, tail = Model(x, out), Model(x, h), Model(h, out)
    a = values(5, 4)
    np.testing.assert_allclose(tail(head(a)), whole(a), rtol=1e-5, atol=1e-6)
    assert Model(whole.input, whole.get_layer("h").output).output_shape == (None, 3)


def test_names_are_keras_names():
    plait.utils.clear_session()
    made = [layers.Dense(1), layers.Dense(1), layers.BatchNormalization(), layers.Conv2D(1, 1)]
    assert [layer.name for layer in made] == ["dense", "dense_1", "batch_normalization", "conv2d"]
    x = Input((2,))
    assert (Model(x, x).name, Sequential().name) == ("model", "sequential")


def test_a_layer_output_is_ambiguous_after_two_calls():
    x = Input((4,))
    dense = layers.Dense(4)
    with pytest.raises(plait.NotBuiltError, match="was not called on a symbolic tensor"):
        dense.output
    y = dense(x)
    assert dense.output is y
    assert dense.input is x
    z = dense(y)
    with pytest.raises(plait.GraphError, match="called 2 times"):
        dense.output
    assert z.shape == (None, 4)


def test_training_flag_and_mask_pass_through():
    x = Input((4,))
    model = Model(x, layers.Dropout(0.5)(x))
    a = np.ones((50, 4), "float32")
    np.testing.assert_array_equal(model(a), a)
    assert (np.asarray(model(a, training=True)) == 0).any()
    frozen = Model(x, layers.Dropout(0.5)(x, training=False))
    np.testing.assert_array_equal(frozen(a, training=True), a)
    ids = Input((None,), dtype="int32")
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(9, 3, mask_zero=True)(ids))
    masked = Model(ids, pooled)
    short, long = masked(np.array([[1, 2]])), masked(np.array([[1, 2, 0, 0]]))
    np.testing.assert_allclose(short, long, rtol=1e-5, atol=1e-6)


def test_pure_apply_with_jax():
    x = Input((4,))
    model = Model(x, layers.Dense(2)(layers.BatchNormalization()(layers.Dense(3)(x))))
    state = model.state()
    a = values(8, 4)

    def loss(variables):
        outputs, updates = model.apply(variables, a, training=True)
        return (outputs**2).mean(), updates

    grads, updates = jax.jit(jax.grad(loss, has_aux=True))(state)
    assert set(grads) == set(state)
    assert {path.split("/")[-1] for path in updates} == {"moving_mean", "moving_variance"}
    moved = [p for p in updates if not np.allclose(updates[p], state[p])]
    assert moved, "moving averages change in training"
    np.testing.assert_array_equal(
        model.state()[
            "dense/bias" if "dense/bias" in state else next(p for p in state if p.endswith("bias"))
        ],
        0,
    )
    outputs, untouched = model.apply(state, a)
    assert untouched == {}
    np.testing.assert_allclose(outputs, model(a), rtol=1e-5, atol=1e-6)
    stateless, non_trainable = model.stateless_call(
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        a,
    )
    np.testing.assert_allclose(stateless, model(a), rtol=1e-5, atol=1e-6)
    assert len(non_trainable) == 2


def test_weights_by_list():
    x = Input((4,))
    model, other = (Model(x, layers.Dense(2)(layers.BatchNormalization()(x))) for _ in range(2))
    model.layers[1].moving_mean.assign(np.arange(4))
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(model(values(2, 4)), other(values(2, 4)))
    with pytest.raises(plait.ShapeError, match="has 6 weights; received 2"):
        other.set_weights(model.get_weights()[:2])
    bad = [w.T if w.ndim == 2 else w for w in model.get_weights()]
    with pytest.raises(plait.ShapeError, match=r"is \(4, 2\); received \(2, 4\)"):
        other.set_weights(bad)
    assert model.count_params() == 16 + 10


def test_a_long_chain_and_a_wide_merge():
    x = h = Input((4,))
    for _ in range(5000):
        h = layers.Identity()(h)
    model = Model(x, h)
    assert len(model.layers) == 5001
    assert len(str(model.graph).splitlines()) == 5002
    np.testing.assert_array_equal(model(values(2, 4)), values(2, 4))
    wide = Model(x, layers.Add()([layers.Rescaling(1.0)(x) for _ in range(2000)]))
    np.testing.assert_allclose(wide(values(2, 4)), 2000 * values(2, 4), rtol=1e-4)
    straight = Sequential([Input((4,)), *(layers.Identity() for _ in range(5000))])
    assert straight.graph.is_chain
    assert straight(values(2, 4)).shape == (2, 4)


class Nested(Model):
    def __init__(self):
        super().__init__()
        self.blocks = [layers.Dense(4, activation="relu") for _ in range(2)]
        self.heads = {"a": layers.Dense(1), "b": layers.Dense(2, name="named")}

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return {name: head(x) for name, head in self.heads.items()}


def test_a_subclass_with_layers_in_lists_and_dicts():
    model = Nested()
    with pytest.raises(plait.NotBuiltError, match="has no graph"):
        model.graph
    model.build((None, 3))
    assert sorted(plait.core.walk.variables_by_path(model)) == [
        "blocks/0/bias",
        "blocks/0/kernel",
        "blocks/1/bias",
        "blocks/1/kernel",
        "heads/a/bias",
        "heads/a/kernel",
        "named/bias",
        "named/kernel",
    ]
    result = model(values(2, 3))
    assert {name: r.shape for name, r in result.items()} == {"a": (2, 1), "b": (2, 2)}
    inside = Input((3,))
    assert Model(inside, model(inside)["b"]).output_shape == (None, 2)


def test_freezing_at_once():
    model = Nested()
    model.build((None, 3))
    assert len(model.trainable_variables) == 8
    model.blocks[0].trainable = False
    assert len(model.trainable_variables) == 6
    model.trainable = False
    assert model.trainable_variables == []
    assert len(model.non_trainable_variables) == 8


def errors():
    a, b, merged = two_tower()
    logits = layers.Dense(2, name="logits")(merged)
    model = Model([a, b], logits)
    other = Input((9,), name="other")
    return [
        (lambda: Model(a, logits), plait.GraphError, "depends on input 'b'"),
        (lambda: Model(a, logits), plait.GraphError, "Fix: Model([a, b], logits)"),
        (lambda: Model([a, b], [logits, other]), plait.GraphError, "input 'other'"),
        (lambda: Model(a), plait.GraphError, "has no outputs"),
        (lambda: Model(values(2), values(2)), plait.ArgumentTypeError, "symbolic tensors"),
        (lambda: Model([], []), plait.GraphError, "received none"),
        (lambda: model(values(2, 4)), plait.DataError, "has 2 inputs ('a', 'b')"),
        (lambda: model({"a": values(2, 4)}), plait.DataError, "'b' is missing"),
        (lambda: model({"a": values(2, 4), "bb": 1}), plait.DataError, "Did you mean 'b'"),
        (lambda: model([values(2, 5), values(2, 3)]), plait.ShapeError, "input 'a'"),
        (lambda: model.get_layer("logit"), plait.ConfigError, "Did you mean 'logits'"),
        (lambda: model.get_layer(index=99), plait.ConfigError, "no index 99"),
        (lambda: bool(a > 1), plait.ArgumentTypeError, "cannot be true or false"),
        (lambda: np.mean(a), plait.ArgumentTypeError, "NumPy array"),
        (lambda: list(a), plait.ArgumentTypeError, "iterate"),
        (lambda: layers.Dense(2)([a, b]), plait.ArgumentTypeError, "received a list of 2"),
        (lambda: layers.Dense(2)(a, 3), plait.ArgumentTypeError, "too many positional"),
        (lambda: layers.Dense(2, unit=3), plait.ArgumentTypeError, "Did you mean 'units'"),
        (lambda: layers.Dense(2, name="x/y"), plait.ConfigError, "without '/'"),
        (lambda: layers.Dense(2)("x"), plait.ArgumentTypeError, "received the text 'x'"),
        (lambda: Input(32), plait.ConfigError, "shape=(32,)"),
        (lambda: Input(("a",)), plait.ConfigError, "whole numbers"),
        (lambda: a @ other, plait.ShapeError, "matmul"),
    ]


@pytest.mark.parametrize("case", range(23))
def test_errors(case):
    make, error, text = errors()[case]
    with pytest.raises(error) as raised:
        make()
    assert text in str(raised.value)


def test_two_layers_of_one_name():
    x = Input((2,))
    with pytest.raises(plait.GraphError, match="two layers of one model are named 'd'"):
        Model(x, layers.Dense(2, name="d")(layers.Dense(2, name="d")(x)))


def test_the_users_line_is_named():
    with pytest.raises(plait.ShapeError, match=r"Conv2D 'c' \(test_model.py:\d+\)"):
        layers.Conv2D(2, 3, name="c")(Input((8, 8)))


class Broken(layers.Layer):
    def build(self, input_shape):
        self.w = self.add_weight(shape=(99, 2), name="w")

    def call(self, inputs):
        return inputs @ self.w


def test_errors_inside_a_custom_layer_name_it():
    with pytest.raises(plait.PlaitError, match=r"Broken 'broken\w*' \(test_model.py:\d+\)"):
        Broken()(Input((4,)))


class Forgetful(layers.Layer):
    def __init__(self):
        self.inner = layers.Dense(2)


def test_a_constructor_without_super():
    with pytest.raises(plait.ConfigError, match=r"super\(\).__init__"):
        Forgetful()


def test_renaming():
    x = Input((2,))
    first, second = layers.Dense(2, name="first"), layers.Dense(2, name="second")
    model = Model(x, second(first(x)))
    with pytest.raises(plait.GraphError, match=r"cannot be renamed to 'first'"):
        second.name = "first"
    second.name = "last"
    assert model.output_names == ["last"]
    assert "last: Dense(first)" in str(model.graph)
    assert "last/kernel" in model.state()
    straight = Sequential([Input((2,)), layers.Dense(2, name="a"), layers.Dense(2, name="b")])
    with pytest.raises(plait.GraphError, match="taken by"):
        straight.layers[1].name = "a"
    straight.layers[0].name = "c"
    straight.add(layers.Dense(2, name="a"))
    with pytest.raises(plait.GraphError, match="are named 'c'"):
        straight.add(layers.Dense(2, name="c"))
