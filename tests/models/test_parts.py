"""Models made of other models: taps, cuts, parts, copies, merges and stacks."""

import numpy as np
import pytest

import plait
from plait import Input, Model, Sequential, demo, layers

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


def nested():
    a = Input((4,), name="a")
    inner = Model(a, layers.Dense(3, name="conv")(layers.ReLU(name="pre")(a)), name="inner")
    b = Input((4,), name="b")
    mid = Model(b, layers.Dense(4, name="post")(inner(b)), name="mid")
    x = Input((4,), name="x")
    h = mid(x)
    return Model(x, layers.Dense(2, name="head")(layers.Add(name="sum")([h, mid(h)])), name="outer")


def twins():
    left, right = Input((4,), name="left"), Input((4,), name="right")
    tower = layers.Dense(3, name="tower")
    distance = layers.Subtract(name="difference")([tower(left), tower(right)])
    return Model([left, right], layers.Dense(1, name="same")(distance), name="twins")


def equal(left, right):
    for a, b in zip(plait.tree.flatten(left), plait.tree.flatten(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


# -- taps -----------------------------------------------------------------------------------


def test_taps_are_layers_and_tensors_as_well():
    model = nested()
    conv = model.get_layer("mid/inner/conv")
    found = model.taps(conv, model.graph.node("mid@1").outputs[0])(X)
    equal(found["mid/inner/conv"], model.taps("mid/inner/conv")(X)["mid/inner/conv"])
    equal(found["mid"], model.get_layer("mid")(model.get_layer("mid")(X)))
    assert model.taps(["mid/**:Dense", "he*"]).output_names == [
        "mid/inner/conv",
        "mid/post",
        "head",
    ]
    model.get_layer("mid").trainable = False
    assert model.taps(conv).trainable_variables == model.trainable_variables[:0]


def test_taps_reach_into_nested_models():
    model = nested()
    taps = model.taps("mid/inner/conv", "mid@1/inner/pre", "mid@1", "head")
    found = taps(X)
    assert taps.output_names == ["mid/inner/conv", "mid@1/inner/pre", "mid@1", "head"]
    mid, inner = model.get_layer("mid"), model.get_layer("mid/inner")
    once = mid(X)
    equal(found["mid/inner/conv"], inner(X))
    equal(found["mid@1/inner/pre"], np.maximum(once, 0))
    equal(found["mid@1"], mid(once))
    equal(found["head"], model(X))
    assert {id(v) for v in taps.variables} == {id(v) for v in model.variables}
    assert taps.graph.verify()
    assert str(model.graph).count("(None, 3)") == 0  # the model itself has not changed


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ((), "needs at least one target"),
        (("nope",), "no layer 'nope'"),
        (("sum/x",), "no graph of its own to tap"),
        (("mid/nope",), "Model 'mid'.*no layer 'nope'"),
        (("hed*",), "matches 'hed\\*'"),
        ((Input((3,)),), "is not in Model 'outer'"),
    ],
)
def test_targets_that_cannot_be_tapped(targets, message):
    with pytest.raises(plait.errors.PlaitError, match=message):
        nested().taps(*targets)


# -- cut and submodel -----------------------------------------------------------------------


@pytest.mark.parametrize("index", range(1, 10))
def test_two_halves_of_a_residual_block_compose(index):
    model = demo.residual()
    image = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    head, tail = model.cut(model.layers[index])
    assert head.graph.verify()
    assert tail.graph.verify()
    equal(tail(head(image)), model(image))
    assert {id(v) for m in (head, tail) for v in m.variables} == {id(v) for v in model.variables}


@pytest.mark.parametrize(
    "target",
    [
        "mid/inner/pre",
        "**/conv",
        "mid@1/inner/pre",
        "mid/inner/conv",
        "mid@1/post",
        "mid/b",
        "layer",
        "tensor",
    ],
)
def test_a_cut_within_a_nested_model_cuts_the_models_around_it(target):
    model = nested()
    inner = model.get_layer("mid/inner")
    objects = {"layer": inner.get_layer("pre"), "tensor": inner.graph.node("pre").outputs[0]}
    before = str(model.graph)
    head, tail = model.cut(objects.get(target, target))
    equal(tail(head(X)), model(X))
    assert head.graph.verify()
    assert tail.graph.verify()
    assert {id(v) for m in (head, tail) for v in m.variables} == {id(v) for v in model.variables}
    assert str(model.graph) == before
    assert "mid_head" in {layer.name for layer in head.layers}
    assert "mid_tail" in {layer.name for layer in tail.layers}


def test_what_skips_a_cut_is_a_named_input():
    model = twins()
    head, tail = model.cut("tower@1")
    assert tail.input_names == ["tower", "tower_1"]
    equal(tail(head([X, X + 1])), model([X, X + 1]))


def test_masks_cross_a_cut():
    embedding = layers.Embedding(9, 4, mask_zero=True, name="e")
    model = Sequential([Input((5,), dtype="int32"), embedding, layers.LSTM(3)])
    tokens = np.array([[1, 2, 0, 0, 0]])
    head, tail = model.cut("e")
    equal(tail(head(tokens)), model(tokens))


def test_submodel():
    model = nested()
    part = model.submodel("mid", "head")
    assert part.input_names == ["mid_1"] or part.input_shape == (None, 4)
    taps = model.taps("mid", "head")(X)
    equal(part(taps["mid"]), taps["head"])
    both = model.submodel(["mid", "mid@1"], ["sum", "head"])
    equal(both([X, X])[0], X + X)
    with pytest.raises(plait.GraphError, match="depends on input 'x'"):
        model.submodel("mid@1", "head")


def test_submodels_between_places_within_nested_models():
    model = nested()
    inner = model.get_layer("mid/inner")
    part = model.submodel("mid/inner/pre", "mid/inner/conv")
    equal(part(X), inner.get_layer("conv")(X))
    x = Input((4,))
    chain = Model(x, layers.ReLU()(model.get_layer("mid")(x)))
    part = chain.submodel("mid/inner/conv", chain.layers[-1])
    equal(part(X[:, :3]), np.maximum(model.get_layer("mid/post")(X[:, :3]), 0))


# -- copies ---------------------------------------------------------------------------------


def shared_between_models():
    shared = layers.Dense(4, name="shared")
    a, b, x = Input((4,)), Input((4,)), Input((4,))
    first = Model(a, shared(a), name="first")
    second = Model(b, layers.ReLU()(shared(b)), name="second")
    return Model(x, layers.Add()([first(x), second(x), shared(x)]))


@pytest.mark.parametrize("make", [nested, shared_between_models])
def test_copies(make):
    model = make()
    shared, copied, fresh = (model.copy(weights) for weights in ("shared", "copied", "fresh"))
    for copy in (shared, copied, fresh):
        assert str(copy.graph) == str(model.graph)
        assert copy.graph.verify()
        assert len(copy.variables) == len(model.variables)
    assert shared.variables == model.variables
    assert not {id(v) for v in copied.variables} & {id(v) for v in model.variables}
    equal(copied(X), model(X))
    assert not np.allclose(fresh(X), model(X))
    copied.freeze()
    assert model.trainable_variables
    with pytest.raises(plait.ConfigError, match="'shared', 'copied' or 'fresh'"):
        model.copy("new")


def test_copies_of_a_sequential_are_sequential():
    model = Sequential([layers.Dense(3, name="a"), layers.Dense(2)], name="s")
    assert not model.copy("fresh").built
    model(X)
    copy = model.copy()
    assert isinstance(copy, Sequential)
    equal(copy(X), model(X))
    copy.replace("a", layers.Dense(5), rebuild="downstream")
    assert model.layers[0].units == 3


# -- merge and stack ------------------------------------------------------------------------


def test_merge_runs_models_side_by_side():
    a, b = nested(), twins()
    both = plait.merge(a, b, prefix=("a/", "b/"), name="both")
    assert both.input_names == ["a_x", "b_left", "b_right"]
    assert both.output_names == ["a", "b"]
    assert {path.split("/")[0] for path in both.state()} == {"a", "b"}
    equal(both([X, X, X + 1]), [a(X), b([X, X + 1])])
    both.replace("a/head", layers.Dense(2, name="new"))
    assert both.get_layer("a/new").name == "new"
    assert a.get_layer("head").name == "head"
    both.compile("sgd", {"a": "mse", "b": "mse"})
    both.fit([X, X, X], {"a": X[:, :2], "b": X[:, :1]}, verbose=0)
    one = plait.merge(b, b, prefix=("u", "v"))
    assert len(one.variables) == len(b.variables)


def test_stack_runs_models_one_after_another():
    trunk = Sequential([Input((4,)), layers.Dense(8)], name="trunk")
    head = Sequential([Input((8,)), layers.Dense(2)], name="head")
    model = plait.stack(trunk, head)
    equal(model(X), head(trunk(X)))
    with pytest.raises(plait.ShapeError, match=r"Sequential 'trunk'.* expects"):
        plait.stack(head, trunk)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plait.merge(nested()), "at least two models"),
        (lambda: plait.merge(nested(), nested()), "one prefix for each of 2 models"),
        (lambda: plait.merge(nested(), Sequential([layers.Dense(1)])), "takes models with a graph"),
        (lambda: plait.stack(nested(), 3), "received 3"),
    ],
)
def test_models_that_cannot_be_put_together(make, message):
    with pytest.raises(plait.errors.PlaitError, match=message):
        make()


# -- Sequential and back --------------------------------------------------------------------


def test_sequential_to_model_and_back():
    model = Sequential([Input((4,), name="x"), layers.Dense(3), layers.ReLU()], name="s")
    there = model.to_model()
    back = there.to_sequential()
    assert type(there) is Model
    assert isinstance(back, Sequential)
    assert str(back.graph) == str(there.graph) == str(model.graph)
    assert back.layers == model.layers
    equal(back(X), model(X))


def add_constant():
    x = Input((4,), name="x")
    return Model(x, layers.Dense(1)(x * 2.0))


def shared_in_a_row():
    x, dense = Input((4,)), layers.Dense(4, name="dense")
    return Model(x, dense(dense(x)))


def several_outputs():
    x = Input((5, 3))
    return Model(x, layers.LSTM(2, return_state=True, name="lstm")(x)[0])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (twins, "2 inputs: left, right"),
        (demo.residual, "image is used by conv2d"),
        (add_constant, "multiply.* is called with more than its input"),
        (shared_in_a_row, "dense is called 2 times"),
        (several_outputs, "lstm returns 3 tensors"),
    ],
)
def test_models_that_are_no_chain_say_where(make, reason):
    with pytest.raises(plait.GraphError, match=f"is no chain: {reason}"):
        make().to_sequential()
