"""Data that do not fit: an error that names the input or output and says what to do."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import plait
from plait import layers
from plait.errors import ArgumentTypeError, ConfigError, DataError, PlaitError, ShapeError

rng = np.random.default_rng(0)
X = rng.normal(size=(20, 4)).astype("float32")
B = rng.normal(size=(20, 3)).astype("float32")
V = rng.normal(size=(20, 2)).astype("float32")
Y = np.arange(20) % 3
given = dict  # arguments by name
SPARSE = "sparse_categorical_crossentropy"


def one(loss=SPARSE, units=3, activation="softmax", **compiled):
    model = plait.Sequential(
        [
            plait.Input((4,), name="features"),
            layers.Dense(units, activation=activation, name="out"),
        ]
    )
    model.compile("sgd", loss, **compiled)
    return model


def two(loss=None):
    a, b = plait.Input((4,), name="a"), plait.Input((3,), name="b")
    joined = layers.Concatenate()([a, b])
    kind = layers.Dense(3, activation="softmax", name="kind")(joined)
    model = plait.Model([a, b], [kind, layers.Dense(2, name="value")(joined)])
    model.compile("sgd", loss or {"kind": SPARSE, "value": "mse"})
    return model


def per_step():
    model = plait.Sequential([plait.Input((6, 4)), layers.Dense(3, name="out")])
    model.compile("sgd", SPARSE)
    return model


def mse(units):
    return lambda: one("mse", units, None)


CASES = [
    # model, arguments of fit, error, what it says
    (one, given(x=None), DataError, "x is None"),
    (one, given(x=X[:0], y=Y[:0]), DataError, "no samples"),
    (one, given(x=X, y=Y[:5]), DataError, r"different numbers of samples: 5, 20.\n  x  20 samples"),
    (one, given(x=X[:, :2], y=Y), ShapeError, r"'features' .*\(None, 4\), received \(None, 2\)"),
    (one, given(x=np.zeros((20, 4, 2)), y=Y), ShapeError, r"'features' .* received \(None, 4, 2\)"),
    (one, given(x=X[0], y=Y[:4]), ShapeError, r"'features'.*\n.*add the batch axis: x\[None\]"),
    (one, given(x=[["a"] * 4] * 20, y=Y), DataError, "x holds text"),
    (
        one,
        given(x=np.array([[1, "a", 2, 3]] * 20, object), y=Y),
        DataError,
        "x holds Python objects",
    ),
    (one, given(x=[[1, 2, 3, 4], [1, 2]], y=Y[:2]), DataError, "x is ragged"),
    (one, given(x=np.zeros(20, [("a", "f4")]), y=Y), DataError, "x holds .*not numbers"),
    (one, given(x=3, y=Y), DataError, "x is a single number"),
    (one, given(x="data.csv", y=Y), DataError, "x holds text"),
    (one, given(x=list(X), y=Y), DataError, r"1 input \('features'\); x holds 20 .*\n.*np.stack"),
    (one, given(x=(X, Y)), DataError, r"\n.*model.fit\(x, y\)"),
    (one, given(x=X), DataError, "output 'out' has a loss, but there are no targets"),
    (
        lambda: one(None, metrics=["mae"]),
        given(x=X),
        DataError,
        "'out' has metrics, but .* no targets",
    ),
    (one, given(x=X, y=["a"] * 20), DataError, "y holds text"),
    (one, given(x=X, y=3), DataError, "y is a single number"),
    (one, given(x=X, y=np.where(Y == 2, np.nan, Y)), DataError, r"'out': .* NaN \(sample 2\)"),
    (one, given(x=X, y=Y + 1), DataError, r"'out' has 3 classes .* number 3.\n.*y - 1"),
    (one, given(x=X, y=Y * 9, batch_size=1), DataError, r"class number 18.\n.*Dense\(19\)"),
    (one, given(x=X, y=Y - 1), DataError, "'out' has 3 classes .* number -1"),
    (
        one,
        given(x=X, y=np.eye(3)[Y]),
        ShapeError,
        r"'out' .*\(None, 3\).\n.*'categorical_crossentropy'",
    ),
    (
        lambda: one("categorical_crossentropy"),
        given(x=X, y=Y),
        ShapeError,
        "'out'.*\n.*\n.*\n.*sparse_",
    ),
    (mse(5), given(x=X, y=Y), ShapeError, r"'out': .* not broadcast"),
    (mse(1), given(x=X, y=V), ShapeError, r"'out': .*\(None, 2\) and y_pred is \(None, 1\)"),
    (mse(1), given(x=X, y=np.full(20, np.nan)), DataError, "'out': .* NaN"),
    (
        lambda: one("binary_crossentropy", 1),
        given(x=X, y=Y),
        DataError,
        "'out': .* from 0 to 1; received 0 to 2",
    ),
    (
        per_step,
        given(x=np.zeros((20, 6, 4)), y=Y),
        ShapeError,
        r"'out' is .* one class per step.\n.*Pooling1D",
    ),
    (two, given(x=[X, B], y={"kind": Y}), DataError, "'value' has a loss, but .* no targets"),
    (
        two,
        given(x=[X, B], y={"kind": Y, "valu": V}),
        DataError,
        "no output 'valu' .* Did you mean 'value'",
    ),
    (two, given(x={"a": X, "bb": B}, y=[Y, V]), DataError, "no input 'bb'. Did you mean 'b'"),
    (two, given(x={"a": X}, y=[Y, V]), DataError, "'b' is missing"),
    (two, given(x=[X, B, B], y=[Y, V]), DataError, r"2 inputs \('a', 'b'\); x holds 3"),
    (
        two,
        given(x=[X, B], y=[Y, V, V]),
        DataError,
        r"2 outputs \('kind', 'value'\); received 3 targets",
    ),
    (two, given(x=[X, B], y=Y), DataError, "received 1 target.\n.*dict by output name"),
    (two, given(x=[X, B[:, :2]], y=[Y, V]), ShapeError, r"'b' .*\(None, 3\), received \(None, 2\)"),
    (two, given(x=[X, B], y=[Y, V[:3]]), DataError, r"y\[1\]  3 samples"),
    (two, given(x=pd.DataFrame({"a": Y}), y=[Y, V]), DataError, "no column 'b'; it has 'a'"),
    (
        one,
        given(x=pd.DataFrame({"p": Y, "q": ["x"] * 20}), y=Y),
        DataError,
        "column 'q' holds .*not numbers",
    ),
    (one, given(x=pl.DataFrame({"p": Y, "q": Y}), y=Y), ShapeError, r"received \(None, 2\)"),
    (one, given(x=X, y=Y, sample_weight=np.ones(3)), DataError, "sample_weight  3 samples"),
    (one, given(x=X, y=Y, sample_weight=np.ones((20, 3))), ShapeError, "'out': weights of shape"),
    (
        two,
        given(x=[X, B], y=[Y, V], sample_weight={"kinds": Y}),
        DataError,
        "'kinds' .* sample weights",
    ),
    (one, given(x=X, y=Y, class_weight=[1, 2]), ConfigError, "class_weight is a dict"),
    (one, given(x=X, y=Y, class_weight={0: "a"}), ConfigError, "class_weight gives a number"),
    (
        two,
        given(x=[X, B], y=[Y, V], class_weight={0: 2.0}),
        ConfigError,
        "which of the outputs 'kind', 'value'",
    ),
    (
        two,
        given(x=[X, B], y=[Y, V], class_weight={"kinds": {0: 2.0}}),
        ConfigError,
        "output 'kinds'",
    ),
    (one, given(x=iter([(X, Y)]), class_weight="balanced"), ConfigError, "all targets in memory"),
    (one, given(x=iter([X]), class_weight={0: 2.0}), DataError, "class_weight .* no targets"),
    (one, given(x=iter([])), DataError, "gave no batch"),
    (
        one,
        given(x=(b for b in [(X, Y)]), epochs=2),
        DataError,
        "epoch 2: .* only once.\n.*steps_per_epoch",
    ),
    (one, given(x=iter([(X, Y)]), y=Y), DataError, "y is given beside a list_iterator"),
    (one, given(x=iter([(X, Y, Y, Y)])), DataError, "a batch has 4 parts"),
    (one, given(x=iter([(X, Y), (X, Y + 5)])), DataError, "class number 7"),
    (one, given(x=iter([(X, Y), (X[:, :2], Y)])), ShapeError, r"'features' .*received \(None, 2\)"),
    (one, given(x=[(X, Y[:3]), (X, Y)]), DataError, "y  *3 samples"),
    (one, given(x=iter([(X[:0], Y[:0])])), DataError, "a batch without samples"),
    (
        lambda: one(lambda t, p: (t - p) ** 2),
        given(x=X, y=Y),
        ShapeError,
        r"'out': .* cannot compare .*\n  targets .*\(20,\)",
    ),
    (one, given(x=X, y=Y, batch_size=0), ConfigError, "batch_size"),
    (one, given(x=X, y=Y, epochs="3"), ConfigError, "epochs"),
    (one, given(x=X, y=Y, steps_per_epoch=0), ConfigError, "steps"),
    (one, given(x=X, y=Y, validation_split=1.5), ConfigError, "between 0 and 1; received 1.5"),
    (one, given(x=X[:1], y=Y[:1], validation_split=0.2), DataError, "one side empty"),
    (one, given(x=iter([(X, Y)]), validation_split=0.5), ArgumentTypeError, "validation_data"),
    (
        one,
        given(x=X, y=Y, validation_data=(X, Y), validation_freq=0),
        ConfigError,
        "validation_freq",
    ),
]


@pytest.mark.parametrize(("make", "arguments", "error", "text"), CASES)
def test_data_that_do_not_fit(make, arguments, error, text):
    model = make()
    before = model.get_weights()
    with pytest.raises(error, match=text) as raised:
        model.fit(verbose=0, **arguments)
    assert isinstance(raised.value, PlaitError)
    assert raised.value.fix
    if not hasattr(arguments.get("x"), "__next__"):
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("validation", "error", "text"),
    [
        ((X, Y + 1), DataError, "class number 3"),
        ((X[:, :2], Y), ShapeError, r"received \(None, 2\)"),
        ((X, Y, Y, Y), DataError, "4 parts"),
        (X, DataError, "no targets"),
    ],
)
def test_validation_data_that_do_not_fit(validation, error, text):
    with pytest.raises(error, match=text):
        one().fit(X, Y, validation_data=validation, verbose=0)


def test_a_model_is_usable_after_an_error():
    model = one("crossentropy", metrics=["accuracy"])
    before = model.get_weights()
    for x, y in [(X[:, :2], Y), (X, Y[:, None] * np.ones(5)), (X, Y * 2)]:
        with pytest.raises(PlaitError):
            model.fit(x, y, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    # Which metric "accuracy" means was not settled by the labels that failed.
    history = model.fit(X, np.eye(3)[Y], verbose=0).history
    assert set(history) == {"loss", "accuracy"}


def test_one_sample_evaluate_predict_and_one_batch_name_the_input_too():
    model = one()
    for call in (
        lambda: model.predict(X[:, :2], verbose=0),
        lambda: model.evaluate(X[:, :2], Y, verbose=0),
        lambda: model.train_on_batch(X[:, :2], Y),
        lambda: model.predict_on_batch(X[:, :2]),
    ):
        with pytest.raises(ShapeError, match=r"'features' .*\(None, 4\), received \(None, 2\)"):
            call()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (given(loss=["mse"]), "loss is a list of 1, but the model has 2 outputs"),
        (
            given(loss={"kinds": "mse"}),
            "'kinds', which the model does not have. Did you mean 'kind'",
        ),
        (given(loss="mse", loss_weights=2.0), "loss_weights is one number"),
        (given(loss="mse", loss_weights={"kind": "a"}), "loss_weights are numbers"),
        (given(loss="mse", metrics=["accuracy"]), "which output each metric is for"),
        (given(loss="mse", metrics={"valeu": "mae"}), "Did you mean 'value'"),
        (given(loss="msee"), "msee"),
        (given(loss="mse", metrics={"kind": ["acuracy"]}), "acuracy"),
    ],
)
def test_compile_refuses(arguments, text):
    with pytest.raises(ConfigError, match=text):
        two().compile("sgd", **arguments)


def test_training_asks_for_compile():
    model = plait.Sequential([plait.Input((4,)), layers.Dense(1)])
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(plait.NotCompiledError, match="is not compiled"):
            call(X, Y)
    assert model.predict(X, verbose=0).shape == (20, 1)


def test_objects_that_are_numbers_are_told_from_text():
    model = one()
    with pytest.raises(DataError, match=r"Fix: x\.astype\('float32'\)"):
        model.fit(X.astype(object), Y)
    with pytest.raises(DataError, match="samples that are None"):
        model.fit(X, np.array([None, *Y[1:]], dtype=object))
    with pytest.raises(DataError, match="turn text into numbers"):
        model.fit(X, np.array(["a", *Y[1:]], dtype=object))


def test_fit_refuses_an_unknown_verbose_and_validation_data_without_targets():
    with pytest.raises(ConfigError, match="verbose is 'auto', 0, 1 or 2; received 'quiet'"):
        one().fit(X, Y, verbose="quiet")
    with pytest.raises(DataError, match=r"Fix: validation_data=\(x_val, y_val\)"):
        one().fit(X, Y, validation_data=X)


def test_metrics_names_are_those_of_evaluate():
    model = two()
    metrics = {"kind": ["accuracy"], "value": ["mae", "mae"]}
    model.compile("sgd", {"kind": SPARSE, "value": "mse"}, metrics=metrics)
    logs = model.evaluate([X, B], [Y, V], verbose=0, return_dict=True)
    assert list(logs)[:4] == ["loss", "kind_loss", "value_loss", "kind_accuracy"]
    assert model.metrics_names == list(logs)
    assert len(logs) == 6


def test_numbers_that_are_no_row_of_an_embedding_are_refused():
    words = plait.Input((3,), name="words", dtype="int32")
    h = layers.Flatten()(plait.Sequential([layers.Embedding(5, 2, name="table")])(words))
    model = plait.Model(words, layers.Dense(1)(h))
    model.compile("sgd", "mse")
    good = np.arange(12).reshape(4, 3) % 5
    model.fit({"words": good}, np.ones(4), verbose=0)
    bad = good.copy()
    bad[3, 2] = 5
    text = r"input 'words' .* Embedding 'table' \(.*\), which has rows 0 to 4, but it holds 5"
    for call in (lambda: model.fit(bad, np.ones(4), batch_size=2), lambda: model.predict(bad)):
        with pytest.raises(DataError, match=text):
            call()
    with pytest.raises(DataError, match=r"it holds -1"):
        model.evaluate(((x, y) for x, y in [(good, np.ones(4)), (good - 1, np.ones(4))]), verbose=0)


def test_class_weights_of_classes_that_are_not_there_are_refused():
    with pytest.raises(DataError, match=r"3 classes \(0 to 2\), but class_weight names class 3"):
        one().fit(X, Y, class_weight={0: 1.0, 3: 2.0})
    with pytest.raises(DataError, match="output 'kind' has 3 classes"):
        two().fit([X, B], [Y, V], class_weight={"kind": {-1: 1.0}})
    binary = one("binary_crossentropy", 1, "sigmoid")
    with pytest.raises(DataError, match=r"2 classes \(0 to 1\), but class_weight names class 2"):
        binary.fit(X, Y % 2, class_weight={2: 1.0})


def test_metrics_may_return_their_variable():
    class Count(plait.metrics.Metric):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seen = self.add_variable(shape=(), initializer="zeros", name="seen")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.seen.assign_add(float(len(y_pred)))

        def result(self):
            return self.seen

        def reset_state(self):
            self.seen.assign(0.0)

    model = one(metrics=[Count(name="seen")])
    assert model.fit(X, Y, batch_size=8, verbose=0).history["seen"] == [20]
