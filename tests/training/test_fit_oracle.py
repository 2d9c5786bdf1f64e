"""Training as Keras does it: same weights and data give the same history and weights."""

import functools

import keras
import numpy as np
import pytest

import plait

given = dict  # arguments by name
rng = np.random.default_rng(0)
X = rng.normal(size=(21, 4)).astype("float32")
A, B = X, rng.normal(size=(21, 3)).astype("float32")
LABELS = rng.integers(0, 3, 21)
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
YES = rng.integers(0, 2, (21, 1)).astype("float32")
REAL = rng.normal(size=(21, 2)).astype("float32")
W1, W2 = (rng.uniform(0.2, 2, 21).astype("float32") for _ in range(2))
TOKENS = rng.integers(1, 9, (21, 5))
TOKENS[np.arange(5)[None] >= rng.integers(1, 6, 21)[:, None]] = 0
TAGS = rng.integers(0, 3, (21, 5))


@pytest.fixture(autouse=True)
def fresh_names():
    """Let the numbers of automatic names begin anew in both, whatever other tests have made."""
    for k in (keras, plait):
        k.utils.clear_session()


def sequential(k, units=3, activation="softmax"):
    layers = k.layers
    return k.Sequential(
        [
            k.Input((4,)),
            layers.Dense(6, activation="tanh", name="hidden"),
            layers.Dense(units, activation=activation, name="out"),
        ]
    )


def branched(k, outputs=list):
    layers = k.layers
    a, b = k.Input((4,), name="a"), k.Input((3,), name="b")
    both = layers.Concatenate(name="both")(
        [layers.Dense(5, activation="tanh", name="from_a")(a), layers.Dense(5, name="from_b")(b)]
    )
    kind = layers.Dense(3, activation="softmax", name="kind")(both)
    value = layers.Dense(2, name="value")(both)
    results = {"value": value, "kind": kind} if outputs is dict else [kind, value]
    return k.Model([a, b], results)


def penalised(k):
    layers = k.layers

    class Penalty(layers.Layer):
        def call(self, inputs):
            self.add_loss(0.01 * k.ops.sum(k.ops.square(inputs)))
            return inputs

    return k.Sequential(
        [
            k.Input((4,)),
            layers.Dense(6, kernel_regularizer="l2", activity_regularizer="l1", name="hidden"),
            layers.BatchNormalization(name="norm"),
            Penalty(name="penalty"),
            layers.Dense(2, bias_regularizer=k.regularizers.L1L2(0.1, 0.2), name="out"),
        ]
    )


def tagger(k):
    layers = k.layers
    return k.Sequential(
        [
            k.Input((5,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True, name="embed"),
            layers.Dense(3, activation="softmax", name="tag"),
        ]
    )


def error(y_true, y_pred):
    return ((y_true - y_pred) ** 2).mean(-1)


def half_off(y_true, y_pred):
    return ((abs(y_true - y_pred) > 0.5) * 1.0).mean(-1)


class Batches:
    """Batches that can begin again, without a length."""

    def __init__(self, *arrays, size=5):
        self.arrays, self.size = arrays, size

    def generator(self, endless=False):
        while True:
            for start in range(0, 20, self.size):
                yield tuple(array[start : start + self.size] for array in self.arrays)
            if not endless:
                return


def copy_weights(model, oracle):
    for layer in model.layers:
        oracle.get_layer(layer.name).set_weights(layer.get_weights())


def pair(build):
    model, oracle = build(plait), build(keras)
    copy_weights(model, oracle)
    return model, oracle


def same(ours, theirs, rtol=1e-5, what=""):
    assert set(ours) == set(theirs), what
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=rtol, atol=1e-6, err_msg=f"{what}{name}")


def same_weights(model, oracle):
    for layer in model.layers:
        for ours, theirs in zip(
            layer.get_weights(), oracle.get_layer(layer.name).get_weights(), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-6, err_msg=layer.name)


CASES = {
    "labels": (
        sequential,
        lambda k: given(
            optimizer="adam", loss="sparse_categorical_crossentropy",
            metrics=["accuracy"], weighted_metrics=["acc"],
        ),
        lambda k: given(x=X, y=LABELS, sample_weight=W1, validation_split=0.25, batch_size=8),
    ),
    "one-hot": (
        sequential,
        lambda k: given(
            optimizer=k.optimizers.SGD(0.1, momentum=0.9),
            loss=k.losses.CategoricalCrossentropy(label_smoothing=0.1),
            metrics=["acc", k.metrics.Precision(), k.metrics.F1Score(), "mse"],
        ),
        lambda k: given(
            x=X, y=ONE_HOT, class_weight={0: 1.0, 1: 3.0, 2: 0.5}, batch_size=7,
            validation_data=(X[:9], ONE_HOT[:9], W2[:9]), validation_freq=2, epochs=3,
        ),
    ),
    "yes or no": (
        lambda k: sequential(k, 1, "sigmoid"),
        lambda k: given(
            optimizer="rmsprop", loss="binary_crossentropy",
            metrics=["accuracy", k.metrics.Precision(), half_off],
            weighted_metrics=["accuracy", half_off],
        ),
        lambda k: given(
            x=X, y=YES[:, 0], class_weight={0: 1.0, 1: 3.0}, batch_size=7, steps_per_epoch=2,
            epochs=5, initial_epoch=2, validation_data=(X, YES), validation_steps=2,
            validation_batch_size=7, validation_freq=[4, 5],
        ),
    ),
    "lists": (
        branched,
        lambda k: given(
            optimizer="sgd", loss=["sparse_categorical_crossentropy", error],
            loss_weights=[0.5, 2.0], metrics=[["accuracy"], ["mae", half_off]],
            weighted_metrics=[None, [k.metrics.MeanSquaredError(name="mse")]],
        ),
        lambda k: given(
            x=[A, B], y=[LABELS, REAL], sample_weight=[W1, W2], batch_size=7,
            validation_data=([A, B], [LABELS, REAL]),
        ),
    ),
    "dicts": (
        lambda k: branched(k, dict),
        lambda k: given(
            optimizer="adam", loss={"kind": "crossentropy", "value": "mse"},
            loss_weights={"kind": 0.3, "value": 1.0},
            metrics={"kind": ["accuracy", "ce"] if k is plait else [
                "accuracy", k.metrics.CategoricalCrossentropy(name="ce")]},
            weighted_metrics={"value": "mae"},
        ),
        lambda k: given(
            x={"a": A, "b": B}, y={"value": REAL, "kind": ONE_HOT},
            sample_weight={"kind": W1, "value": W2}, batch_size=7,
        ),
    ),
    "one loss for all, one weight for all": (
        lambda k: branched(k),
        lambda k: given(optimizer="sgd", loss="mse", weighted_metrics=[["mse"], ["mse"]]),
        lambda k: given(x=[A, B], y=[ONE_HOT, REAL], sample_weight=W1, batch_size=7),
    ),
    "penalties and statistics": (
        penalised,
        lambda k: given(optimizer="sgd", loss="mse", metrics=["mae"]),
        lambda k: given(x=X, y=REAL, batch_size=7, validation_data=(X, REAL)),
    ),
    "masks": (
        tagger,
        lambda k: given(
            optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"],
            weighted_metrics=["accuracy"],
        ),
        lambda k: given(
            x=TOKENS, y=TAGS, sample_weight=np.outer(W1, W2[:5]), batch_size=7,
            validation_data=(TOKENS, TAGS),
        ),
    ),
    "an endless generator": (
        sequential,
        lambda k: given(optimizer="sgd", loss="mse"),
        lambda k: given(x=Batches(X, ONE_HOT, W1).generator(True), steps_per_epoch=3),
    ),
}  # fmt: skip


@functools.cache
def fitted(case):
    build, compiled, arguments = CASES[case]
    model, oracle = pair(build)
    histories = []
    for k, m in ((plait, model), (keras, oracle)):
        m.compile(**compiled(k))
        given_here = {"epochs": 3, "shuffle": False, "verbose": 0, **arguments(k)}
        histories.append(m.fit(**given_here).history)
    return model, oracle, *histories


@pytest.mark.parametrize("case", CASES)
def test_fit_equals_keras(case):
    model, oracle, ours, theirs = fitted(case)
    if case == "masks":  # Keras on JAX loses the masks of metrics, but in training only
        theirs.update({name: ours[name] for name in ("accuracy", "weighted_accuracy")})
    same(ours, theirs, rtol=2e-5)
    assert next(iter(ours)) == "loss"
    same_weights(model, oracle)


def test_evaluate_predict_and_single_batches_equal_keras():
    model, oracle, *_ = fitted("penalties and statistics")
    batch, arguments = (X[:7], REAL[:7]), {"batch_size": 7, "verbose": 0}
    for call in (
        lambda m: m.evaluate(X, REAL, return_dict=True, **arguments),
        lambda m: m.train_on_batch(*batch, return_dict=True),
        lambda m: m.train_on_batch(*batch, return_dict=True),
        lambda m: m.test_on_batch(*batch, return_dict=True),
        lambda m: {"outputs": m.predict(X, **arguments)},
        lambda m: {"outputs": m.predict_on_batch(X[:7])},
    ):
        same(call(model), call(oracle), rtol=1e-4)
    same_weights(model, oracle)


def test_masks_count_in_metrics_while_training_as_in_evaluation():
    model, *_ = fitted("masks")
    model.optimizer.learning_rate = 0.0
    arguments = {"batch_size": 7, "verbose": 0}
    history = model.fit(TOKENS, TAGS, shuffle=False, **arguments).history
    evaluated = model.evaluate(TOKENS, TAGS, return_dict=True, **arguments)
    same({name: values[0] for name, values in history.items()}, evaluated)
