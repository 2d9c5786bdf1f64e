"""Every loss against Keras: values, weights, masks, reductions, configurations and refusals."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from plait import losses
from plait.core.scope import Scope
from plait.errors import ArgumentTypeError, ConfigError, ShapeError

RNG = np.random.default_rng(0)


def softmax(x):
    e = np.exp(x)
    return (e / e.sum(-1, keepdims=True)).astype("float32")


def data(kind, shape):
    """Targets and predictions of a kind."""
    logits = RNG.normal(size=shape).astype("float32")
    classes = RNG.integers(0, shape[-1], shape[:-1])
    return {
        "real": (RNG.normal(size=shape).astype("float32"), logits),
        "positive": (RNG.random(shape, "float32") + 0.1, RNG.random(shape, "float32") + 0.1),
        "binary": (
            RNG.integers(0, 2, shape).astype("float32"),
            np.clip(RNG.random(shape, "float32") * 1.2 - 0.1, 0, 1),
        ),
        "binary_logits": (RNG.integers(0, 2, shape).astype("float32"), 30 * logits),
        "signs": (np.sign(logits[::-1]), logits),
        "onehot": (np.eye(shape[-1], dtype="float32")[classes], softmax(logits)),
        "onehot_logits": (np.eye(shape[-1], dtype="float32")[classes], 20 * logits),
        "sparse": (classes, softmax(logits)),
        "sparse_column": (classes[..., None], softmax(logits)),
        "sparse_logits": (classes, 20 * logits),
        "classes_only": (classes[..., 0] if len(shape) > 2 else classes, logits),
    }[kind]


CASES = [
    ("MeanSquaredError", {}, "real"),
    ("MeanAbsoluteError", {}, "real"),
    ("MeanAbsolutePercentageError", {}, "real"),
    ("MeanSquaredLogarithmicError", {}, "real"),
    ("CosineSimilarity", {}, "real"),
    ("CosineSimilarity", {"axis": 1}, "real"),
    ("Huber", {"delta": 0.5}, "real"),
    ("LogCosh", {}, "real"),
    ("KLDivergence", {}, "onehot"),
    ("Poisson", {}, "positive"),
    ("Hinge", {}, "signs"),
    ("Hinge", {}, "binary"),
    ("SquaredHinge", {}, "signs"),
    ("CategoricalHinge", {}, "onehot_logits"),
    ("BinaryCrossentropy", {}, "binary"),
    ("BinaryCrossentropy", {"from_logits": True}, "binary_logits"),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, "binary"),
    ("BinaryFocalCrossentropy", {}, "binary"),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3}, "binary"),
    ("BinaryFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary_logits"),
    ("CategoricalCrossentropy", {}, "onehot"),
    ("CategoricalCrossentropy", {"from_logits": True}, "onehot_logits"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, "onehot"),
    ("CategoricalCrossentropy", {"axis": 1}, "positive"),
    ("CategoricalFocalCrossentropy", {}, "onehot"),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "gamma": 3.0}, "onehot_logits"),
    ("SparseCategoricalCrossentropy", {}, "sparse"),
    ("SparseCategoricalCrossentropy", {}, "sparse_column"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "sparse_logits"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, "sparse"),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}, "sparse"),
    ("Dice", {}, "binary"),
    ("Dice", {"axis": (1,)}, "binary"),
    ("Tversky", {"alpha": 0.3, "beta": 0.8}, "binary"),
    ("Tversky", {"axis": -1}, "binary"),
]
IDS = [f"{n}-{k}-{d}" for n, k, d in CASES]
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None]


def close(ours, theirs):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5, atol=1e-6)


def weights_for(loss, y_true, y_pred, shape):
    """None, one weight per sample, and one per value of the loss."""
    values = np.asarray(loss(y_true, y_pred)).shape
    full = RNG.random(values).astype("float32") if values else None
    column = RNG.random((shape[0],) + (1,) * (max(len(values), 1) - 1)).astype("float32")
    return [None, column, full, np.float32(2.0)]


@pytest.mark.parametrize(
    ("name", "kwargs", "kind", "shape"),
    [(*case, (2, 4, 3)) for case in CASES] + [(*case, (4, 3)) for case in CASES[::8]],
)
def test_equals_keras(name, kwargs, kind, shape):
    y_true, y_pred = data(kind, shape)
    if kwargs.get("axis") == 1 and name == "CategoricalCrossentropy" and len(shape) > 2:
        y_true = y_true / y_true.sum(1, keepdims=True)
    ours = getattr(losses, name)(reduction=None, **kwargs)
    for weight in weights_for(ours, y_true, y_pred, shape):
        for reduction in REDUCTIONS:
            mine = getattr(losses, name)(reduction=reduction, **kwargs)
            theirs = getattr(keras.losses, name)(reduction=reduction, **kwargs)
            close(mine(y_true, y_pred, weight), theirs(y_true, y_pred, weight))


@pytest.mark.parametrize(("name", "kwargs", "kind"), CASES, ids=IDS)
def test_traces_in_a_scope_and_has_a_gradient(name, kwargs, kind):
    y_true, y_pred = data(kind, (4, 3))
    loss = getattr(losses, name)(**kwargs)

    @jax.jit
    def step(y_true, y_pred):
        with Scope():
            return loss(y_true, y_pred)

    close(step(y_true, y_pred), loss(y_true, y_pred))
    gradient = jax.grad(step, argnums=1)(y_true, jnp.asarray(y_pred))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("name", "kwargs", "kind"), CASES, ids=IDS)
def test_config_round_trip(name, kwargs, kind):
    loss = getattr(losses, name)(name="mine", reduction="sum", **kwargs)
    again = losses.deserialize(losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert again.name == "mine"
    y_true, y_pred = data(kind, (4, 3))
    close(again(y_true, y_pred), loss(y_true, y_pred))
    theirs = getattr(keras.losses, name)(**kwargs)
    mine = losses.get(keras.losses.serialize(theirs))
    assert mine.name == theirs.name
    if set(kwargs) <= set(theirs.get_config()):  # Keras forgets Huber's delta, for one
        close(mine(y_true, y_pred), theirs(y_true, y_pred))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mask", ["some", "none", "all"])
def test_mask(reduction, weighted, mask):
    y_true, y_pred = data("sparse", (3, 4, 5))
    kept = {"some": RNG.integers(0, 2, (3, 4)), "none": np.zeros((3, 4)), "all": np.ones((3, 4))}
    kept = kept[mask].astype(bool)
    weight = RNG.random((3, 4)).astype("float32") if weighted else None
    for ignore in (None, 2):
        theirs = keras.losses.SparseCategoricalCrossentropy(
            ignore_class=ignore, reduction=reduction
        )
        tensor = keras.ops.convert_to_tensor(y_pred)
        tensor._keras_mask = jnp.asarray(kept)
        ours = losses.SparseCategoricalCrossentropy(ignore_class=ignore, reduction=reduction)
        with Scope() as scope:
            pred = jnp.asarray(y_pred)
            scope.set_mask(pred, jnp.asarray(kept))
            close(ours(y_true, pred, weight), theirs(y_true, tensor, weight))


def test_weights_meet_samples_first():
    y_true, y_pred = data("sparse", (4, 4, 3))
    weight = np.arange(4.0)
    ours = losses.SparseCategoricalCrossentropy(reduction=None)
    expected = np.asarray(ours(y_true, y_pred)) * weight[:, None]
    close(ours(y_true, y_pred, weight), expected)
    with Scope() as scope:
        pred = jnp.asarray(y_pred)
        scope.set_mask(pred, jnp.tri(4, dtype=bool))
        close(
            losses.SparseCategoricalCrossentropy(reduction="sum")(y_true, pred, weight),
            (expected * np.tri(4)).sum(),
        )


def test_circle_and_ctc():
    labels = np.array([0, 1, 0, 2, 1])
    embeddings = RNG.normal(size=(5, 4)).astype("float32")
    embeddings /= np.linalg.norm(embeddings, axis=-1, keepdims=True)
    for kwargs in ({}, {"remove_diagonal": False, "gamma": 8.0}):
        for reduction in ("sum_over_batch_size", "sum", None):
            close(
                losses.Circle(reduction=reduction, **kwargs)(labels, embeddings),
                keras.losses.Circle(reduction=reduction, **kwargs)(labels, embeddings),
            )
    y_true, y_pred = np.array([[1, 2, 2], [3, 0, 0]]), RNG.normal(size=(2, 7, 4))
    close(losses.CTC()(y_true, y_pred), keras.losses.CTC()(y_true, y_pred))
    with pytest.raises(ShapeError, match=r"labels \(n, length\)"):
        losses.ctc(y_true[0], y_pred)


@pytest.mark.parametrize(
    ("true", "pred"), [((4,), (4, 1)), ((4, 1), (4,)), ((4, 3), (4, 3, 1)), ((4,), (4,))], ids=str
)
@pytest.mark.parametrize("name", ["mean_squared_error", "binary_crossentropy", "hinge", "poisson"])
def test_last_dimension_of_one(name, true, pred):
    y_true = RNG.integers(0, 2, true).astype("float32")
    y_pred = RNG.random(pred).astype("float32")
    ours = losses.for_output(name, true, pred)
    theirs = keras.src.losses.losses.LossFunctionWrapper(getattr(keras.losses, name))
    close(ours(y_true, y_pred), theirs(y_true, y_pred))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in losses.__all__
        if name.islower()
        and name not in ("get", "for_output", "serialize", "deserialize")
        and name not in ("reduce_weighted", "circle", "ctc")
        and "sparse" not in name
        and name != "categorical_generalized_cross_entropy"
    ],
)
@pytest.mark.parametrize(("true", "pred"), [((4, 5), (4, 1)), ((4,), (4, 10)), ((4, 1), (4, 3))])
def test_refuses_to_broadcast(name, true, pred):
    with pytest.raises(ShapeError) as error:
        getattr(losses, name)(np.zeros(true), np.zeros(pred))
    text = str(error.value)
    assert text.startswith(name)
    assert str(true) in text
    assert str(pred) in text
    assert ("sparse_categorical_crossentropy" in text) == (pred[-1] > 1)


def test_refuses_wrong_class_numbers():
    sparse = losses.SparseCategoricalCrossentropy()
    with pytest.raises(ShapeError, match=r"takes class numbers \(4,\) for scores \(4, 3\)"):
        sparse(np.zeros((5,)), np.ones((4, 3)))
    with pytest.raises(ShapeError, match="'categorical_crossentropy'"):
        sparse(np.zeros((4, 3)), np.ones((4, 3)))
    with pytest.raises(ShapeError, match="single number"):
        losses.mean_squared_error(1.0, 2.0)


@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 2, 1)], ids=str)
def test_refuses_weights_that_do_not_fit(shape):
    with pytest.raises(ShapeError, match=r"do not fit values of shape \(4,\)"):
        losses.MeanSquaredError()(np.zeros((4, 3)), np.zeros((4, 3)), np.ones(shape))


def test_refuses_bad_arguments():
    with pytest.raises(ConfigError, match="no reduction 'average'"):
        losses.MeanSquaredError(reduction="average")
    with pytest.raises(ConfigError, match="Did you mean 'mean_squared_error'"):
        losses.get("mean_squared_eror")
    with pytest.raises(ArgumentTypeError, match="a loss is a name"):
        losses.get(3)
    with pytest.raises(ConfigError, match="q is 1"):
        losses.CategoricalGeneralizedCrossEntropy(q=1)
    with pytest.raises(NotImplementedError, match="no call"):
        losses.Loss()(np.zeros(2), np.zeros(2))
    with pytest.warns(SyntaxWarning, match="single class"):
        losses.categorical_crossentropy(np.ones((2, 1)), np.ones((2, 1)))


@pytest.mark.parametrize("short", ["mse", "mae", "mape", "msle", "bce", "kld", "MSE", "BCE"])
def test_short_names(short):
    ours, theirs = losses.get(short), keras.losses.get(short)
    assert ours.__name__ == theirs.__name__


def test_get():
    assert losses.get(None) is None
    assert losses.get("huber") is losses.huber
    assert isinstance(losses.get("Huber"), losses.Huber)
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    found = losses.get({"class_name": "Huber", "config": {"delta": 2.0}})
    assert found.get_config()["delta"] == 2.0


@pytest.mark.parametrize(
    ("true", "pred", "name"),
    [
        ((None, 1), (None, 1), "binary_crossentropy"),
        ((None,), (None, 1), "binary_crossentropy"),
        ((None,), (None, 7), "sparse_categorical_crossentropy"),
        ((None, 1), (None, 7), "sparse_categorical_crossentropy"),
        ((None, 7), (None, 7), "categorical_crossentropy"),
    ],
)
def test_crossentropy_by_shapes(true, pred, name):
    loss = losses.for_output("crossentropy", true, pred)
    assert loss.fn is getattr(losses, name)
    assert loss.name == "crossentropy"


def test_loss_of_a_function():
    def scaled(y_true, y_pred, factor=1.0):
        return factor * jnp.mean(jnp.abs(y_true - y_pred), axis=-1)

    loss = losses.LossFunction(scaled, factor=3.0)
    assert loss.name == "scaled"
    close(loss(np.zeros((4,)), np.ones((4, 1))), 3.0)
    again = losses.LossFunction.from_config(
        losses.LossFunction(losses.huber, delta=2.0).get_config()
    )
    close(again([[0.0]], [[4.0]]), 6.0)
    wrapper = keras.src.losses.losses.LossFunctionWrapper(keras.losses.huber, delta=2.0)
    theirs = keras.saving.serialize_keras_object(wrapper)
    close(losses.deserialize(theirs)([[0.0]], [[4.0]]), 6.0)


def test_loss_of_structures():
    class Both(losses.Loss):
        def call(self, y_true, y_pred):
            return jnp.square(y_true["a"] - y_pred["a"]) + y_pred["b"]

    values = {"a": np.ones(3), "b": np.ones(3)}
    close(Both(reduction="sum")({"a": np.zeros(3)}, values), 6.0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reduce_weighted_on_plain_values(reduction):
    from keras.src.losses.loss import reduce_weighted_values

    values, weights = RNG.random(5).astype("float32"), RNG.random(5).astype("float32")
    mask = np.array([1, 0, 1, 1, 0], bool)
    for weight in (None, weights, 0 * weights):
        for kept in (None, mask):
            close(
                losses.reduce_weighted(values, weight, kept, reduction),
                reduce_weighted_values(values, weight, kept, reduction),
            )
