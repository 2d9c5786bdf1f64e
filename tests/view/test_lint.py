"""`plait.check`: every finding, where it is one and where it is none."""

import warnings

import numpy as np
import pytest

import plait
from plait import Input, Model, Sequential, demo, layers, losses, ops

SPARSE, BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


class Custom(layers.Layer):
    def call(self, inputs):
        self.add_loss(inputs.sum())
        return inputs


@pytest.fixture(autouse=True)
def _fresh():
    plait.utils.clear_session()


def chain(*items, shape=(8,)):
    return Sequential([Input(shape, name="x"), *items])


def dense(units=3, activation=None, name="out", **kwargs):
    return layers.Dense(units, activation=activation, name=name, **kwargs)


def logits(loss):
    return getattr(losses, loss)(from_logits=True)


def branch(function, shape=(8,)):
    x = Input(shape, name="x")
    return Model(x, function(x))


def two_dense(between=(), first=None, second=None, units=8, **kwargs):
    first = dense(units, first, "first", **kwargs)
    return chain(first, *between, dense(3, second, "second"), shape=(16,))


def normalized(before, **kwargs):
    return chain(before, layers.BatchNormalization(name="norm", **kwargs), dense())


def tapped():
    x = Input((8,), name="x")
    h = dense(8, name="first")(x)
    return Model(x, [h, dense(3, name="second")(h)])


def residual_sum(x):
    h = dense(8, name="first")(x)
    return dense(3, name="second")(layers.Add()([h, x]))


def shared(x):
    layer = dense(8, name="first")
    return layers.Add()([layer(x), dense(8, name="second")(layer(ops.relu(x)))])


def behind(stop):
    def build(x):
        hidden = dense(8, "relu", "hidden")(x)
        return dense(3, "softmax")(layers.Concatenate()([x, ops.cast(stop(hidden), "float32")]))

    return build


def straight_through(x):
    hidden = dense(8, "relu", "hidden")(x)
    return dense(3, "softmax")(hidden + ops.stop_gradient(ops.round(hidden) - hidden))


def conv(name, size=3, **kwargs):
    return layers.Conv2D(4, size, padding="same", name=name, **kwargs)


def unused():
    a, b = Input((4,), name="a"), Input((4,), name="b")
    return Model([a, b], dense()(a))


def doubled():
    x = Input((4,), dtype="float64", name="x")
    return Model(x, dense()(x))


def passed_on():
    a, b = Input((4,), name="a"), Input((4,), name="b")
    return Model([a, b], [dense()(a), b])


IMAGE = (8, 8, 4)
FIRES = {
    "softmax, from_logits": (
        "activation-with-from-logits", "out", lambda: chain(dense(3, "softmax")),
        logits("SparseCategoricalCrossentropy"),
    ),
    "sigmoid layer, from_logits": (
        "activation-with-from-logits", "act",
        lambda: chain(dense(1), layers.Activation("sigmoid", name="act")),
        logits("BinaryCrossentropy"),
    ),
    "softmax in a nested model": (
        "activation-with-from-logits", "head/out",
        lambda: chain(Sequential([Input((8,)), dense(3, "softmax")], name="head")),
        logits("CategoricalCrossentropy"),
    ),
    "ops.softmax, from_logits": (
        "activation-with-from-logits", "softmax", lambda: branch(lambda x: ops.softmax(dense()(x))),
        logits("CategoricalCrossentropy"),
    ),
    "linear, no logits": ("logits-without-from-logits", "out", lambda: chain(dense()), SPARSE),
    "linear, reshaped": (
        "logits-without-from-logits", "out",
        lambda: chain(dense(1), layers.Reshape((1,))), losses.BinaryCrossentropy(),
    ),
    "linear, crossentropy": (
        "logits-without-from-logits", "out", lambda: chain(dense()), "crossentropy",
    ),
    "sigmoid of classes": (
        "sigmoid-with-categorical-crossentropy", "out",
        lambda: chain(dense(3, "sigmoid")), "categorical_crossentropy",
    ),
    "sigmoid of one": (
        "sigmoid-with-categorical-crossentropy", "out", lambda: chain(dense(1, "sigmoid")), SPARSE,
    ),
    "dropout last": (
        "dropout-before-output", "drop",
        lambda: chain(dense(3, "softmax"), layers.Dropout(0.3, name="drop")), SPARSE,
    ),
    "dropout before softmax": (
        "dropout-before-output", "drop",
        lambda: chain(dense(), layers.Dropout(0.3, name="drop"), layers.Softmax()), SPARSE,
    ),
    "two linear": ("linear-layers-in-a-row", "first", two_dense, None),
    "two linear, flatten": (
        "linear-layers-in-a-row", "a",
        lambda: chain(conv("a"), layers.Flatten(), dense(3), shape=IMAGE), None,
    ),
    "two linear, dropout": (
        "linear-layers-in-a-row", "first", lambda: two_dense([layers.Dropout(0.1)]), None,
    ),
    "two convolutions": (
        "linear-layers-in-a-row", "a", lambda: chain(conv("a"), conv("b"), shape=IMAGE), None,
    ),
    "two linear in a nested model": (
        "linear-layers-in-a-row", "sequential/first",
        lambda: chain(two_dense(), dense(3), shape=(16,)), None,
    ),
    "softmax normalized": (
        "batch-normalization-after-softmax", "norm",
        lambda: normalized(dense(4, "softmax", "probabilities")), None,
    ),
    "bias before normalization": (
        "bias-before-batch-normalization", "h", lambda: normalized(dense(4, None, "h")), None,
    ),
    "unused input": ("unused-input", "b", unused, None),
    "float64": ("float64-input", "x", doubled, None),
    "behind argmax": (
        "no-gradient", "hidden", lambda: branch(
            behind(lambda h: ops.one_hot(ops.argmax(h, axis=-1), 8))
        ),
        SPARSE,
    ),
    "behind stop_gradient": (
        "no-gradient", "hidden", lambda: branch(behind(ops.stop_gradient)), None,
    ),
    "behind round": ("no-gradient", "hidden", lambda: branch(behind(ops.round)), SPARSE),
    "behind a comparison": ("no-gradient", "hidden", lambda: branch(behind(lambda h: h > 0)), None),
    "dense on images": (
        "dense-on-images", "out", lambda: chain(dense(3, "softmax"), shape=IMAGE), SPARSE,
    ),
}  # fmt: skip
SILENT = {
    "softmax": ("activation-with-from-logits", lambda: chain(dense(3, "softmax")), SPARSE),
    "no loss": ("logits-without-from-logits", lambda: chain(dense()), None),
    "regression": ("logits-without-from-logits", lambda: chain(dense()), "mse"),
    "logits": (
        "logits-without-from-logits", lambda: chain(dense()), logits("CategoricalCrossentropy"),
    ),
    "clipped": (
        "logits-without-from-logits",
        lambda: branch(lambda x: ops.clip(dense()(x), 0.01, 0.99)), BINARY,
    ),
    "own activation": (
        "logits-without-from-logits", lambda: chain(dense(), Custom()), SPARSE,
    ),
    "own loss": ("logits-without-from-logits", lambda: chain(dense()), lambda t, p: p - t),
    "several labels": (
        "sigmoid-with-categorical-crossentropy", lambda: chain(dense(3, "sigmoid")), BINARY,
    ),
    "dropout before Dense": (
        "dropout-before-output", lambda: chain(layers.Dropout(0.3), dense(3, "softmax")), SPARSE,
    ),
    "no dropping": ("dropout-before-output", lambda: chain(dense(), layers.Dropout(0.0)), SPARSE),
    "relu": ("linear-layers-in-a-row", lambda: two_dense(first="relu"), None),
    "activation layer": ("linear-layers-in-a-row", lambda: two_dense([layers.ReLU()]), None),
    "normalization": (
        "linear-layers-in-a-row", lambda: two_dense([layers.LayerNormalization()]), None,
    ),
    "low rank": ("linear-layers-in-a-row", lambda: two_dense(units=2), None),
    "sparse code": (
        "linear-layers-in-a-row", lambda: two_dense(activity_regularizer="l1"), None,
    ),
    "other axis": (
        "linear-layers-in-a-row",
        lambda: chain(dense(8, name="a"), layers.Permute((2, 1)), dense(), shape=(4, 16)), None,
    ),
    "factorized": (
        "linear-layers-in-a-row",
        lambda: chain(conv("a", (1, 7)), conv("b", (7, 1)), shape=IMAGE), None,
    ),
    "residual": ("linear-layers-in-a-row", lambda: branch(residual_sum), None),
    "tap": ("linear-layers-in-a-row", tapped, None),
    "shared": ("linear-layers-in-a-row", lambda: branch(shared), None),
    "op": (
        "linear-layers-in-a-row",
        lambda: branch(lambda x: dense()(ops.tanh(dense(name="first")(x)))), None,
    ),
    "normalized relu": (
        "batch-normalization-after-softmax", lambda: normalized(dense(4, "relu", "h")), None,
    ),
    "no bias": (
        "bias-before-batch-normalization",
        lambda: normalized(dense(4, None, "h", use_bias=False)), None,
    ),
    "bias, relu": (
        "bias-before-batch-normalization", lambda: normalized(dense(4, "relu", "h")), None,
    ),
    "bias, center=False": (
        "bias-before-batch-normalization",
        lambda: normalized(dense(4, None, "h"), center=False), None,
    ),
    "input passed on": ("unused-input", passed_on, None),
    "straight through": ("no-gradient", lambda: branch(straight_through), SPARSE),
    "inference": (
        "no-gradient", lambda: branch(lambda x: ops.argmax(dense()(x), axis=-1)), None,
    ),
    "tokens": (
        "no-gradient",
        lambda: Model(t := Input((4,), dtype="int32"), layers.Embedding(9, 3)(t)), None,
    ),
    "own losses": (
        "no-gradient",
        lambda: branch(behind(lambda h: ops.round(Custom()(h)))), SPARSE,
    ),
    "frozen": (
        "no-gradient",
        lambda: frozen(branch(behind(ops.round))), SPARSE,
    ),
    "pooled": (
        "dense-on-images",
        lambda: chain(layers.GlobalAveragePooling2D(), dense(3, "softmax"), shape=IMAGE), SPARSE,
    ),
    "convolution per pixel": (
        "dense-on-images", lambda: chain(conv("a", activation="softmax"), shape=IMAGE), SPARSE,
    ),
}  # fmt: skip


def frozen(model):
    model.get_layer("hidden").trainable = False
    return model


@pytest.mark.parametrize("case", FIRES)
def test_fires(case):
    code, layer, build, loss = FIRES[case]
    model = build()
    findings = plait.check(model, loss=loss)
    assert (code, layer) in [(finding.code, finding.layer) for finding in findings]
    assert plait.check(model, loss=loss, ignore=[code]) == [f for f in findings if f.code != code]
    if loss is not None:
        model.compile(loss=loss)
        assert plait.check(model) == findings
    for finding in findings:
        assert finding.location is None or finding.location.file.endswith("test_lint.py")


@pytest.mark.parametrize("case", SILENT)
def test_does_not_fire(case):
    code, build, loss = SILENT[case]
    assert code not in [finding.code for finding in plait.check(build(), loss=loss)]


def test_touchstones_have_nothing_wrong():
    for build, loss in (
        (demo.sequential, SPARSE), (demo.residual, SPARSE), (demo.two_inputs, BINARY)
    ):  # fmt: skip
        assert [f for f in plait.check(build(), loss=loss) if f.severity == "warning"] == []
    notes = [(f.code, f.layer) for f in plait.check(demo.residual(), loss=SPARSE)]
    assert [code for code, _ in notes] == ["bias-before-batch-normalization"] * 2


def test_data():
    model = chain(dense(3, "softmax"), shape=IMAGE)
    images = np.zeros((2, *IMAGE))
    findings = plait.check(model, (images, np.zeros(2, int)), loss=SPARSE)
    assert [(f.severity, f.code) for f in findings] == [
        ("warning", "dense-on-images"),
        ("note", "float64-data"),
    ]
    per_pixel = (images.astype("float32"), np.zeros((2, 8, 8), int))
    assert plait.check(model, per_pixel, loss=SPARSE) == []


def test_several_outputs():
    x = Input((4,), name="x")
    model = Model(x, {"a": dense(3, name="one")(x), "b": dense(1, name="two")(x)})
    found = plait.check(model, loss={"a": SPARSE, "b": "mse"})
    assert [(f.code, f.layer) for f in found] == [("logits-without-from-logits", "one")]


def test_text():
    model = chain(dense(3, "softmax"), layers.Dropout(0.5, name="drop"))
    finding = plait.check(model, loss=SPARSE)[0]
    assert str(finding).splitlines() == [
        f"warning [dropout-before-output]: Dropout 'drop' ({finding.location}) has no layer after "
        "it: in training a share 0.5 of the outputs themselves is set to 0.",
        "Fix: put it before the last layer",
    ]
    assert plait.check(model)[0].severity == "note"


def test_wrong_arguments():
    with pytest.raises(
        plait.ConfigError, match=r"no finding 'no-gradients'\. Did you mean 'no-grad"
    ):
        plait.check(demo.sequential(), ignore=["no-gradients"])
    with pytest.raises(plait.ArgumentTypeError, match="check takes a model; received Dense"):
        plait.check(layers.Dense(1))
    with pytest.raises(plait.NotBuiltError, match="not known"):
        plait.check(Sequential([layers.Dense(1)]))


def test_what_compile_warns_of_is_switched_off_by_name():
    model = two_dense()
    with pytest.warns(plait.errors.ModelWarning, match=r"\[linear-layers-in-a-row\]"):
        model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", r".*\[linear-layers-in-a-row\]")
        model.compile("sgd", "mse")
