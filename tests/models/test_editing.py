"""Edits of models: names, failures, history, nested models, and training that goes on."""

import gc
import weakref

import numpy as np
import pytest

import plait
from plait import Input, Model, Sequential, layers
from plait.callbacks import Callback
from plait.core.walk import variables_by_path

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
A, B = np.ones((16, 1), "float32"), np.zeros((16,), "int32")


def two_heads():
    x = Input((4,), name="x")
    h = layers.Dense(8, activation="relu", name="h")(x)
    price = layers.Dense(1, name="price")(h)
    return Model(x, [price, layers.Dense(3, activation="softmax", name="kind")(h)], name="two")


def compiled(**kwargs):
    model = two_heads()
    losses = ["mse", "sparse_categorical_crossentropy"]
    model.compile("adam", losses, metrics=[["mae"], ["accuracy"]], **kwargs)
    return model


def chain(*names):
    return Sequential([Input((4,)), *[layers.Dense(4, name=name) for name in names]], name="seq")


def nested():
    a = Input((4,), name="a")
    inner = Model(a, layers.Dense(3, name="conv")(layers.Dense(4, name="pre")(a)), name="inner")
    b = Input((4,), name="b")
    mid = Model(b, layers.Dense(4, name="post")(inner(b)), name="mid")
    x = Input((4,), name="x")
    h = mid(x)
    return Model(x, layers.Dense(2, name="head")(layers.Add(name="sum")([h, mid(h)])), name="outer")


def state_of(model):
    return {path: np.array(value) for path, value in model.state().items()}


def equal(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left)


def slots_of(model):
    return {path: np.array(slot.value) for path, slot in model.optimizer.slots.items()}


# -- targets --------------------------------------------------------------------------------


def tensor_before_an_edit(model):
    tensor = model.get_layer("price").output
    model.insert_after("h", layers.ReLU())
    return tensor


@pytest.mark.parametrize(
    "target",
    [
        lambda m: "price",
        lambda m: "price@0",
        lambda m: "price[0]",
        lambda m: "pri*",
        lambda m: m.get_layer("price"),
        lambda m: m.outputs[0],
        tensor_before_an_edit,
    ],
)
def test_a_target_is_a_name_a_layer_or_a_tensor(target):
    model = two_heads()
    model.insert_after(target(model), layers.ReLU(name="new"))
    assert model.output_names == ["new", "kind"]
    assert model.graph.verify()


@pytest.mark.parametrize(
    "target", ["mid/inner/pre", "mid@1/inner/pre", "**/pre:Dense", "layer", "tensor"]
)
def test_targets_in_nested_models(target):
    model = nested()
    expected = model(X)
    inner = model.get_layer("mid/inner")
    pre = inner.get_layer("pre")
    target = {"layer": pre, "tensor": inner.graph.node("pre").outputs[0]}.get(target, target)
    model.insert_after(target, layers.Activation("linear", name="new"))
    assert [layer.name for layer in inner.layers] == ["a", "pre", "new", "conv"]
    assert model.graph.verify()
    np.testing.assert_array_equal(model(X), expected)


def every_kind():
    """Return a model with a shared layer, a nested model and two outputs."""
    a = Input((4,), name="a")
    act = layers.ReLU(name="act")(layers.Dense(4, name="pre")(a))
    inner = Model(a, layers.Dense(4, name="conv")(act), name="inner")
    x = Input((4,), name="x")
    dense = layers.Dense(4, name="dense")
    h = inner(dense(layers.ReLU(name="top")(dense(x))))
    return Model(x, [layers.Dense(2, name="head")(h), layers.Dense(3, name="other")(h)], name="m")


# kind of target: (what it means in a model, the name of what it takes)
KINDS = {
    "name": (lambda m: "top", "dense"),
    "call": (lambda m: "dense@1", "top"),
    "output of a call": (lambda m: "dense@1[0]", "top"),
    "path": (lambda m: "inner/act", "inner/pre"),
    "glob": (lambda m: "to*", "dense"),
    "glob of paths": (lambda m: "**/act:ReLU", "inner/pre"),
    "layer": (lambda m: m.get_layer("top"), "dense"),
    "layer within": (lambda m: m.get_layer("inner/act"), "inner/pre"),
    "tensor": (lambda m: m.graph.node("top").outputs[0], "dense"),
    "tensor within": (lambda m: m.get_layer("inner").graph.node("act").outputs[0], "inner/pre"),
}
VERBS = {
    "insert_after": lambda m, t, s: m.insert_after(t, layers.Activation("tanh", name="new")),
    "insert_before": lambda m, t, s: m.insert_before(t, layers.Activation("tanh", name="new")),
    "insert_between": lambda m, t, s: m.insert_between(s, t, layers.Activation("tanh")),
    "replace": lambda m, t, s: m.replace(t, layers.Activation("gelu", name="new")),
    "remove": lambda m, t, s: m.remove(t),
    "rewire": lambda m, t, s: m.rewire(t, [s]),
    "rewire to": lambda m, t, s: m.rewire("head", t),
    "replace_all_uses_with": lambda m, t, s: m.replace_all_uses_with(t, s),
    "rename": lambda m, t, s: m.rename(t, "new"),
    "add_output": lambda m, t, s: m.add_output("new", at=t),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_every_kind_of_target(verb):
    for kind, (target, source) in KINDS.items():
        model = every_kind()
        before = str(model.graph) + str(model.get_layer("inner").graph)
        VERBS[verb](model, target(model), source)
        assert model.graph.verify(), kind
        assert len(model.edits) >= 1
        changed = str(model.graph) + str(model.get_layer("inner").graph)
        assert changed != before or verb == "rewire", kind
        model.undo()
        assert str(model.graph) + str(model.get_layer("inner").graph) == before, kind


def test_where_one_layer_is_wanted_a_pattern_may_match_one():
    model = every_kind()
    with pytest.raises(
        plait.GraphError, match=r"'\*:Dense' matches 3 layers .*: dense, head, other"
    ):
        model.rename("*:Dense", "new")
    with pytest.raises(plait.GraphError, match="'\\*:Dense' matches 3 layers"):
        model.cut("*:Dense")
    with pytest.raises(plait.GraphError, match=r"no layer of Model 'm'.* matches 'nope\*'"):
        model.rewire("head", "nope*")


def test_an_output_within_a_nested_model_becomes_one_of_the_models_around_it():
    model = nested()
    expected, tap = model(X), model.taps("mid@1/inner/pre")(X)["mid@1/inner/pre"]
    model.add_output("more", at="mid@1/inner/pre")
    assert model.edits == [
        "add_output('more', at='mid@1/inner/pre')",
        "  inner now also returns pre",
        "  mid now also returns inner",
    ]
    for value, wanted in zip(model(X), [expected, tap], strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)
    assert model.graph.verify()
    model.undo()
    np.testing.assert_array_equal(model(X), expected)
    assert len(model.get_layer("mid/inner").outputs) == 1
    model.rewire("sum", ["mid", model.get_layer("mid/inner").graph.node("pre").outputs[0]])
    assert "sum: Add(mid[0], mid[1]) -> (None, 4)" in str(model.graph)
    model.undo()
    model.replace_all_uses_with("mid@1", "mid@1/inner/pre")
    assert "sum: Add(mid[0], mid@1[1]) -> (None, 4)" in str(model.graph)
    assert model.graph.verify()


def test_an_output_of_a_nested_model_with_keys_gets_a_key():
    a = Input((4,), name="a")
    h = layers.ReLU(name="h")(a)
    inner = Model(a, {"h": layers.Dense(4, name="d")(h)}, name="inner")
    x = Input((4,), name="x")
    model = Model(x, inner(x)["h"])
    model.add_output("more", at="inner/h")
    assert list(inner.output) == ["h", "h_1"]
    np.testing.assert_array_equal(model(X)[1], np.maximum(X, 0))


def test_what_a_nested_sequential_cannot_return():
    x = Input((4,), name="x")
    stack = chain("a", "b")
    model = Model(x, layers.ReLU()(stack(x)))
    with pytest.raises(plait.GraphError, match=r"'seq'.* returns one tensor(.|\n)*to_model\(\)"):
        model.add_output("more", at="seq/a")
    model.replace("seq", model.get_layer("seq").to_model())
    model.add_output("more", at="seq/a")
    np.testing.assert_allclose(model(X)[1], stack.layers[0](X), rtol=1e-5, atol=1e-6)
    with pytest.raises(plait.GraphError, match="'seq/a' is not in Model"):
        model.insert_between("seq/a", "re_lu", layers.ReLU())


def test_verbs_of_one_block_see_each_other():
    model = two_heads()
    with model.edit() as edit:
        new = edit.insert_after("h", layers.Dense(8, name="one"))
        new = edit.insert_after(new, layers.ReLU(name="two"))
        edit.insert_before("two", layers.Dropout(0.1, name="drop"))
        edit.rename("one", "first")
        edit.rewire("kind", "first")
    assert model.edits == [
        "insert_after('h', Dense 'first')",
        "insert_after('first', ReLU 'two')",
        "insert_before('two', Dropout 'drop')",
        "rename('one', 'first')",
        "rewire('kind', 'first')",
    ]
    assert str(model.graph).splitlines()[1:-1] == [
        "h: Dense(x) -> (None, 8)",
        "first: Dense(h) -> (None, 8)",
        "drop: Dropout(first) -> (None, 8)",
        "two: ReLU(drop) -> (None, 8)",
        "price: Dense(two) -> (None, 1)",
        "kind: Dense(first) -> (None, 3)",
    ]


def test_patterns_see_what_the_block_did_before():
    model = two_heads()
    with model.edit() as edit:
        edit.replace_layers("*:Dense", lambda layer: layer.clone() if layer.name == "h" else layer)
        edit.insert_after("h*", layers.ReLU(name="new"))
        edit.rename("h", "hidden")
        edit.remove("new:ReLU")
        edit.insert_before("hid*", layers.Dropout(0.1, name="drop"))
    assert [layer.name for layer in model.layers] == ["x", "drop", "hidden", "price", "kind"]


def test_the_output_of_a_layer_is_that_of_the_graph_now():
    model = two_heads()
    model.insert_after("x", layers.ReLU())
    assert model.get_layer("h").output is model.graph.node("h").outputs[0]
    model.undo()
    assert model.get_layer("h").output is model.graph.node("h").outputs[0]
    with pytest.raises(plait.ShapeError):
        model.insert_after("h", layers.Dense(3))
    assert model.get_layer("h").output is model.graph.node("h").outputs[0]


# -- failures -------------------------------------------------------------------------------


def boom(model):
    with model.edit() as edit:
        edit.rename("price", "kind_2")
        edit.remove("h")
        edit.replace("kind", layers.Dense(3))
        raise ZeroDivisionError("boom")


def swap_one(model):
    with model.edit() as edit:
        edit.rename("price", "other")
        edit.insert_after("other", layers.Dense(2, name="kind"))


FAILURES = [
    (lambda m: m.insert_after("hh", layers.ReLU()), r"no layer 'hh'. Did you mean 'h'\?"),
    (lambda m: m.insert_after("h@1", layers.ReLU()), "calls Dense 'h' once; there is no 'h@1'"),
    (lambda m: m.insert_after("h[1]", layers.ReLU()), r"returns 1 tensors; there is no \[1\]"),
    (lambda m: m.insert_after("h/x", layers.ReLU()), "has no graph of its own, so 'h/x'"),
    (lambda m: m.insert_after("z*", layers.ReLU()), r"matches 'z\*'(.|\n)*the classes are Dense"),
    (lambda m: m.insert_after(3, layers.ReLU()), "a target is a name, a layer"),
    (lambda m: m.insert_after(Input((3,)), layers.ReLU()), "is not in Model 'two'"),
    (lambda m: m.insert_after("h", layers.ReLU), r"received the class ReLU(.|\n)*ReLU\(...\)"),
    (lambda m: m.insert_after(layers.ReLU(), "h"), "received 'h'(.|\n)*the target comes first"),
    (lambda m: m.insert_after("h", layers.ReLU()(Input((2,)))), "the tensor(.|\n)*without calling"),
    (lambda m: m.insert_after("h", abs), "the function abs(.|\n)*Lambda"),
    (lambda m: m.replace_layers("*:dense", layers.ReLU()), "Did you mean 'Dense'"),
    (lambda m: m.freeze("pricy"), "Did you mean 'price'"),
    (lambda m: m.unfreeze(3), "takes patterns of paths and layers; received 3"),
    (lambda m: m.insert_after("h", layers.Dense(5)), "2 .*no longer fit(.|\n)*'kind'"),
    (lambda m: m.insert_after("h", layers.ReLU(name="x")), "'x' already(.|\n)*name='x_1'"),
    (lambda m: m.insert_after("h", layers.Conv1D(2, 2)), "Conv1D .* expects 3 axes"),
    (lambda m: m.insert_before("x", layers.ReLU()), "is an input; nothing comes before it"),
    (lambda m: m.insert_between("price", "kind", layers.ReLU()), "not take 'price'(.|\n)* 'h'"),
    (lambda m: m.replace("x", layers.ReLU()), "is an input of the model; it cannot be replaced"),
    (lambda m: m.remove("x"), r"remove_input\('x'\)"),
    (lambda m: m.remove("h", keep="price"), "does not take 'price'"),
    (lambda m: m.rewire("h", "price"), "would make a cycle"),
    (lambda m: m.rewire("h", ["x", "x"]), "takes 1 tensors; received 2"),
    (lambda m: m.rewire("h", {"inputz": "x"}), "takes no inputz=. Did you mean 'inputs'"),
    (lambda m: m.rewire("x", "h"), "it takes nothing"),
    (lambda m: m.replace_all_uses_with("h", "h"), "cannot take its own place"),
    (lambda m: m.add_input("h", (3,)), "has a layer 'h' already"),
    (lambda m: m.add_output("h", "kind"), "has a layer 'h' already"),
    (lambda m: m.remove_input("x"), "has one input"),
    (lambda m: m.remove_output("h"), "'h' is no output"),
    (lambda m: m.rename("h", "price"), "a layer of the same model has that name(.|\n)*taken by"),
    (lambda m: m.rename("h", "a/b"), "without '/'"),
    (lambda m: m.replace_layers("*", 3), "takes a layer or a function"),
    (lambda m: m.edit(rebuild="all"), "rebuild is None or 'downstream'"),
    (lambda m: m.redo(), "nothing to redo"),
    (boom, "boom"),
    (swap_one, "has a layer 'kind' already"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "message"), FAILURES)
def test_a_failed_edit_changes_nothing(edit, message):
    model = compiled()
    model.fit(X, [A, B], verbose=0)
    text, weights, names = str(model.graph), state_of(model), model.output_names
    settings, signature = model.objective.settings(), plait.core.walk.signature(model)
    with pytest.raises((plait.errors.PlaitError, ZeroDivisionError), match=message):
        edit(model)
    assert (str(model.graph), model.output_names, model.edits) == (text, names, [])
    assert equal(state_of(model), weights)
    assert model.objective.settings() == settings
    assert plait.core.walk.signature(model) == signature  # nothing compiles anew


def test_a_layer_of_a_failed_edit_can_be_used_again():
    model, layer = two_heads(), layers.Dense(5)
    with pytest.raises(plait.ShapeError, match="no longer fit"):
        model.insert_after("h", layer)
    assert not layer.built
    model.insert_after("kind", layer)
    assert model.output_shape == [(None, 1), (None, 5)]


def test_a_failure_after_a_nested_model_changed_restores_it():
    model = nested()
    text, weights = str(model.get_layer("mid/inner").graph), state_of(model)
    with pytest.raises(plait.ShapeError, match=r"'post'.* expects size 3"):
        model.replace("mid/inner/conv", layers.Dense(5))
    assert str(model.get_layer("mid/inner").graph) == text
    assert equal(state_of(model), weights)


# -- weights --------------------------------------------------------------------------------


def test_replace_keeps_the_weights_that_fit():
    model = two_heads()
    before = state_of(model)
    model.replace("h", layers.Dense(8, activation="gelu"))
    assert equal(state_of(model), before)
    model.replace("kind", layers.Dense(5, name="kinds"))
    assert model.edits[1:] == [
        "  h: kept kernel, bias",
        "replace('kind', Dense 'kinds')",
        "  kinds: new kernel (8, 5), bias (5,)",
    ]
    np.testing.assert_array_equal(model.state()["price/kernel"], before["price/kernel"])


def test_rebuild_downstream_makes_exactly_those_anew_that_do_not_fit():
    model = nested()
    before = dict(plait.core.walk.walk(model))
    model.replace("mid/inner/conv", layers.Dense(6), rebuild="downstream")
    after = dict(plait.core.walk.walk(model))
    assert {path for path in after if after[path] is not before[path]} == {
        "mid/inner/conv",
        "mid/post",
    }
    assert model(X).shape == (16, 2)


def test_rebuild_gives_a_nested_model_other_inputs():
    x = Input((4,), name="x")
    stack = Sequential(
        [Input((4,)), layers.ReLU(), layers.Dense(3, name="d"), layers.Dense(2, name="e")], name="s"
    )
    model = Model(x, stack(layers.Dense(4, name="first")(x)))
    relu, last = stack.layers[0], stack.layers[2]
    model.replace("first", layers.Dense(6), rebuild="downstream")
    now = model.get_layer("s")
    assert isinstance(now, Sequential)
    assert now.input_shape == (None, 6)
    assert (now.layers[0], now.layers[2]) == (relu, last)
    assert model.graph.verify()
    model.undo()
    assert model.get_layer("s") is stack


def test_a_shared_layer_is_not_rebuilt_for_one_of_its_calls():
    x = Input((4,), name="x")
    shared = layers.Dense(4, name="shared")
    model = Model(x, shared(layers.ReLU(name="r")(shared(x))))
    with pytest.raises(plait.ShapeError, match="Another call needs its weights"):
        model.replace("r", layers.Dense(5), rebuild="downstream")
    model.replace("shared@1", layers.Dense(4, name="own"))
    assert [layer.name for layer in model.layers] == ["x", "shared", "r", "own"]


# -- history --------------------------------------------------------------------------------


def test_undo_and_redo_restore_text_weights_and_names():
    model = two_heads()
    texts, states = [str(model.graph)], [state_of(model)]
    for edit in (
        lambda: model.insert_after("h", layers.Dense(8, name="more")),
        lambda: model.replace("kind", layers.Dense(3, name="kinds")),
        lambda: model.rename("h", "hidden"),
        lambda: model.remove("more"),
        lambda: model.add_output("features", at="hidden"),
    ):
        edit()
        texts.append(str(model.graph))
        states.append(state_of(model))
    said = model.edits
    for text, state in zip(texts[-2::-1], states[-2::-1], strict=True):
        model.undo()
        assert str(model.graph) == text
        assert equal(state_of(model), state)
    assert model.edits == []
    for text, state in zip(texts[1:], states[1:], strict=True):
        model.redo()
        assert str(model.graph) == text
        assert equal(state_of(model), state)
    assert model.edits == said
    model.undo()
    model.insert_after("hidden", layers.ReLU())
    with pytest.raises(plait.GraphError, match="nothing to redo"):
        model.redo()


def test_an_edit_ends_with_its_block():
    model = two_heads()
    with model.edit() as edit:
        edit.rename("h", "hidden")
    with pytest.raises(plait.GraphError, match=r"this edit of Model 'two'.* is over"):
        edit.remove("hidden")
    with pytest.raises(ZeroDivisionError), model.edit() as edit:
        raise ZeroDivisionError
    with pytest.raises(plait.GraphError, match="is over"):
        edit.insert_after("hidden", layers.ReLU())
    edit = model.edit()
    edit.rename("price", "cost")
    model.rename("hidden", "h")
    with pytest.raises(plait.GraphError, match="was edited otherwise since this edit began"):
        edit.commit()
    assert model.edits == ["rename('h', 'hidden')", "rename('hidden', 'h')"]
    assert model.output_names == ["price", "kind"]


def test_names_can_be_exchanged_in_one_edit():
    model = two_heads()
    with model.edit() as edit:
        edit.rename("price", "t")
        edit.rename("kind", "price")
        edit.rename("t", "kind")
    assert model.output_names == ["kind", "price"]
    model.undo()
    assert model.output_names == ["price", "kind"]


def test_a_name_is_free_once_its_layer_has_left():
    model = two_heads()
    with model.edit() as edit:
        edit.replace("h", layers.Dense(8, name="other"))
        edit.insert_after("other", layers.ReLU(name="h"))
    model.remove("h")
    model.rename("other", "h")
    assert model.graph.verify()


def test_a_layer_of_two_models_keeps_a_name_that_is_free_in_both():
    shared = layers.Dense(2, name="shared")
    x, z = Input((4,)), Input((4,))
    model, _other = Model(x, shared(x)), Model(z, layers.ReLU(name="taken")(shared(z)))
    with pytest.raises(plait.GraphError, match="a layer of the same model has that name"):
        model.rename("shared", "taken")
    assert shared.name == "shared"


def test_what_was_undone_is_freed_with_the_history():
    model = two_heads()
    layer = layers.Dense(8)
    model.insert_after("h", layer)
    gone = [weakref.ref(layer), weakref.ref(model.graph)]
    del layer
    model.undo()
    model.insert_after("h", layers.ReLU())
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


# -- nested models --------------------------------------------------------------------------


def test_a_model_edited_on_its_own_is_seen_by_those_that_hold_it():
    q = Input((4,))
    core = Model(q, layers.Dense(3, name="w")(q), name="core")
    x = Input((4,))
    outer = Model(x, layers.ReLU(name="relu")(core(x)))
    stack = Sequential([Input((4,)), core, layers.ReLU()])
    core.replace("w", layers.Dense(9))
    for model in (outer, stack):
        assert model.output_shape == (None, 9)
        assert model(X).shape == (16, 9)
        assert model.graph.verify()
    core.undo()
    assert (outer.output_shape, stack.output_shape) == ((None, 3), (None, 3))


def test_a_model_that_no_longer_fits_says_so_when_used():
    model = nested()
    model.get_layer("mid/inner").replace("conv", layers.Dense(7))
    with pytest.raises(plait.ShapeError, match=r"a model within Model 'mid'(.|\n)*'post'.* size 3"):
        model(X)
    model.get_layer("mid/inner").undo()
    assert model(X).shape == (16, 2)


# -- training -------------------------------------------------------------------------------


def test_losses_and_metrics_stay_with_their_outputs():
    model = compiled(loss_weights=[2.0, 0.5])
    with model.edit() as edit:
        edit.rename("price", "cost")
        edit.add_output("features", at="h")
        edit.replace("kind", layers.Dense(3, activation="softmax", name="sort"))
    objective = model.objective
    assert objective.loss == {"cost": "mse", "sort": "sparse_categorical_crossentropy"}
    assert objective.loss_weights == {"cost": 2.0, "sort": 0.5}
    logs = model.fit(X, [A, B], verbose=0).history
    assert sorted(logs) == ["cost_loss", "cost_mae", "loss", "sort_accuracy", "sort_loss"]
    model.remove_output("cost")
    assert objective.loss == {"sort": "sparse_categorical_crossentropy"}
    assert sorted(model.fit(X, B, verbose=0).history) == ["loss", "sort_accuracy"]
    model.undo()
    model.undo()
    assert objective.loss == ["mse", "sparse_categorical_crossentropy"]
    assert "price_mae" in model.fit(X, [A, B], verbose=0).history


def test_undo_keeps_what_compile_set_since():
    model = compiled()
    model.rename("price", "cost")
    model.compile("sgd", {"cost": "mae"})
    model.undo()
    assert model.objective.loss == {"price": "mae"}
    model.fit(X, {"price": A}, verbose=0)


def test_training_goes_on_with_the_slots_of_what_stays():
    model = compiled()
    model.fit(X, [A, B], batch_size=4, verbose=0)
    before = slots_of(model)
    model.insert_after("h", layers.Dense(8, name="new"))
    model.replace("kind", layers.Dense(5, activation="softmax", name="sort"))
    model.rename("price", "cost")
    model.freeze("h")
    weights = state_of(model)
    model.train_on_batch(X[:4], [A[:4], B[:4]])
    assert int(model.optimizer.iterations.value) == 5
    after = slots_of(model)
    for path, value in before.items():
        if path.startswith("h/"):  # frozen: neither the weight nor its slots move
            np.testing.assert_array_equal(after[path], value)
        elif path.startswith("price/kernel/momentum"):  # 0.9 m + 0.1 g, so it was not reset
            assert "cost/kernel/momentum" in after
    np.testing.assert_array_equal(model.state()["h/kernel"], weights["h/kernel"])
    assert not np.array_equal(model.state()["new/kernel"], weights["new/kernel"])
    assert not any(path.startswith("kind/") for path in after)
    model.unfreeze("h")
    model.train_on_batch(X[:4], [A[:4], B[:4]])
    assert not np.array_equal(slots_of(model)["h/kernel/momentum"], before["h/kernel/momentum"])


def test_a_layer_that_comes_back_finds_its_slots():
    model = compiled()
    model.insert_after("h", layers.Dense(8, name="gone"))
    model.fit(X, [A, B], batch_size=4, verbose=0)
    before, weights = slots_of(model), state_of(model)
    with model.edit() as edit:
        edit.replace("kind", layers.Dense(3, activation="softmax"))  # keeps name and weights
        edit.remove("gone")
    model.fit(X, [A, B], batch_size=4, verbose=0)
    assert not any(path.startswith("gone/") for path in slots_of(model))
    assert not np.array_equal(
        slots_of(model)["kind/kernel/momentum"], before["kind/kernel/momentum"]
    )
    model.undo()
    model.optimizer.build(variables_by_path(model))  # as the next step does
    after = slots_of(model)
    assert after.keys() == before.keys()
    for path in before:
        if path.startswith(("gone/", "kind/")):
            np.testing.assert_array_equal(after[path], before[path])
    np.testing.assert_array_equal(model.state()["gone/kernel"], weights["gone/kernel"])


def test_an_edit_that_changes_nothing_numerically_leaves_training_as_it_was():
    edited, plain = compiled(), compiled()
    plain.set_weights(edited.get_weights())
    for model in (edited, plain):
        model.fit(X, [A, B], batch_size=4, shuffle=False, verbose=0)
    edited.insert_after("h", layers.Activation("linear"))
    edited.rename("h", "hidden")
    for model in (edited, plain):
        model.fit(X, [A, B], batch_size=4, shuffle=False, epochs=2, verbose=0)
    for left, right in zip(edited.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


class EditWhileTraining(Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            with self.model.edit() as edit:
                edit.insert_after("h", layers.Dropout(0.5))
                edit.replace("h", layers.Dense(8, activation="gelu"))
            self.model.freeze("kind")
        elif epoch == 2:
            self.model.undo()


def test_a_callback_edits_the_model_while_it_trains():
    model = two_heads()
    model.compile("sgd", ["mse", "sparse_categorical_crossentropy"])
    kernel = model.get_layer("h").kernel
    history = model.fit(
        X, [A, B], epochs=3, batch_size=8, callbacks=[EditWhileTraining()], verbose=0
    ).history
    assert np.isfinite(history["loss"]).all()
    assert model.edits == []
    assert int(model.optimizer.iterations.value) == 6
    assert model.get_layer("h").kernel is kernel


def test_freeze_by_pattern():
    model = nested()
    assert model.freeze("mid/**") == ["mid", "mid/b", "mid/inner", *[
        f"mid/{name}" for name in ("inner/a", "inner/pre", "inner/conv", "post")
    ]]  # fmt: skip
    paths = {variable: path for path, variable in variables_by_path(model).items()}
    assert {paths[v] for v in model.trainable_variables} == {"head/kernel", "head/bias"}
    assert model.unfreeze("**/conv:Dense") == ["mid/inner/conv"]
    assert {paths[v].split("/")[-2] for v in model.trainable_variables} == {"head", "conv"}
    with pytest.raises(plait.GraphError, match=r"no layer of Model 'outer'.* matches 'nope'"):
        model.freeze("nope")
    model.unfreeze()
    assert model.freeze(["head", model.get_layer("mid/post")]) == ["head", "mid/post"]
    assert {paths[v].split("/")[-2] for v in model.trainable_variables} == {"conv", "pre"}


# -- Sequential -----------------------------------------------------------------------------


def test_list_edits_are_edits():
    model = chain("a", "b", "c")
    expected = model(X)
    model.insert(1, layers.Activation("linear", name="act"))
    np.testing.assert_array_equal(model(X), expected)
    model[0] = layers.Dense(4, name="first")
    del model[1:3]
    model.pop()
    assert model.edits == [
        "insert_before(Dense 'b', Activation 'act')",
        "replace(Dense 'a', Dense 'first')",
        "  first: kept kernel, bias",
        "remove(Activation 'act')",
        "remove(Dense 'b')",
        "remove(Dense 'c')",
    ]
    model.add(layers.ReLU(name="relu"))
    assert [layer.name for layer in model] == ["first", "relu"]
    for _ in range(5):
        model.undo()
    assert [layer.name for layer in model] == ["a", "b", "c"]
    np.testing.assert_array_equal(model(X), expected)
    model.redo()
    assert [layer.name for layer in model] == ["a", "act", "b", "c"]


def test_a_sequential_that_is_not_built_is_edited_as_a_list():
    model = Sequential([layers.Dense(3, name="a"), layers.Dense(2, name="b")])
    model.insert(1, layers.ReLU(name="relu"))
    with pytest.raises(plait.NotBuiltError, match=r"plait.Input"):
        model.insert_after("a", layers.ReLU())
    y = model(X)
    model.undo()
    assert model.built
    assert [layer.name for layer in model] == ["a", "b"]
    assert model(X).shape == y.shape
    model.redo()
    np.testing.assert_array_equal(model(X), y)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda m: m.add_output("more", at="a"), "2 outputs: b, more"),
        (lambda m: m.add_input("more", (4,)), "2 inputs: .*, more"),
        (lambda m: m.insert(2, m.layers[0]), "a is called 2 times"),
        (lambda m: m.insert(2, layers.Add()), "takes several tensors"),
    ],
)
def test_a_sequential_may_not_branch(edit, reason):
    model = chain("a", "b")
    with pytest.raises(plait.GraphError, match=rf"{reason}(.|\n)*(to_model|Model)"):
        edit(model)
    assert [layer.name for layer in model] == ["a", "b"]
    model = model.to_model()
    model.add_output("more", at="a")
    assert model.output_names == ["b", "more"]
