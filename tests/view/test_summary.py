import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import plait
from plait import Input, Model, Sequential, demo, errors, layers, ops


def text_of(model, **options):
    texts = []
    model.summary(print_fn=texts.append, **options)
    assert len(texts) == 1
    return texts[0]


def table_of(model, **options):
    """Return the cells of the table, header first."""
    lines = [line for line in text_of(model, **options).splitlines() if line[:1] in "┃│"]
    return [[cell.strip() for cell in re.split("[┃│]", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("name", ["sequential", "residual", "two_inputs"])
def test_golden(name):
    expected = (pathlib.Path(__file__).parent / "golden" / f"{name}.txt").read_text("utf-8")
    assert text_of(getattr(demo, name)()) == expected


# -- parameters, as in Keras ----------------------------------------------------------------


def stack(k):
    return k.Sequential([k.Input((8,)), k.layers.Dense(4), k.layers.Dense(3)])


def shared(k):
    a, b, dense = k.Input((8,)), k.Input((8,)), k.layers.Dense(8)
    return k.Model([a, b], k.layers.Add()([dense(a), dense(dense(b))]))


def nested(k):
    inner = k.Sequential([k.Input((6, 6, 3)), k.layers.Conv2D(4, 3), k.layers.Flatten()])
    x = k.Input((6, 6, 3))
    deeper = k.Model(x, k.layers.Dense(2)(k.layers.BatchNormalization()(inner(x))))
    a, b = k.Input((6, 6, 3)), k.Input((6, 6, 3))
    return k.Model([a, b], [deeper(a), deeper(b), inner(b)])


def recurrent(k):
    x = k.Input((5,), dtype="int32")
    y = k.layers.Embedding(50, 8)(x)
    y = k.layers.Bidirectional(k.layers.LSTM(4, return_sequences=True))(y)
    return k.Model(x, k.layers.GRU(3)(y))


def frozen(k):
    model = nested(k)
    model.layers[-1].trainable = False
    return model


def trained(k):
    model = stack(k)
    model.compile("adam", "mse")
    model.fit(np.ones((4, 8)), np.ones((4, 3)), verbose=0)
    return model


def subclassed(k):
    class Two(k.Model):
        def __init__(self):
            super().__init__()
            self.first = k.layers.Dense(4)
            self.second = k.layers.Dense(2)

        def call(self, x):
            return self.second(self.first(x))

    model = Two()
    model(np.ones((1, 3)))
    return model


def params(text):
    totals = dict(re.findall(r"^ (.*) params: ([\d,]+) \(", text, re.MULTILINE))
    return {name: int(count.replace(",", "")) for name, count in totals.items()}


@pytest.mark.parametrize(
    "make",
    [stack, shared, nested, recurrent, frozen, trained, subclassed],
    ids=lambda make: make.__name__,
)
def test_parameters_are_those_of_keras(make):
    ours, theirs = make(plait), make(keras)
    expected = []
    theirs.summary(print_fn=lambda text, line_break=False: expected.append(text))
    assert params(text_of(ours)) == params(expected[0])
    by_type = [(type(x).__name__, x.count_params()) for x in theirs.layers]
    rows = [row for row in table_of(ours)[1:] if "@" not in row[0] and "(Input)" not in row[0]]
    shown = [(re.search(r"\((\w+)\)", row[0])[1], int(row[2].replace(",", ""))) for row in rows]
    functional = {"Functional": "Model"}
    assert shown == [(functional.get(n, n), c) for n, c in by_type if n != "InputLayer"]


def test_optimizer_and_bytes():
    text = text_of(trained(plait))
    assert " Total params: 155 (620 B)" in text
    assert " Optimizer params: 104 (416 B)" in text


# -- what is shown --------------------------------------------------------------------------


@pytest.fixture
def model():
    inner = Sequential([Input((8,)), layers.Dense(4), layers.Dense(2)], name="inner")
    inner.layers[0].trainable = False
    a, b = Input((8,), name="a"), Input((8,), name="b")
    dense = layers.Dense(8, name="shared")
    x = dense(a) + dense(b) * 2
    return Model([a, b], [inner(x), layers.Activation("relu")(x)], name="both")


def test_calls_of_shared_layers_operations_and_connections(model):
    assert table_of(model) == [
        ["Layer (type)", "Output Shape", "Param #", "Connected to", "FLOPs", "Memory"],
        ["a (Input)", "(None, 8)", "0", "-", "0", "0 B"],
        ["b (Input)", "(None, 8)", "0", "-", "0", "0 B"],
        ["shared (Dense)", "(None, 8)", "72", "a", "136", "32 B"],
        ["shared@1", "(None, 8)", "", "b", "136", "32 B"],
        ["multiply (ops.multiply)", "(None, 8)", "0", "shared@1", "8", "32 B"],
        ["add (ops.add)", "(None, 8)", "0", "shared, multiply", "8", "32 B"],
        ["inner (Sequential)", "(None, 2)", "46", "add", "86", "24 B"],
        ["activation (Activation)", "(None, 8)", "0", "add", "8", "32 B"],
    ]


def test_nested_models_and_trainable(model):
    text = text_of(model, expand_nested=True, show_trainable=True)
    assert re.search(r"│ inner \(Sequential\) .* Y +│\n│   input_layer \(Input\) .* - +│", text)
    assert re.search(r"│   dense \(Dense\) .* N +│\n│   dense_1 \(Dense\) .* Y +│", text)
    assert table_of(model, show_trainable=True)[0][-1] == "Trainable"


def test_connections_appear_when_only_a_nested_model_branches():
    x = Input((4,))
    inner = Model(x, layers.Add()([x, layers.Dense(4)(x)]), name="inner")
    outer = Sequential([Input((4,)), inner])
    assert "Connected to" not in table_of(outer)[0]
    rows = table_of(outer, expand_nested=True)
    assert rows[0][3] == "Connected to"
    assert rows[-1][:4] == ["add (Add)", "(None, 4)", "0", "input_layer, dense"]


def test_several_outputs_and_a_graph_cut_in_the_middle():
    x = Input((6, 3))
    out, state = layers.SimpleRNN(2, return_state=True)(x)
    row = table_of(Model(x, out + state))[-1]
    assert row[3] == "simple_rnn[0], simple_rnn[1]"
    hidden = layers.Dense(4, name="hidden")(out)
    cut = Model(hidden, layers.Add()([hidden, layers.Dense(4)(hidden)]))
    assert [row[3] for row in table_of(cut)[1:]] == ["hidden", "hidden, dense"]


def test_figures_not_known():
    x = Input((None, 4))
    y = layers.Dense(4)(x)
    text = text_of(Model(x, y))
    assert "FLOPs per sample: ~36\n Activation memory per sample: ~16 B" in text
    text = text_of(Model(x, layers.Conv1D(2, 3)(y)))
    assert "FLOPs per sample: ?\n Activation memory per sample: ?" in text


def test_large_numbers_have_units():
    x = Input((1000, 1000, 3))
    text = text_of(Model(x, layers.Conv2D(1000, 3, padding="same", use_bias=False)(x)))
    assert "FLOPs per sample: 54.00 G\n Activation memory per sample: 3.73 GB" in text


@pytest.mark.parametrize("make", [lambda: Sequential([layers.Dense(3)]), Sequential])
def test_unbuilt(make):
    text = text_of(make())
    assert "Not built: the shape of its input is not known" in text
    assert "model.build(input_shape)" in text
    assert "Total params" not in text


def test_models_without_a_graph():
    class Two(Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(4)
            self.second = stack(plait)

        def call(self, x):
            return self.second(ops.concatenate([self.first(x), x], axis=-1))

    two = Two()
    assert table_of(two)[1] == ["dense (Dense)", "?", "unbuilt"]
    assert "Not built" in text_of(two)
    two.build((None, 4))
    assert table_of(two, expand_nested=True) == [
        ["Layer (type)", "Output Shape", "Param #"],
        ["dense (Dense)", "?", "20"],
        ["sequential (Sequential)", "?", "51"],
        ["input_layer (Input)", "(None, 8)", "0"],
        ["dense_1 (Dense)", "(None, 4)", "36"],
        ["dense_2 (Dense)", "(None, 3)", "15"],
    ]
    assert "Total params: 71" in text_of(two)


# -- how it is laid out ---------------------------------------------------------------------


def test_line_length_and_positions(model):
    for length in (70, 120):
        lines = text_of(model, line_length=length).splitlines()
        assert {len(line) for line in lines[1:-6]} == {length}
    header = text_of(model, positions=[30, 50]).splitlines()[1]
    assert header.split("┳")[0] + header.split("┳")[1] == "┏" + "━" * 48
    assert header[30] == header[50] == "┳"
    lines = text_of(model, positions=[0.3, 0.6, 0.7, 1.0], line_length=130).splitlines()
    assert len(lines[1]) == 130


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"line_length": 20}, "line_length=20 is too small for 6 columns"),
        ({"positions": [1] * 7}, "6 numbers or fewer, one for each column; received 7"),
        ({"positions": [0.5, 0.4, 1.0]}, r"positions \[0.5, 0.4, 1.0\] leave no room for column 2"),
        ({"layer_range": ["a"]}, "layer_range is the names of two layers"),
        ({"layer_range": ["a", "inners"]}, "no layer is named 'inners'. Did you mean 'inner'?"),
    ],
)
def test_bad_arguments(model, options, message):
    with pytest.raises(errors.ConfigError, match=message):
        model.summary(**options)


@pytest.mark.parametrize("bounds", [("shared", "add"), ["add", "sha"], ("sh.*d", "ad")])
def test_layer_range(model, bounds):
    names = [row[0].split()[0] for row in table_of(model, layer_range=bounds)[1:]]
    assert names == ["shared", "shared@1", "multiply", "add"]
    assert "Total params: 118" in text_of(model, layer_range=bounds)


def test_a_pipe_gets_plain_text_that_is_not_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    block = demo.residual()
    block.summary()
    printed = capsys.readouterr().out
    assert printed == text_of(block)
    assert max(map(len, printed.splitlines())) > 130
    assert "\x1b" not in printed


def test_a_terminal_is_not_overrun(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    demo.residual().summary()
    printed = re.sub("\x1b\\[[\\d;]*m", "", capsys.readouterr().out)
    assert max(map(len, printed.splitlines())) == 100
    assert "…" not in printed


def test_rich_is_imported_when_needed():
    code = "import sys, plait.view.summary; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_markup_in_names_is_kept():
    x = Input((2,), name="[bold]")
    assert table_of(Model(x, ops.add(x, x), name="[red]"))[1][0] == "[bold] (Input)"
