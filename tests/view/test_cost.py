import jax
import jax.numpy as jnp
import pytest

from plait import Input, Layer, Model, Sequential, errors, layers, ops
from plait.view.cost import Cost, graph_costs, layer_cost


def rest(flops=0, out=0, exact=True):
    return Cost(flops, 4 * out, exact)


@pytest.mark.parametrize(
    ("layer", "shape", "cost"),
    [
        (layers.Dense(10), (128,), rest(2 * 128 * 10 + 10, 10)),
        (layers.Dense(10, activation="relu", use_bias=False), (5, 8), rest(5 * 170, 50)),
        (layers.Flatten(), (4, 4), rest(0, 16)),
        (layers.Embedding(1000, 16), (6,), rest(0, 96)),
        (layers.Conv2D(8, 3, use_bias=False), (10, 10, 4), rest(2 * 64 * 8 * 9 * 4, 64 * 8)),
        (
            layers.Conv2D(8, 3, groups=2, padding="same", use_bias=False),
            (8, 8, 4),
            rest(2 * 64 * 8 * 9 * 2, 64 * 8),
        ),
        (
            layers.DepthwiseConv2D(3, padding="same", use_bias=False),
            (8, 8, 4),
            rest(2 * 64 * 4 * 9, 64 * 4),
        ),
        (
            layers.Conv2DTranspose(3, 4, strides=2, padding="same", use_bias=False),
            (5, 5, 6),
            rest(2 * 25 * 6 * 16 * 3, 300),
        ),
        (layers.GlobalMaxPooling1D(), (5, 3), rest(15, 3)),
        (layers.SimpleRNN(4, use_bias=False), (7, 3), rest(7 * (2 * 3 * 4 + 2 * 16 + 8), 4)),
        (layers.Dense(2, dtype="bfloat16"), (3,), Cost(14, 4)),
        (layers.Dense(4), (None, 3), rest(2 * 12 + 4, 4, exact=False)),
        (Sequential([layers.Dense(4), layers.Dense(2)]), (3,), rest(28 + 18, 4 + 2)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_cost_of_a_layer(layer, shape, cost):
    x = Input(shape, dtype="int32" if isinstance(layer, layers.Embedding) else "float32")
    y = layer(x)
    assert layer_cost(layer, x) == cost
    assert graph_costs(Model(x, y).graph)[y.node] == cost


class Loop(Layer):
    def call(self, x):
        return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x + 1, x)


class Branch(Layer):
    def __init__(self, even):
        super().__init__()
        self.even = even

    def call(self, x):
        def other(x):
            return x + 1 if self.even else x + 1 - 2

        return jax.lax.cond(x.sum() > 0, lambda x: x * 2, other, x)


class Sort(Layer):
    def call(self, x):
        return jnp.sort(x) + 1


class Window(Layer):
    def call(self, x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3), (1, 1), "SAME")


class Pick(Layer):
    def call(self, x):
        return x[:, jnp.arange(4)[::-1]].at[:, 0].add(x[:, 1])


@pytest.mark.parametrize(
    ("layer", "cost"),
    [
        (Loop(), rest(4 + 4 + 1, 4, exact=False)),
        (Branch(even=True), rest(4 + 1 + 4, 4)),
        (Branch(even=False), rest(4 + 1 + 8, 4, exact=False)),
        (Sort(), rest(4, 4, exact=False)),
        (Window(), rest(12, 4)),
        (Pick(), rest(1, 4)),
    ],
)
def test_loops_branches_and_windows(layer, cost):
    layer(Input((4,)))
    assert layer_cost(layer, jnp.ones((1, 4))) == cost


def test_a_fixed_batch_is_divided_by():
    x = Input(batch_shape=(32, 8))
    y = layers.Dense(4)(x)
    assert graph_costs(Model(x, y).graph)[y.node] == rest(2 * 32 + 4, 4)
    assert layer_cost(y.node.layer, x) == rest(2 * 32 + 4, 4)


def test_sizes_are_worked_out_from_the_inputs():
    x = Input((6, 8))
    y = layers.Dense(4)(ops.reshape(x, (-1, 8)))
    assert graph_costs(Model(x, y).graph)[y.node] == rest(6 * (2 * 32 + 4), 24)


def test_constants_and_several_tensors():
    a, b = Input((3, 4)), Input((4, 5))
    y = ops.matmul(a, b) + jnp.ones((5,))
    total = sum(graph_costs(Model([a, b], y).graph).values(), Cost())
    assert total == rest(2 * 3 * 4 * 5 + 15, 30)


def test_models_within_cost_what_their_layers_cost():
    inner = Sequential([Input((None, 4)), layers.Dense(4), layers.Dense(2)], name="inner")
    x, z = Input((3, 4)), Input((5, 4))
    y = layers.Add()([ops.sum(inner(x), axis=1), ops.sum(inner(z), axis=1)])
    graph = Model([x, z], y).graph
    costs = graph_costs(graph)
    by_name = {graph.names[node]: costs[node] for node in graph.nodes}
    assert by_name["inner"] == rest(3 * (36 + 18), 3 * 6)
    assert by_name["inner@1"] == rest(5 * (36 + 18), 5 * 6)
    by_layer = {node.layer.name: cost for node, cost in costs.items()}
    assert by_layer["dense"] == rest(3 * 36, 3 * 4)


def test_models_with_named_inputs():
    a, b = Input((2,), name="a"), Input((3,), name="b")
    inner = Model({"b": b, "a": a}, {"y": layers.Concatenate()([a, b])})
    outer = Model([a, b], inner({"a": a, "b": b})["y"])
    assert graph_costs(outer.graph)[outer.outputs[0].node] == rest(0, 5)


def test_what_does_not_work_with_sizes_of_one_is_not_known():
    x = Input((None, 8))
    y = layers.Conv1D(4, 3)(x)
    z = layers.Dense(2)(y)
    costs = graph_costs(Model(x, z).graph)
    assert costs[y.node] is None
    assert costs[z.node] == rest(18, 2, exact=False)


def test_unbuilt_layers_are_refused():
    with pytest.raises(errors.NotBuiltError, match=r"Dense 'dense.*has no variables yet"):
        layer_cost(layers.Dense(3), jnp.ones((1, 2)))


def test_equal_layers_are_counted_once_and_different_ones_are_not(monkeypatch):
    from plait.view import cost

    traced = []
    original = cost.count_flops
    monkeypatch.setattr(cost, "count_flops", lambda jaxpr: traced.append(1) or original(jaxpr))
    x = Input((4,))
    y = x
    for _ in range(10):
        y = layers.Dense(4, activation="relu")(y)
    y = layers.Dense(4)(y)
    y = layers.Lambda(lambda t: t * 2)(layers.Lambda(lambda t: t)(y))
    costs = list(graph_costs(Model(x, y).graph).values())
    assert len(traced) == 4
    assert [c.flops for c in costs] == [0, *[40] * 10, 36, 0, 4]
