import keras
import numpy as np
import pytest
from check_layer import check_layer

from plait import layers
from plait.errors import ArgumentTypeError, ConfigError, DataError, NotBuiltError, ShapeError
from plait.graph.tensor import SymbolicTensor

DATA = (4 + 3 * np.random.default_rng(0).normal(size=(12, 4, 3))).astype("float32")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"axis": None},
        {"axis": (1, 2), "invert": True},
        {"mean": 3.0, "variance": 2.0},
        {"mean": [1.0, 2.0, 3.0], "variance": [1.0, 4.0, 0.0]},
        {"mean": np.arange(3.0), "variance": np.arange(3.0) + 1, "axis": (1, -1)},
        {"axis": None, "mean": 3.0, "variance": 2.0, "invert": True},
    ],
)
def test_against_keras(config):
    def copy(ours, theirs):
        theirs.set_weights(ours.get_weights())
        theirs.finalize_state()

    check_layer(
        lambda: layers.Normalization(**config),
        lambda: keras.layers.Normalization(**config),
        DATA,
        copy_weights=copy,
    )


@pytest.mark.parametrize("axis", [-1, None, (1, 2), (1,)])
@pytest.mark.parametrize("form", ["array", "list", "generator", "pairs"])
def test_adapt(axis, form):
    batches = [DATA[:5], DATA[5:10], DATA[10:]]
    forms = {
        "array": lambda: DATA,
        "list": lambda: batches,
        "generator": lambda: iter(batches),
        "pairs": lambda: [(batch, np.zeros(len(batch))) for batch in batches],
    }
    ours, theirs = layers.Normalization(axis), keras.layers.Normalization(axis)
    ours.adapt(forms[form]())
    theirs.adapt(DATA)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours(DATA), theirs(DATA), rtol=1e-5, atol=1e-6)


def test_adapt_takes_plain_lists_and_one_axis():
    layer = layers.Normalization(axis=None)
    layer.adapt([1.0, 3.0])
    np.testing.assert_allclose(layer(np.array([1.0, 5.0])), [-1.0, 3.0])


def test_adapting_again_starts_anew_and_is_seen_by_later_calls():
    layer = layers.Normalization()
    layer.adapt(DATA)
    before = layer(DATA)
    layer.adapt(2 * DATA)
    np.testing.assert_allclose(layer(2 * DATA), before, rtol=1e-4, atol=1e-5)


def test_large_offsets_keep_their_precision():
    layer = layers.Normalization(axis=None)
    layer.adapt([np.full((4,), 10_000.0), np.full((4,), 10_002.0)])
    np.testing.assert_allclose(layer.variance, [1.0])


def test_before_adapt_mean_is_0_and_variance_1():
    np.testing.assert_array_equal(layers.Normalization()(DATA), DATA)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.Normalization(mean=1.0), ConfigError, "mean and variance go together"),
        (
            lambda: layers.Normalization(mean=[1.0], variance=[1.0, 2.0]),
            ConfigError,
            r"mean \(1,\) and variance \(2,\) must have one shape",
        ),
        (
            lambda: layers.Normalization(mean=[[1.0]], variance=[[1.0]]),
            ConfigError,
            "at most the 1 axes",
        ),
        (
            lambda: layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0])(DATA),
            ShapeError,
            r"mean of shape \(2,\), which does not fit \(3,\)",
        ),
        (
            lambda: layers.Normalization()(SymbolicTensor((None, None))),
            ShapeError,
            "no known size on axis -1",
        ),
        (lambda: layers.Normalization(5)(DATA), ShapeError, r"axis=\(5,\), but its input has 3"),
        (lambda: layers.Normalization().adapt([]), DataError, "no data to adapt to"),
        (lambda: layers.Normalization().adapt(iter([])), DataError, "no data to adapt to"),
        (lambda: layers.Normalization().adapt(3), ArgumentTypeError, "not int"),
        (
            lambda: layers.Normalization().adapt([DATA, DATA[..., :2]]),
            DataError,
            r"was built for \(3,\) on axes \(2,\); a batch of its data is \(12, 4, 2\)",
        ),
        (
            lambda: layers.Normalization(mean=1.0, variance=1.0).adapt(DATA),
            ConfigError,
            "it cannot adapt",
        ),
        (lambda: layers.Normalization().mean, NotBuiltError, "has no mean yet"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
