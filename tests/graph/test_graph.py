"""Graphs: order, names, neighbours, text, and what is no graph."""

import keras
import numpy as np
import pytest

import plait
from plait import Input, Model, Sequential, demo, layers
from plait.graph.graph import Graph

# -- the order of layers is that of Keras ---------------------------------------------------


def chain(k):
    x = k.Input((8,), name="x")
    h = k.layers.Dense(8, name="a")(x)
    return k.Model(x, k.layers.Dense(2, name="b")(h))


def skip(k):
    x = k.Input((8,), name="x")
    h = k.layers.Dense(8, name="a")(x)
    h = k.layers.Dense(8, name="b")(h)
    h = k.layers.Add(name="add")([x, h])
    return k.Model(x, k.layers.Add(name="last")([h, x]))


def projected(k):
    x = k.Input((8, 8, 3), name="x")
    h = k.layers.Conv2D(4, 3, padding="same", name="c1")(x)
    h = k.layers.BatchNormalization(name="n1")(h)
    h = k.layers.Conv2D(4, 3, padding="same", name="c2")(h)
    s = k.layers.Conv2D(4, 1, name="shortcut")(x)
    h = k.layers.Add(name="add")([s, h])
    return k.Model(x, k.layers.GlobalAveragePooling2D(name="pool")(h))


def inception(k):
    x = k.Input((8, 8, 3), name="x")
    towers = []
    for depth, name in ((3, "p"), (1, "q"), (2, "r")):
        h = x
        for level in range(depth):
            h = k.layers.Conv2D(2, 3, padding="same", name=f"{name}{level}")(h)
        towers.append(h)
    return k.Model(x, k.layers.Concatenate(name="join")(towers))


def shared(k):
    x, y = k.Input((8,), name="x"), k.Input((8,), name="y")
    dense = k.layers.Dense(8, name="shared")
    h = k.layers.Dense(8, name="own")(dense(x))
    return k.Model([x, y], k.layers.Concatenate(name="join")([dense(h), dense(y)]))


def several(k):
    x, y = k.Input((8,), name="x"), k.Input((4,), name="y")
    hx = k.layers.Dense(6, name="hx")(x)
    hy = k.layers.Dense(6, name="hy")(k.layers.Dense(5, name="hy0")(y))
    joined = k.layers.Add(name="joined")([hy, hx])
    early = k.layers.Dense(1, name="early")(hx)
    late = k.layers.Dense(1, name="late")(k.layers.Dense(3, name="mid")(joined))
    return k.Model([y, x], [late, early])


def nested(k):
    z = k.Input((8,), name="z")
    block = k.Model(z, k.layers.Dense(8, name="in")(z), name="block")
    x = k.Input((8,), name="x")
    h = block(k.layers.Dense(8, name="first")(x))
    stack = k.Sequential([k.Input((8,)), k.layers.Dense(8, name="s")], name="stack")
    return k.Model(x, k.layers.Add(name="add")([block(h), stack(x), h]))


def unet(k):
    x = k.Input((8, 8, 3), name="x")
    d1 = k.layers.Conv2D(4, 3, padding="same", name="d1")(x)
    d2 = k.layers.Conv2D(4, 3, padding="same", name="d2")(k.layers.MaxPooling2D(name="m1")(d1))
    mid = k.layers.Conv2D(4, 3, padding="same", name="mid")(k.layers.MaxPooling2D(name="m2")(d2))
    u2 = k.layers.Concatenate(name="j2")([k.layers.UpSampling2D(name="up2")(mid), d2])
    u1 = k.layers.Concatenate(name="j1")([k.layers.UpSampling2D(name="up1")(u2), d1])
    return k.Model(x, [k.layers.Conv2D(1, 1, name="out")(u1), mid])


def unused(k):
    x, y = k.Input((8,), name="x"), k.Input((4,), name="y")
    return k.Model([y, x], k.layers.Dense(2, name="d")(x))


def attention(k):
    x = k.Input((5, 8), name="x")
    h = k.layers.MultiHeadAttention(2, 4, name="mha")(x, x)
    h = k.layers.LayerNormalization(name="ln")(k.layers.Add(name="add")([x, h]))
    f = k.layers.Dense(8, name="f2")(k.layers.Dense(16, name="f1")(h))
    return k.Model(x, k.layers.Add(name="end")([h, f]))


ALL = [chain, skip, projected, inception, shared, several, nested, unet, unused, attention]


@pytest.mark.parametrize("build", ALL)
def test_layers_and_weights_come_in_keras_order(build):
    ours, theirs = build(plait), build(keras)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [v.shape for v in ours.weights] == [tuple(v.shape) for v in theirs.weights]


@pytest.mark.parametrize("build", [several, shared, nested])
def test_with_keras_weights_they_compute_the_same(build):
    ours, theirs = build(plait), build(keras)
    theirs.set_weights(ours.get_weights())
    rng = np.random.default_rng(0)
    given = [rng.normal(size=(2, *t.shape[1:])).astype("float32") for t in ours.inputs]
    given = given if len(given) > 1 else given[0]
    results, expected = ours(given), theirs(given)
    if not isinstance(results, list):
        results, expected = [results], [expected]
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


# -- queries --------------------------------------------------------------------------------


def named(nodes):
    return [node.layer.name for node in nodes]


def test_names_of_calls():
    graph = shared(plait).graph
    assert set(graph.names.values()) == {"x", "y", "shared", "shared@1", "shared@2", "own", "join"}
    assert named(graph.nodes).count("shared") == 3
    assert len(graph.layers) == len(set(graph.layers)) == 5


@pytest.mark.parametrize(("build", "expected"), [(b, b in (chain,)) for b in ALL])
def test_is_chain(build, expected):
    assert build(plait).graph.is_chain is expected


def test_sequences_are_chains_until_a_layer_is_called_twice():
    assert demo.sequential().graph.is_chain
    x = Input((3,))
    assert Graph(x, x).is_chain
    assert not Graph(x, [layers.Dense(2)(x), x]).is_chain


def test_neighbours():
    graph = skip(plait).graph
    nodes = {node.layer.name: node for node in graph.nodes}
    assert named(graph.predecessors(nodes["add"])) == ["x", "b"]
    assert named(graph.successors(nodes["x"])) == ["a", "add", "last"]
    assert named(graph.predecessors(nodes["x"])) == []
    assert named(graph.successors(nodes["last"])) == []


def test_layers_know_no_graph():
    x = Input((3,))
    dense = layers.Dense(3)
    one, two = Model(x, dense(x)), Model(x, dense(dense(x)))
    assert (len(one.graph.nodes), len(two.graph.nodes)) == (2, 3)


# -- text -----------------------------------------------------------------------------------

SEQUENTIAL = """\
input_layer: Input() -> (None, 28, 28)
flatten: Flatten(input_layer) -> (None, 784)
dense: Dense(flatten) -> (None, 128)
dense_1: Dense(dense) -> (None, 10)
outputs: dense_1"""

RESIDUAL = """\
image: Input() -> (None, 32, 32, 3)
conv2d: Conv2D(image) -> (None, 32, 32, 64)
batch_normalization: BatchNormalization(conv2d) -> (None, 32, 32, 64)
activation: Activation(batch_normalization) -> (None, 32, 32, 64)
conv2d_1: Conv2D(activation) -> (None, 32, 32, 64)
batch_normalization_1: BatchNormalization(conv2d_1) -> (None, 32, 32, 64)
conv2d_2: Conv2D(image) -> (None, 32, 32, 64)
add: Add(batch_normalization_1, conv2d_2) -> (None, 32, 32, 64)
activation_1: Activation(add) -> (None, 32, 32, 64)
global_average_pooling2d: GlobalAveragePooling2D(activation_1) -> (None, 64)
dense: Dense(global_average_pooling2d) -> (None, 10)
outputs: dense"""

TWO_INPUTS = """\
image_input: Input() -> (None, 32, 32, 3)
conv2d: Conv2D(image_input) -> (None, 30, 30, 32)
text_input: Input() -> (None, 100)
flatten: Flatten(conv2d) -> (None, 28800)
dense: Dense(text_input) -> (None, 64)
concatenate: Concatenate(flatten, dense) -> (None, 28864)
dense_1: Dense(concatenate) -> (None, 1)
outputs: dense_1"""


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (demo.sequential, SEQUENTIAL),
        (demo.residual, RESIDUAL),
        (demo.two_inputs, TWO_INPUTS),
    ],
)
def test_text(make, text):
    plait.utils.clear_session()
    assert str(make().graph) == text


def test_text_of_several_outputs_and_shared_layers():
    plait.utils.clear_session()
    x = Input((5, 3), name="x")
    _, state, _ = layers.LSTM(3, return_state=True, name="lstm")(x)
    dense = layers.Dense(3, name="d")
    assert str(Graph({"in": x}, [dense(dense(state)), state])).splitlines() == [
        "x: Input() -> (None, 5, 3)",
        "lstm: LSTM(x) -> (None, 3), (None, 3), (None, 3)",
        "d: Dense(lstm[1]) -> (None, 3)",
        "d@1: Dense(d) -> (None, 3)",
        "outputs: d@1, lstm[1]",
    ]


# -- inputs and outputs ---------------------------------------------------------------------


def test_ends_that_coincide():
    x = Input((3,), name="x")
    h = layers.Dense(2, name="h")(x)
    data = np.ones((2, 3), "float32")
    assert Model(x, x)(data).shape == (2, 3)
    both = Model(x, [x, h, h])
    assert both.output_names == ["x", "h", "h_1"]
    assert [y.shape for y in both(data)] == [(2, 3), (2, 2), (2, 2)]
    assert Model(h, h)(np.ones((2, 2), "float32")).shape == (2, 2)


@pytest.mark.parametrize("shape", [(), (0,), (4, 0)])
def test_scalars_and_empty_axes(shape):
    x = Input(shape)
    model = Model(x, x * 2)
    assert model.output_shape == (None, *shape)
    assert model(np.ones((3, *shape), "float32")).shape == (3, *shape)
    assert model(np.ones((0, *shape), "float32")).shape == (0, *shape)


def test_a_fixed_batch():
    x = Input((4,), batch_size=8)
    model = Model(x, layers.Dense(2)(x))
    assert (x.shape, model.output_shape) == ((8, 4), (8, 2))


def far_away():
    a, b = Input((4,), name="a"), Input((4,), name="b")
    joined = layers.Add(name="sum")([a, layers.Dense(4, name="d")(b)])
    return a, layers.Dense(1, name="y")(joined)


def twice(name):
    x = Input((4,))
    return x, layers.Dense(4, name=name)(layers.Dense(4, name=name)(x))


@pytest.mark.parametrize(
    ("run", "error", "text"),
    [
        (
            lambda: Graph(*far_away()),
            plait.GraphError,
            r"'y' depends on input 'b' \(test_graph.py:\d+\).*\n  b -> d -> sum -> y\nFix: Model",
        ),
        (lambda: Graph(*twice("d")), plait.GraphError, r"named 'd'(.|\n)*name='d_2'"),
        (lambda: Graph([x := Input((2,), name="x"), x], x), plait.GraphError, "input 'x' twice"),
        (lambda: Graph([], Input((2,))), plait.GraphError, "needs inputs; received none"),
        (lambda: Graph(Input((2,)), None), plait.ArgumentTypeError, "outputs of a model are symb"),
        (lambda: Graph(Input((2,)), 3), plait.ArgumentTypeError, "received int"),
    ],
)
def test_errors(run, error, text):
    with pytest.raises(error, match=text):
        run()


def test_a_layer_used_twice_is_no_sequence():
    dense = layers.Dense(4)
    with pytest.raises(plait.GraphError, match="is twice"):
        Sequential([dense, dense])
