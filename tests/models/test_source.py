"""`Model.to_python`: the source builds the same graph, and is the one a person would write."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plait
from plait import Input, Model, Sequential, demo, layers, ops
from plait.core.walk import variables_by_path, walk


class Scale(layers.Layer):
    def __init__(self, factor, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.factor, self.activation = factor, plait.activations.get(activation)

    def call(self, inputs):
        return self.activation(inputs * self.factor)


class Plain(layers.Layer):
    def __init__(self, units=3):
        super().__init__()
        self.inner = layers.Dense(units)

    def call(self, inputs):
        return self.inner(inputs)


class Named(Model):
    pass


def halve(x, by=2):
    return x / by


@pytest.fixture(autouse=True)
def _fresh():
    plait.utils.clear_session()


def configs(model, inner_names=True):
    plain = [
        layer
        for _, layer in walk(model)
        if not (hasattr(layer, "has_graph") or isinstance(layer, layers.InputLayer))
    ]
    found = [layer.get_config() for layer in plain]
    return found if inner_names else [without_names(config, top=True) for config in found]


def without_names(config, top=False):
    if not isinstance(config, dict):
        return config
    kept = {k: without_names(v) for k, v in config.items() if k != "name" or top}
    return kept if "name" not in config or not top else {**kept, "name": None}


def rebuilt(model):
    scope = {}
    exec(model.to_python(), scope)
    return scope["model"]


def check(model, inner_names=True):
    again = rebuilt(model)
    assert str(again.graph) == str(model.graph)
    assert configs(again, inner_names) == configs(model, inner_names)
    for mine, other in zip(again.inputs, model.inputs, strict=True):
        assert (mine.name, mine.shape, mine.dtype) == (other.name, other.shape, other.dtype)
    assert list(variables_by_path(again)) == list(variables_by_path(model))
    assert again.output_names == model.output_names
    assert again.output_shape == model.output_shape
    assert rebuilt(again).to_python() == again.to_python()
    return again


def siamese():
    left, right = Input((4,), name="left"), Input((4,), name="right")
    tower = Sequential([Input((4,)), layers.Dense(3), layers.Dense(2)], name="tower")
    shared = layers.Dense(5, name="shared")
    a, b = tower(shared_pad(left, shared)), tower(shared_pad(right, shared))
    return Model([left, right], layers.Dense(1)(ops.abs(a - b)))


def shared_pad(x, shared):
    return layers.Dense(4)(shared(x))


def nested():
    inner_x = Input((6,))
    inner = Model(inner_x, [layers.Dense(3)(inner_x), layers.Dense(2)(inner_x)], name="two")
    x = Input((6,))
    a, b = inner(x)
    c, _ = inner(layers.Dense(6)(b) + x)
    return Model(x, {"a": a, "rest": [b, {"c": c}]}, name="outer")


def recurrent():
    x = Input((7, 3), name="steps")
    h, state, _ = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    h = layers.Bidirectional(layers.GRU(4, return_sequences=True))(h, training=True)
    h = h + layers.MultiHeadAttention(2, 4)(h, value=h, use_causal_mask=True)
    h = layers.TimeDistributed(layers.Dense(3, name="each"))(h)
    return Model(x, [h, layers.RNN(layers.GRUCell(2))(x), state])


def operators():
    x = Input((6, 4), dtype="int32", name="x")
    y = ops.cast(x, "float32")
    y = (2 - y) * (y**-2) / 3.5 + -y[:, ::2, ..., None][:, 0, :, 0][:, None] @ (y[0].T @ y[0])
    y = ops.concatenate([y, y + np.array([1.0, 2.0, 3.0, 4.0])], axis=-1)
    first, second = ops.split(y, 2, axis=1)
    return Model((x,), ops.where(first > second, first, ops.mean(second, axis=[1], keepdims=True)))


def values():
    x = Input(batch_shape=(8, 4), name="def")
    y = layers.Dense(
        3,
        kernel_initializer=plait.initializers.RandomNormal(stddev=0.1, seed=3),
        kernel_regularizer="l2",
        bias_constraint=plait.constraints.NonNeg(),
        activation=plait.activations.gelu,
        trainable=False,
        dtype="mixed_bfloat16",
        name="print",
    )(x)
    y = Scale(float("inf"), "tanh", name="it's")(Scale(0.5, halve)(y))
    y = layers.Lambda(halve, arguments={"by": 4})(Plain()(y))
    y = layers.Normalization(mean=np.arange(3.0), variance=[1.0, 1.0, 1.0])(y)
    return Named(x, layers.Lambda(ops.relu)(y))


def shares_an_input():
    x = Input((5,))
    encoder = Model(x, layers.Dense(3)(x), name="encoder")
    return Model(x, layers.Dense(5)(encoder(x)), name="autoencoder")


def cut():
    x = Input((5,))
    h = layers.Dense(4)(x)
    return Model(h, layers.Dense(2)(layers.Dense(3)(h)))


def shared_chain():
    x, dense = Input((3,)), layers.Dense(3)
    return Model(x, dense(dense(x)))


BUILDERS = [
    demo.sequential,
    demo.residual,
    demo.two_inputs,
    siamese,
    nested,
    recurrent,
    operators,
    values,
    shares_an_input,
    cut,
    shared_chain,
    lambda: Sequential([Input((4,)), demo_tower(), layers.Dense(1)]),
]


def demo_tower():
    return Sequential([layers.Dense(4, input_shape=(4,)), layers.Dropout(0.5)], name="tower")


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh names", "names in use"])
@pytest.mark.parametrize("build", BUILDERS, ids=lambda f: f.__name__)
def test_source_builds_the_same_graph(build, fresh):
    if not fresh:
        build()
    check(build(), inner_names=fresh)


def test_source_of_a_chain():
    assert demo.sequential().to_python() == (
        "import plait\n"
        "from plait import layers\n"
        "\n"
        "plait.utils.clear_session()\n"
        "\n"
        "model = plait.Sequential(\n"
        "    [\n"
        "        plait.Input((28, 28)),\n"
        "        layers.Flatten(),\n"
        '        layers.Dense(128, activation="relu"),\n'
        '        layers.Dense(10, activation="softmax"),\n'
        "    ],\n"
        '    name="stack",\n'
        ")\n"
    )
    x = Input((4,), name="x")
    source = Model(x, layers.Dense(2, name="y")(x), name="m").to_python()
    assert "plait.Sequential(" in source
    assert "clear_session" not in source


def test_source_of_branches():
    assert demo.residual().to_python().splitlines()[5:] == [
        'image = plait.Input((32, 32, 3), name="image")',
        'x = layers.Conv2D(64, 3, padding="same")(image)',
        "x = layers.BatchNormalization(momentum=0.9)(x)",
        'x = layers.Activation("relu")(x)',
        'x = layers.Conv2D(64, 3, padding="same")(x)',
        "x = layers.BatchNormalization(momentum=0.9)(x)",
        "y = layers.Conv2D(64, 1)(image)",
        "x = layers.Add()([x, y])",
        'x = layers.Activation("relu")(x)',
        "x = layers.GlobalAveragePooling2D()(x)",
        'outputs = layers.Dense(10, activation="softmax")(x)',
        'model = plait.Model(image, outputs, name="residual")',
    ]


@pytest.mark.parametrize(
    ("build", "lines"),
    [
        (siamese, ['shared = layers.Dense(5, name="shared")', "x = shared(left)"]),
        (nested, ["a, rest_0 = two(inputs)", "x = x + inputs", "rest_1_c, _ = two(x)"]),
        (operators, ["z = 2 - y", "u = y ** -2", "u = -u", "v = y[0]"]),
        (values, ["from test_source import Named, Scale"]),
    ],
    ids=["shared", "nested", "operators", "imports"],
)
def test_what_source_reads_like(build, lines):
    source = build().to_python()
    found = [line for line in lines if line in source.splitlines()]
    assert found == lines or "import" in lines[0]
    if "import" in lines[0]:
        assert "from test_source import Scale" in source
        assert "Named(def_, outputs)" in source


def test_the_source_of_an_edited_model():
    model = demo.residual()
    model.insert_after("activation", layers.Dropout(0.2))
    model.remove("batch_normalization_1")
    assert "Dropout(0.2)" in model.to_python()
    check(model)


def anonymous():
    return layers.Lambda(lambda x: x * 2, name="double")


def local():
    class Inside(layers.Layer):
        def call(self, inputs):
            return inputs

    return Inside(name="here")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (anonymous, "Lambda 'double' .*its argument function .*anonymous function"),
        (local, "class local.<locals>.Inside cannot be imported"),
        (
            lambda: layers.Normalization(mean=np.ones(100), variance=np.ones(100), name="norm"),
            r"Normalization 'norm' .*argument mean .*shape \(100,\) is too large",
        ),
        (lambda: lambda x: x + np.ones((2, 100)), r"ops.add 'add' .*shape \(2, 100\)"),
    ],
)
def test_what_cannot_be_written_is_named(make, message):
    x = Input((100,))
    model = Model(x, layers.Dense(1)(make()(x)))
    with pytest.raises(plait.ConfigError, match=message):
        model.to_python()


@st.composite
def graphs(draw):
    plait.utils.clear_session()
    inputs = [Input((4,)) for _ in range(draw(st.integers(1, 2)))]
    tensors, shared = list(inputs), [layers.Dense(4), layers.LayerNormalization()]
    block = Sequential([Input((4,)), layers.Dense(4, activation="relu")])
    for _ in range(draw(st.integers(1, 8))):
        a, b = draw(st.sampled_from(tensors)), draw(st.sampled_from(tensors))
        made = draw(
            st.sampled_from(
                [
                    lambda a, b: layers.Dense(4, use_bias=False)(a),
                    lambda a, b: shared[0](a),
                    lambda a, b: shared[1](b),
                    lambda a, b: layers.Add()([a, b]),
                    lambda a, b: layers.Concatenate()([a, b])[:, 2:6],
                    lambda a, b: a * b + 1,
                    lambda a, b: ops.where(a > 0, a, b),
                    lambda a, b: block(a),
                    lambda a, b: Model(a, [a + 1, layers.Dense(4)(a)])(b)[1],
                    lambda a, b: ops.split(a, 2, axis=-1)[1] @ np.ones((2, 4)),
                ]
            )
        )
        tensors.append(made(a, b))
    outputs = draw(st.lists(st.sampled_from(tensors[len(inputs) :]), min_size=1, max_size=3))
    outputs = list(dict.fromkeys(outputs))
    used = draw(st.sampled_from(["one", "list", "dict"]))
    if used == "one":
        return Model(inputs, outputs[0])
    return Model(inputs, outputs if used == "list" else {f"o{i}": t for i, t in enumerate(outputs)})


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_random_graphs(model):
    again = rebuilt(model)
    assert str(again.graph) == str(model.graph)
    assert configs(again) == configs(model)
    assert again.output_names == model.output_names
