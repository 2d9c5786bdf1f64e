"""Every metric against Keras: streaming, weights, masks, configurations, tracing and refusals."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from plait import losses, metrics
from plait.core.scope import Scope
from plait.errors import ArgumentTypeError, ConfigError, NotBuiltError, ShapeError

RNG = np.random.default_rng(1)


def softmax(x):
    e = np.exp(x)
    return (e / e.sum(-1, keepdims=True)).astype("float32")


def data(kind, n):
    logits = RNG.normal(size=(n, 4)).astype("float32")
    classes = RNG.integers(0, 4, n)
    steps = RNG.integers(0, 4, (n, 3))
    edges = np.round(RNG.random((n, 4)) * 20) / 20
    return {
        "real": lambda: (RNG.normal(size=(n, 4)).astype("float32"), logits),
        "positive": lambda: (RNG.random((n, 4)) + 0.1, RNG.random((n, 4)) + 0.1),
        "flat": lambda: (RNG.normal(size=n), RNG.normal(size=(n, 1))),
        "ids": lambda: (classes, RNG.integers(0, 4, n)),
        "binary": lambda: (RNG.integers(0, 2, n), np.round(RNG.random((n, 1)), 2)),
        "multi": lambda: (RNG.integers(0, 2, (n, 4)), edges.astype("float32")),
        "multi_logits": lambda: (RNG.integers(0, 2, (n, 4)), logits),
        "onehot": lambda: (np.eye(4)[classes], softmax(logits)),
        "sparse": lambda: (classes, softmax(logits)),
        "sparse_column": lambda: (classes[:, None], softmax(logits)),
        "steps": lambda: (steps, softmax(RNG.normal(size=(n, 3, 4)))),
        "sorted_ids": lambda: (classes, np.argsort(-logits).astype("int32")),
        "values": lambda: (logits[:, 0],),
        "images": lambda: (RNG.integers(-1, 5, (n, 2, 3)), RNG.integers(0, 4, (n, 2, 3))),
    }[kind]()


CASES = [
    ("MeanSquaredError", {}, "real"),
    ("MeanSquaredError", {}, "flat"),
    ("RootMeanSquaredError", {}, "real"),
    ("MeanAbsoluteError", {}, "real"),
    ("MeanAbsolutePercentageError", {}, "real"),
    ("MeanSquaredLogarithmicError", {}, "positive"),
    ("CosineSimilarity", {}, "real"),
    ("LogCoshError", {}, "real"),
    ("KLDivergence", {}, "onehot"),
    ("Poisson", {}, "positive"),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, "multi"),
    ("CategoricalCrossentropy", {"from_logits": True}, "onehot"),
    ("SparseCategoricalCrossentropy", {}, "sparse"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 2}, "sparse"),
    ("Hinge", {}, "multi_logits"),
    ("SquaredHinge", {}, "multi_logits"),
    ("CategoricalHinge", {}, "onehot"),
    ("PearsonCorrelation", {}, "real"),
    ("ConcordanceCorrelation", {}, "real"),
    ("Accuracy", {}, "ids"),
    ("BinaryAccuracy", {"threshold": 0.4}, "binary"),
    ("BinaryAccuracy", {}, "multi"),
    ("CategoricalAccuracy", {}, "onehot"),
    ("SparseCategoricalAccuracy", {}, "sparse"),
    ("SparseCategoricalAccuracy", {}, "sparse_column"),
    ("SparseCategoricalAccuracy", {}, "steps"),
    ("TopKCategoricalAccuracy", {"k": 2}, "onehot"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "sparse"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "steps"),
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, "sorted_ids"),
    *[
        (name, {"thresholds": thresholds}, "multi")
        for name in ("TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives")
        for thresholds in (None, [0.2, 0.7], [0.0, 0.5, 1.0])
    ],
    *[
        (name, kwargs, "multi")
        for name in ("Precision", "Recall")
        for kwargs in (
            {},
            {"thresholds": [0.2, 0.7]},
            {"top_k": 2},
            {"class_id": 1},
            {"top_k": 1, "class_id": 2},
            {"thresholds": 0.3, "top_k": 3},
            {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]},
        )
    ],
    ("Precision", {}, "binary"),
    *[
        (name, kwargs, "multi")
        for name in (
            "SensitivityAtSpecificity",
            "SpecificityAtSensitivity",
            "PrecisionAtRecall",
            "RecallAtPrecision",
        )
        for kwargs in ({}, {"num_thresholds": 1}, {"num_thresholds": 11, "class_id": 0})
    ],
    *[
        ("AUC", {"curve": curve, "summation_method": method, "num_thresholds": 21, **more}, "multi")
        for curve in ("ROC", "PR", "PRGAIN")
        for method in ("interpolation", "minoring", "majoring")
        for more in ({}, {"multi_label": True})
    ],
    ("AUC", {}, "binary"),
    ("AUC", {"num_thresholds": 2}, "binary"),
    ("AUC", {"thresholds": [0.7, 0.2]}, "multi"),
    ("AUC", {"thresholds": [0.7, 0.2], "multi_label": True}, "multi"),
    ("AUC", {"thresholds": [0.25, 0.5, 0.75]}, "multi"),
    ("AUC", {"from_logits": True}, "multi_logits"),
    ("AUC", {"label_weights": [1.0, 2.0, 0.0, 3.0]}, "multi"),
    ("AUC", {"label_weights": [1.0, 2.0, 0.0, 3.0], "multi_label": True, "num_labels": 4}, "multi"),
    *[
        (name, {"average": average, **more}, "multi")
        for name, more in (("F1Score", {}), ("FBetaScore", {"beta": 2.0, "threshold": 0.4}))
        for average in (None, "micro", "macro", "weighted")
    ],
    ("R2Score", {}, "real"),
    ("R2Score", {"class_aggregation": None}, "real"),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}, "real"),
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 3]}, "images"),
    ("MeanIoU", {"num_classes": 4, "ignore_class": 1}, "images"),
    ("MeanIoU", {"num_classes": 4, "sparse_y_pred": False}, "steps"),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [1, 2]}, "onehot"),
    ("OneHotMeanIoU", {"num_classes": 4}, "onehot"),
    ("BinaryIoU", {"threshold": 0.3}, "multi"),
]
IDS = [f"{i}-{n}-{d}" for i, (n, _, d) in enumerate(CASES)]


def make(module, name, kwargs):
    value = (0.6,) if "At" in name else ()
    return getattr(module, name)(*value, **kwargs)


def close(ours, theirs):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-5, atol=1e-6)


FIRST_OF_EACH = [i for i, (n, *_) in enumerate(CASES) if n not in {c[0] for c in CASES[:i]}]


def batches(kind, weighted, sizes=(5, 5)):
    result = []
    for n in sizes:
        batch = data(kind, n)
        weight = RNG.random(n).astype("float32") if weighted else None
        result.append((*batch, weight))
    return result


def compare(name, kwargs, kind, weighted, sizes):
    theirs_kwargs = dict(kwargs)
    per_position = "IoU" in name
    if per_position:
        theirs_kwargs["dtype"] = "float32"
    ours, theirs = make(metrics, name, kwargs), make(keras.metrics, name, theirs_kwargs)
    for y_true, y_pred, weight in batches(kind, weighted, sizes):
        if per_position and weighted:
            positions = y_true.shape[:-1] if name.startswith("OneHot") else y_true.shape
            weight = RNG.random(positions).astype("float32")
        ours.update_state(y_true, y_pred, weight)
        theirs.update_state(y_true, y_pred, weight)
    close(ours.result(), theirs.result())
    assert ours.result().dtype == "float32"
    ours.reset_state()
    assert not any(np.asarray(variable.value).any() for variable in ours.variables)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "kwargs", "kind"), CASES, ids=IDS)
def test_equals_keras(name, kwargs, kind, weighted):
    compare(name, kwargs, kind, weighted, sizes=(5, 5))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BinaryAccuracy", "binary"),
        ("SparseCategoricalAccuracy", "steps"),
        ("AUC", "multi"),
        ("F1Score", "multi"),
    ],
)
def test_equals_keras_over_uneven_batches(name, kind):
    compare(name, {}, kind, weighted=True, sizes=(5, 2, 1))


@pytest.mark.parametrize(
    ("name", "kwargs", "kind"),
    [CASES[i] for i in FIRST_OF_EACH],
    ids=[IDS[i] for i in FIRST_OF_EACH],
)
def test_stateless_and_traced(name, kwargs, kind):
    metric = make(metrics, name, kwargs)
    *batch, _ = batches(kind, weighted=False)[0]
    metric.build(*(np.shape(y) for y in batch))
    before = metric.stateless_reset_state()

    @jax.jit
    def run(state, *batch):
        state = metric.stateless_update_state(state, *batch)
        return metric.stateless_update_state(state, *batch)

    @jax.jit
    def result(state):
        return metric.stateless_result(state)

    state = run(before, *batch)
    assert all(not np.asarray(v.value).any() for v in metric.variables)
    metric.update_state(*batch)
    close(result(state), metric(*batch))


@pytest.mark.parametrize(("name", "kwargs", "kind"), CASES, ids=IDS)
def test_config_round_trip(name, kwargs, kind):
    metric = make(metrics, name, kwargs)
    again = metrics.deserialize(metrics.serialize(metric))
    assert type(again) is type(metric)
    assert again.name == metric.name
    assert again.get_config() == metric.get_config()
    theirs = metrics.get(keras.metrics.serialize(make(keras.metrics, name, kwargs)))
    *batch, _ = batches(kind, weighted=False)[0]
    close(theirs(*batch), metric(*batch))


@pytest.mark.parametrize("cls", ["Mean", "Sum"])
@pytest.mark.parametrize(
    ("values", "weight"),
    [
        (3.0, None),
        (np.arange(4.0), None),
        (np.arange(12.0).reshape(4, 3), None),
        (np.arange(12.0).reshape(4, 3), np.arange(4.0)),
        (np.arange(12.0).reshape(4, 3), np.arange(12.0).reshape(4, 3) % 5),
        (np.arange(24.0).reshape(4, 3, 2), np.ones((4, 3))),
        (np.arange(4.0)[:, None], np.arange(4.0)),
        (np.arange(4.0), np.zeros(4)),
    ],
)
def test_mean_and_sum(cls, values, weight):
    ours, theirs = getattr(metrics, cls)(), getattr(keras.metrics, cls)()
    close(ours.result(), theirs.result())
    for _ in range(2):
        ours.update_state(values, weight)
        theirs.update_state(values, weight)
    close(ours.result(), theirs.result())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore", [None, 2])
def test_mask(weighted, ignore):
    y_true, y_pred = data("steps", 5)
    kept = RNG.integers(0, 2, (5, 3)).astype(bool)
    weight = RNG.random((5, 3)).astype("float32") if weighted else None
    theirs = keras.metrics.SparseCategoricalCrossentropy(ignore_class=ignore)
    tensor = keras.ops.convert_to_tensor(y_pred)
    tensor._keras_mask = jnp.asarray(kept)
    theirs.update_state(y_true, tensor, weight)
    ours = metrics.SparseCategoricalCrossentropy(ignore_class=ignore)
    with Scope() as scope:
        pred = jnp.asarray(y_pred)
        scope.set_mask(pred, jnp.asarray(kept))
        ours.update_state(y_true, pred, weight)
        close(ours.result(), theirs.result())


@pytest.mark.parametrize("traced", [False, True])
def test_counts_do_not_stall(traced):
    metric = metrics.TruePositives()
    metric.true_positives.assign([2.0**24])
    update = metric.stateless_update_state
    update = jax.jit(update) if traced else update
    state = [variable.value for variable in metric.variables]
    for _ in range(101):
        state = update(state, jnp.ones(1), jnp.ones(1))
    close(metric.stateless_result(state), 2.0**24 + 101 - 1)


def test_state_survives_a_scope():
    metric = metrics.Mean()
    with Scope() as scope:
        metric.update_state([1.0, 3.0])
        assert float(metric.result()) == 2.0
    assert float(metric.result()) == 0.0
    for variable, value in scope.changed.items():
        variable.assign(value)
    assert float(metric.result()) == 2.0


@pytest.mark.parametrize("name", ["accuracy", "acc", "crossentropy", "ce"])
@pytest.mark.parametrize(
    ("true", "pred", "kind"),
    [
        ((None,), (None, 1), "Binary"),
        ((None, 1), (None, 1), "Binary"),
        ((None,), (None, 3), "SparseCategorical"),
        ((None, 1), (None, 3), "SparseCategorical"),
        ((None, 5), (None, 5, 3), "SparseCategorical"),
        ((None, 3), (None, 3), "Categorical"),
    ],
)
def test_for_output_by_shapes(name, true, pred, kind):
    metric = metrics.for_output(name, true, pred)
    what = "Accuracy" if name.startswith("acc") else "Crossentropy"
    assert type(metric).__name__ == kind + what
    assert metric.name == name
    if what == "Accuracy":
        from keras.src.trainers.compile_utils import get_metric

        theirs = get_metric(name, keras.KerasTensor(true), keras.KerasTensor(pred))
        assert type(theirs).__name__ == type(metric).__name__


def test_for_output_otherwise():
    assert metrics.for_output("mse", (None, 1), (None, 1)).name == "mse"
    given = metrics.AUC(name="area", multi_label=True)
    assert metrics.for_output(given, (None, 3), (None, 3)) is given
    assert len(given.variables) == 8

    def largest(y_true, y_pred):
        return jnp.max(jnp.abs(y_true - y_pred), axis=-1)

    metric = metrics.for_output(largest, (None, 2), (None, 2))
    assert metric.name == "largest"
    close(metric(jnp.zeros((1, 2)), jnp.array([[1.0, 3.0]])), 3.0)
    wrapped = metrics.for_output(losses.Huber(delta=2.0), (None, 1), (None, 1))
    assert wrapped.name == "huber_loss"
    close(wrapped([[0.0]], [[4.0]]), 6.0)
    with pytest.raises(ArgumentTypeError, match="a metric is None"):
        metrics.for_output(None, (None, 1), (None, 1))


NAMES = (
    "mse MAE bce mape msle auc AUC r2_score f1_score root_mean_squared_error Precision "
    "top_k_categorical_accuracy log_cosh_error kl_divergence"
)


@pytest.mark.parametrize("name", NAMES.split())
def test_get_by_name(name):
    assert type(metrics.get(name)).__name__ == type(keras.metrics.get(name)).__name__


def test_get_otherwise():
    assert metrics.get(None) is None
    assert isinstance(metrics.get(metrics.AUC), metrics.AUC)
    assert metrics.get(losses.huber) is losses.huber
    with pytest.raises(ConfigError, match="Did you mean 'precision'"):
        metrics.get("precisionn")
    config = metrics.MeanMetricWrapper(losses.huber, delta=2.0).get_config()
    again = metrics.MeanMetricWrapper.from_config(config)
    close(again([[0.0]], [[4.0]]), 6.0)


def test_own_metric_with_parts():
    class Both(metrics.Metric):
        def __init__(self, name="both", **kwargs):
            super().__init__(name=name, **kwargs)
            self.squared = metrics.MeanSquaredError()
            self.seen = self.add_weight(name="seen")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.squared.update_state(y_true, y_pred, sample_weight)
            self.seen.assign_add(1)

        def result(self):
            return {"squared": self.squared.result(), "seen": self.seen.value}

    metric = Both()
    result = metric([[0.0]], [[2.0]])
    assert {key: float(value) for key, value in result.items()} == {"squared": 4.0, "seen": 1.0}
    assert len(metric.variables) == 5
    assert metric.variables[0].path == "both/seen"
    metric.reset_state()
    assert float(metric.result()["squared"]) == 0.0


def test_refusals():
    class Early(metrics.Metric):
        def __init__(self):
            self.total = self.add_weight(name="total")

    with pytest.raises(ConfigError, match="super"):
        Early()
    with pytest.raises(ShapeError, match="has 4 variables; received 1"):
        metrics.Mean().stateless_result([0.0])
    for metric in (metrics.F1Score(), metrics.R2Score(), metrics.AUC(multi_label=True)):
        with pytest.raises(NotBuiltError, match="has seen no data"):
            metric.result()
        with pytest.raises(ShapeError, match=r"\(4,\)"):
            metric.update_state(np.zeros(4), np.zeros(4))
    with pytest.raises(NotImplementedError, match="no update_state"):
        metrics.Metric().update_state()
    with pytest.raises(ShapeError, match=r"do not fit values of shape \(4,\)"):
        metrics.MeanSquaredError().update_state(np.zeros((4, 2)), np.zeros((4, 2)), np.ones(3))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: metrics.AUC(num_thresholds=1), "num_thresholds is 1"),
        (lambda: metrics.AUC(curve="roc2"), "no curve 'ROC2'"),
        (lambda: metrics.AUC(summation_method="x"), "no summation_method 'x'"),
        (lambda: metrics.AUC(num_labels=3), "multi_label=True"),
        (lambda: metrics.Precision(thresholds=[0.1, 1.5]), r"received \[1.5\]"),
        (lambda: metrics.PrecisionAtRecall(1.5), "recall is 1.5"),
        (lambda: metrics.RecallAtPrecision(0.5, num_thresholds=0), "num_thresholds is 0"),
        (lambda: metrics.F1Score(average="x"), "no average 'x'"),
        (lambda: metrics.FBetaScore(beta=0.0), "beta is 0.0"),
        (lambda: metrics.F1Score(threshold=0.0), "threshold is 0.0"),
        (lambda: metrics.R2Score(class_aggregation="x"), "no class_aggregation 'x'"),
        (lambda: metrics.R2Score(num_regressors=-1), "num_regressors is -1"),
        (lambda: metrics.IoU(2, [2]), "target class 2"),
    ],
)
def test_refused_arguments(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


@pytest.mark.parametrize(
    ("name", "true", "pred"),
    [
        ("MeanSquaredError", (4,), (4, 10)),
        ("RootMeanSquaredError", (4, 5), (4, 1)),
        ("Accuracy", (4,), (4, 10)),
        ("BinaryAccuracy", (4, 2), (4, 3)),
        ("CategoricalAccuracy", (4,), (4, 10)),
        ("SparseCategoricalAccuracy", (4, 10), (4, 10)),
        ("SparseTopKCategoricalAccuracy", (3,), (4, 10)),
        ("AUC", (4, 2), (4, 1)),
        ("Precision", (4,), (4, 3)),
        ("F1Score", (4, 1), (4, 3)),
        ("R2Score", (4, 1), (4, 3)),
    ],
)
def test_refuses_to_broadcast(name, true, pred):
    with pytest.raises(ShapeError) as error:
        getattr(metrics, name)().update_state(np.zeros(true), np.zeros(pred))
    assert str(true) in str(error.value)
    assert str(pred) in str(error.value)


def test_refuses_classes_and_weights_that_do_not_fit():
    with pytest.raises(ShapeError, match="8 targets and 24 predictions"):
        metrics.MeanIoU(3).update_state(np.zeros((4, 2)), np.zeros((4, 2, 3)))
    with pytest.raises(ShapeError, match="no such class"):
        metrics.Precision(class_id=3).update_state(np.zeros((4, 2)), np.zeros((4, 2)))
    with pytest.raises(ShapeError, match=r"weights of shape \(3,\)"):
        metrics.AUC().update_state(np.zeros((4, 2)), np.zeros((4, 2)), np.ones(3))


def test_unknown_names():
    for name, meant in (("f1", "f1_score"), ("acuracy", "accuracy")):
        with pytest.raises(ConfigError, match=f"Did you mean '{meant}'") as caught:
            metrics.get(name)
        assert "confusion_metric" not in str(caught.value)
    with pytest.raises(ConfigError, match="Did you mean 'sparse_categorical_crossentropy'"):
        losses.get("sparse_crossentropy")
