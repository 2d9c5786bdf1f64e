"""Edits of graphs: golden text for each verb, and random edits of random graphs."""

import collections
import difflib
import importlib.util
import pathlib
import re

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plait
from plait import Input, Model, Sequential, demo, layers
from plait.core.naming import clear_session

GOLDEN = pathlib.Path(__file__).parent / "golden"
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def resnet20():
    """Return the ResNet-20 of the examples."""
    spec = importlib.util.spec_from_file_location("resnet20", EXAMPLES / "resnet20.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example.make_resnet((16, 16, 1), num_classes=10)


def resnet():
    """Return two residual blocks, the second with a projection and fewer pixels."""
    image = Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="stem")(image)
    for block, (filters, strides) in enumerate([(4, 1), (8, 2)], 1):
        name = f"block{block}"
        shortcut = x
        if strides > 1:
            shortcut = layers.Conv2D(filters, 1, strides, name=f"{name}_shortcut")(x)
        x = layers.Conv2D(filters, 3, strides, padding="same", name=f"{name}_conv1")(x)
        x = layers.BatchNormalization(name=f"{name}_bn1")(x)
        x = layers.Activation("relu", name=f"{name}_relu1")(x)
        x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv2")(x)
        x = layers.BatchNormalization(name=f"{name}_bn2")(x)
        x = layers.Add(name=f"{name}_add")([x, shortcut])
        x = layers.Activation("relu", name=f"{name}_relu2")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return Model(image, layers.Dense(10, name="logits")(x), name="resnet")


def siamese():
    image = Input((4, 4), name="image")
    h = layers.Dense(8, activation="relu", name="dense")(layers.Flatten(name="flat")(image))
    tower = Model(image, layers.Dense(3, name="point")(h), name="tower")
    left, right = Input((4, 4), name="left"), Input((4, 4), name="right")
    distance = layers.Subtract(name="difference")([tower(left), tower(right)])
    return Model([left, right], layers.Dense(1, name="same")(distance), name="siamese")


def nested():
    a = Input((4,), name="a")
    inner = Model(a, layers.Dense(4, name="conv")(layers.ReLU(name="pre")(a)), name="inner")
    b = Input((4,), name="b")
    outer = Model(b, layers.Dense(4, name="post")(inner(b)), name="block")
    x = Input((4,), name="x")
    h = outer(x)
    total = layers.Add(name="sum")([h, outer(h)])
    return Model(x, layers.Dense(2, name="head")(total), name="nested")


def multi_output():
    x = Input((5, 3), name="x")
    sequence, hidden, cell = layers.LSTM(4, return_state=True, name="lstm")(x)
    joined = layers.Concatenate(name="join")([sequence, hidden])
    return Model(
        x, {"class": layers.Dense(2, name="logits")(joined), "cell": cell}, name="multi_output"
    )


MODELS = {
    "sequential": demo.sequential,
    "residual": demo.residual,
    "two_inputs": demo.two_inputs,
    "resnet": resnet,
    "resnet20": resnet20,
    "siamese": siamese,
    "nested": nested,
    "multi_output": multi_output,
}


def add_input(model):
    with model.edit() as edit:
        extra = edit.add_input("price", (64,))
        edit.rewire("concatenate", ["flatten", "dense", extra])
        edit.replace("dense_1", layers.Dense(2, name="head"))


def remove_input(model):
    with model.edit(rebuild="downstream") as edit:
        edit.remove("concatenate", keep="flatten")
        edit.remove_input("text_input")


# model: a layer that can be removed, an edge, a rewiring, a replacement of all uses
PLACES = {
    "sequential": ("dense", ("flatten", "dense"), ("dense_1", ["flatten"]), ("dense", "flatten")),
    "residual": (
        "activation",
        ("batch_normalization", "activation"),
        ("add", ["conv2d", "conv2d_2"]),
        ("batch_normalization_1", "conv2d_2"),
    ),
    "two_inputs": (
        "dense",
        ("dense", "concatenate"),
        ("concatenate", ["dense", "flatten"]),
        ("dense", "text_input"),
    ),
    "resnet20": (
        "re_lu_1",
        ("re_lu_1", "conv2d_2"),
        ("add_4", ["batch_normalization_10", "batch_normalization_11"]),
        ("add", "re_lu"),
    ),
    "siamese": ("tower/flat", ("tower", "difference"), ("difference", ["tower@1", "tower"]),
                ("tower@1", "tower")),
    "nested": ("block/inner/pre", ("block", "sum"), ("sum", ["block@1", "block@1", "x"]),
               ("block@1", "block/inner/pre")),
    "multi_output": ("join", ("lstm[0]", "join"), ("join", ["lstm[2]", "lstm[0]"]),
                     ("lstm[0]", "lstm[1]")),
}  # fmt: skip


def every_verb(one, edge, rewiring, uses):
    """Return each verb, by name, at the places of a model; some cannot be done there."""

    def new(name="new"):
        return layers.Activation("tanh", name=name)

    def without(model):
        kind = type(model.get_layer(one)).__name__
        model.replace_layers(f"**/*:{kind}", lambda layer: None)

    return {
        "insert_after": lambda m: m.insert_after(one, new()),
        "insert_before": lambda m: m.insert_before(one, new()),
        "insert_between": lambda m: m.insert_between(*edge, new()),
        "replace": lambda m: m.replace(one, new("other")),
        "remove": lambda m: m.remove(one),
        "rewire": lambda m: m.rewire(*rewiring),
        "replace_all_uses_with": lambda m: m.replace_all_uses_with(*uses),
        "add_input": lambda m: m.add_input("extra", (3,)),
        "remove_input": lambda m: m.remove_input(m.input_names[0]),
        "add_output": lambda m: m.add_output("more", at=one),
        "remove_output": lambda m: m.remove_output(m.output_names[-1]),
        "rename": lambda m: m.rename(one, "renamed"),
        "replace_layers": without,
    }


EDITS = {
    "sequential": {
        "insert_after": lambda m: m.insert_after("dense", layers.Dropout(0.5)),
        "insert": lambda m: m.insert(1, layers.GaussianNoise(0.1)),
        "replace": lambda m: m.replace("dense_1", layers.Dense(3, name="head")),
        "pop": lambda m: m.pop(),
    },
    "residual": {
        "insert_after input": lambda m: m.insert_after("image", layers.Rescaling(2.0)),
        "insert_before": lambda m: m.insert_before("dense", layers.Dropout(0.5)),
        "insert_between": lambda m: m.insert_between("conv2d_2", "add", layers.ReLU()),
        "replace": lambda m: m.replace("add", layers.Maximum()),
        "replace width": lambda m: m.replace(
            "conv2d", layers.Conv2D(8, 3, padding="same"), rebuild="downstream"
        ),
        "remove": lambda m: m.remove("activation"),
        "remove keep": lambda m: m.remove("add", keep="conv2d_2"),
        "rewire more": lambda m: m.rewire("add", ["batch_normalization_1", "conv2d_2", "conv2d"]),
        "replace_all_uses_with": lambda m: m.replace_all_uses_with("batch_normalization", "conv2d"),
        "replace_layers": lambda m: m.replace_layers("*:Activation", layers.Activation("gelu")),
        "add_output": lambda m: m.add_output("features", at="global_average_pooling2d"),
        "rename": lambda m: m.rename("dense", "head"),
        "glob": lambda m: m.insert_after("activation*", layers.Dropout(0.1)),
    },
    "two_inputs": {
        "remove keep": lambda m: m.remove("concatenate", keep="dense", rebuild="downstream"),
        "add_input": add_input,
        "remove_input": remove_input,
    },
    "resnet": {
        "all relu": lambda m: m.replace_layers("*:Activation", layers.Activation("gelu")),
        "glob": lambda m: m.insert_after("block*_relu2", layers.SpatialDropout2D(0.1, name="drop")),
        "skip": lambda m: m.insert_between("stem", "block1_add", layers.LayerNormalization()),
        "no shortcut": lambda m: m.remove("block1_add", keep="block1_bn2"),
        "head": lambda m: m.replace("logits", layers.Dense(3, name="head")),
    },
    "siamese": {
        "path": lambda m: m.insert_after("tower/dense", layers.BatchNormalization()),
        "second call": lambda m: m.insert_after("tower@1", layers.ReLU(name="rectified")),
        "unshared": lambda m: m.replace("tower@1", m.get_layer("tower").copy("fresh")),
    },
    "nested": {
        "path": lambda m: m.replace("block/inner/conv", layers.Dense(4, name="new")),
        "path glob": lambda m: m.remove("**:ReLU"),
        "resize": lambda m: m.replace("block/inner/conv", layers.Dense(6), rebuild="downstream"),
    },
    "multi_output": {
        "one of several": lambda m: m.insert_after("lstm[1]", layers.Dropout(0.5)),
        "add_output": lambda m: m.add_output("hidden", at="lstm[1]"),
        "remove_output": lambda m: m.remove_output("cell"),
        "rewire": lambda m: m.rewire("join", ["lstm[1]", "lstm[0]"]),
    },
}


def text(model):
    """Return the graph of a model and of those within."""
    within = [
        (path, layer)
        for path, layer in plait.core.walk.walk(model)
        if getattr(layer, "has_graph", False)
    ]
    return "\n".join(f"{path or model.name}:\n{layer.graph}" for path, layer in within)


def changes(before, after):
    """Return the lines that differ."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:2] not in ("--", "++", "@@")]


def edited(name):
    """Return the text of a model and what each edit changes in it."""
    clear_session()
    parts = [f"== {name} ==", text(MODELS[name]())]
    for what, edit in EDITS.get(name, {}).items():
        clear_session()
        model = MODELS[name]()
        before = text(model)
        edit(model)
        assert model.graph.verify()
        after = text(model)
        parts += [f"-- {what}", *model.edits, *changes(before, after)]
        model.undo()
        assert text(model) == before
        model.redo()
        assert model.graph.verify()
    return "\n".join([*parts, *at_every_verb(name)]) + "\n"


def at_every_verb(name):
    """Yield what each verb changes in one model, which is undone each time, or its error."""
    if name not in PLACES:
        return
    clear_session()
    model = MODELS[name]()
    before = text(model)
    for verb, edit in every_verb(*PLACES[name]).items():
        yield f"-- every verb: {verb}"
        try:
            edit(model)
        except plait.errors.PlaitError as error:
            line = re.sub(r" \([\w<>]+(\.py)?:\d+\)", "", str(error).splitlines()[0])
            yield f"{type(error).__name__}: {line}"
            assert text(model) == before
            continue
        assert model.graph.verify()
        yield from [*model.edits, *changes(before, text(model))]
        model.undo()
        assert text(model) == before


@pytest.mark.parametrize("name", MODELS)
def test_each_verb_changes_the_text_as_written(name):
    assert edited(name) == (GOLDEN / f"{name}.txt").read_text()


# -- at random ------------------------------------------------------------------------------


def make_layer(draw, width=4):
    kinds = st.sampled_from(["dense", "act", "norm", "tower"])
    kind = draw(kinds)
    if kind == "dense":
        return layers.Dense(width)
    if kind == "act":
        return layers.Activation(draw(st.sampled_from(["tanh", "relu"])))
    if kind == "norm":
        return layers.LayerNormalization()
    return Sequential([Input((width,)), layers.Dense(width, name="inside")])


@st.composite
def graphs(draw):
    clear_session()
    tensors = [Input((4,), name=f"in{i}") for i in range(draw(st.integers(1, 2)))]
    inputs = list(tensors)
    shared = layers.Dense(4, name="shared")
    pick = st.integers(0, 30).map(lambda i: tensors[-1 - i % min(len(tensors), 3)])
    for _ in range(draw(st.integers(2, 7))):
        kind = draw(st.sampled_from(["layer", "layer", "shared", "merge", "op", "cat"]))
        if kind == "layer":
            tensors.append(make_layer(draw)(draw(pick)))
        elif kind == "shared":
            tensors.append(shared(draw(pick)))
        elif kind == "merge":
            tensors.append(layers.Add()([draw(pick), draw(pick)]))
        elif kind == "op":
            tensors.append(draw(pick) * 2.0)
        else:
            tensors.append(layers.Dense(4)(layers.Concatenate()([draw(pick), draw(pick)])))
    first = tensors[len(inputs) :]
    outputs = [first[-1], *draw(st.lists(st.sampled_from(first), max_size=2))]
    outputs = list(dict.fromkeys(outputs))
    return Model(inputs, outputs)


def random_edit(draw, edit, model):
    names = list(model.graph.names.values())
    names += [
        f"{layer.name}/{inner.name}"
        for layer in model.layers
        for inner in getattr(layer, "layers", ())
    ]
    name = st.sampled_from([*names, "missing"])
    verb = draw(
        st.sampled_from(
            ["insert_after", "insert_before", "insert_between", "replace", "remove", "rewire",
             "replace_all_uses_with", "add_output", "remove_output", "rename", "add_input",
             "remove_input", "replace_layers"]
        )
    )  # fmt: skip
    if verb in ("insert_after", "insert_before", "replace"):
        width = draw(st.sampled_from([4, 4, 4, 5]))
        getattr(edit, verb)(draw(name), layers.Dense(width))
    elif verb == "insert_between":
        edit.insert_between(draw(name), draw(name), layers.Activation("tanh"))
    elif verb == "remove":
        edit.remove(draw(name), keep=draw(st.one_of(st.none(), name)))
    elif verb == "rewire":
        edit.rewire(draw(name), [draw(name) for _ in range(draw(st.integers(1, 3)))])
    elif verb == "replace_all_uses_with":
        edit.replace_all_uses_with(draw(name), draw(name))
    elif verb == "add_output":
        edit.add_output("more", draw(name))
    elif verb == "remove_output":
        edit.remove_output(draw(name))
    elif verb == "remove_input":
        edit.remove_input(draw(name))
    elif verb == "replace_layers":
        kind = draw(st.sampled_from(["Dense", "Activation", "Add"]))
        edit.replace_layers(f"**/*:{kind}", draw(st.sampled_from([layers.ReLU(), _gone, _again])))
    elif verb == "rename":
        edit.rename(draw(name), draw(st.sampled_from(["other", *names[:2]])))
    else:
        edit.add_input("extra", (4,))


def _gone(layer):
    return None


def _again(layer):
    return layer.clone()


def outputs_by_node(model, data):
    values = model([data[tensor.node.layer] for tensor in model.inputs])
    flat = values if isinstance(values, list) else [values]
    return dict(zip([(t.node, t.index) for t in model.outputs], map(np.asarray, flat), strict=True))


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_random_edits_of_random_graphs(data):
    model = data.draw(graphs())
    rng = np.random.default_rng(0)
    arrays = collections.defaultdict(lambda: rng.normal(size=(2, 4)).astype("float32"))
    rebuild = data.draw(st.sampled_from([None, "downstream"]))
    with jax.disable_jit():
        for _ in range(2):
            before, weights = text(model), [np.array(w) for w in model.get_weights()]
            values, count = outputs_by_node(model, arrays), len(model.edits)
            try:
                with model.edit(rebuild) as edit:
                    for _ in range(data.draw(st.integers(1, 2))):
                        random_edit(data.draw, edit, model)
            except plait.errors.PlaitError:
                assert text(model) == before
                assert len(model.edits) == count
                assert all(map(np.array_equal, weights, model.get_weights()))
                assert model.graph.verify()
                continue
            assert model.graph.verify()
            after = outputs_by_node(model, arrays)
            for output in set(values) & set(after):
                np.testing.assert_array_equal(values[output], after[output])
            changed = text(model)
            model.undo()
            assert text(model) == before
            assert all(map(np.array_equal, weights, model.get_weights()))
            for output, value in outputs_by_node(model, arrays).items():
                np.testing.assert_array_equal(values[output], value)
            model.redo()
            assert text(model) == changed
            assert model.graph.verify()


# -- verify ---------------------------------------------------------------------------------


def small():
    x = Input((4,), name="x")
    return Model(x, layers.Dense(2, name="b")(layers.Dense(3, name="a")(x)))


def test_verify_finds_what_is_wrong():
    graph = small().graph
    assert graph.verify()
    graph.nodes = graph.nodes[::-1]
    with pytest.raises(plait.GraphError, match="comes before its input 'a'"):
        graph.verify()
    graph = small().graph
    graph.nodes[1].outputs[0].shape = (None, 9)
    with pytest.raises(ValueError, match=r"'a'.* is \(None, 9\) in the graph, but returns"):
        graph.verify()
    graph = small().graph
    graph.layers[1]._name = "b"
    with pytest.raises(plait.GraphError, match="two layers of one model are named 'b'"):
        graph.verify()


def test_a_chain_of_5000_is_edited_without_recursion():
    x = h = Input((4,))
    for _ in range(5000):
        h = layers.Activation("linear")(h)
    model = Model(x, h)
    names = [layer.name for layer in model.layers]
    model.insert_after(names[1], layers.Dropout(0.1, name="drop"))
    model.remove(names[2500])
    assert model.graph.verify()
    assert len(model.layers) == 5001
    model.undo()
    assert len(model.layers) == 5002
