"""Class weights: what they come to as sample weights."""

import numpy as np
import pytest

import plait
from plait import layers
from plait.errors import ConfigError, DataError
from plait.training.weights import ClassWeights, balanced

LABELS = np.array([0, 2, 1, 2, 2, 0])
WEIGHTS = {0: 2.0, 2: 0.5}
EXPECTED = [2.0, 0.5, 1.0, 0.5, 0.5, 2.0]
ONE_HOT = np.eye(3)[LABELS]


@pytest.mark.parametrize(
    "targets",
    [
        LABELS,
        LABELS.astype("uint8"),
        LABELS[:, None].astype("float32"),
        ONE_HOT.astype("float32"),
        ONE_HOT.astype("int64"),
        ONE_HOT * 0.7 + 0.1,
    ],
)
@pytest.mark.parametrize("names", [None, ["out"]])
def test_a_class_gives_its_weight_and_others_one(targets, names):
    weigh = ClassWeights(WEIGHTS, targets, names)
    found, twice = weigh(targets, None), weigh(targets, np.full(6, 2.0))
    if names:
        found, twice = found["out"], twice["out"]
    np.testing.assert_allclose(found, EXPECTED)
    np.testing.assert_allclose(twice, 2 * np.array(EXPECTED))


def test_class_numbers_of_sequences_are_weighted_step_by_step():
    targets = LABELS.reshape(2, 3)
    weigh = ClassWeights(WEIGHTS, targets, ["out"])
    np.testing.assert_allclose(weigh(targets, None)["out"], np.reshape(EXPECTED, (2, 3)))
    by_sample = weigh(targets, np.array([1.0, 10.0]))["out"]
    np.testing.assert_allclose(by_sample, [[2, 0.5, 1], [5, 5, 20]])


def test_balanced_weighs_every_class_the_same():
    assert balanced(LABELS) == {0: 1.0, 1: 2.0, 2: pytest.approx(2 / 3)}
    weights = ClassWeights("balanced", ONE_HOT, ["out"])(ONE_HOT, None)["out"]
    for label in range(3):
        assert weights[label == LABELS].sum() == pytest.approx(2)


def test_outputs_left_out_keep_the_weights_they_have():
    targets = {"kind": LABELS, "sign": LABELS % 2, "value": np.zeros((6, 1))}
    names = ["kind", "sign", "value"]
    weigh = ClassWeights({"kind": WEIGHTS, "sign": "balanced"}, targets, names)
    found = weigh(targets, {"value": np.full(6, 3.0)})
    assert set(found) == set(names)
    np.testing.assert_allclose(found["kind"], EXPECTED)
    np.testing.assert_allclose(found["sign"], [0.6, 0.6, 3, 0.6, 0.6, 0.6])
    np.testing.assert_allclose(found["value"], 3)
    assert "value" not in weigh([*targets.values()], None)
    np.testing.assert_allclose(weigh(targets, np.full(6, 2.0))["value"], 2)


@pytest.mark.parametrize(
    ("spec", "targets", "names", "error", "text"),
    [
        ([1, 2], LABELS, ["out"], ConfigError, "dict class -> weight or 'balanced'"),
        ("balance", LABELS, ["out"], ConfigError, "'balance'"),
        ({0: "a"}, LABELS, ["out"], ConfigError, "gives a number for each class"),
        ({"out": [1, 2]}, LABELS, ["out"], ConfigError, "gives a number for each class"),
        ({"other": {0: 1.0}}, LABELS, ["out"], ConfigError, "'other', which the model"),
        ({0: 1.0}, LABELS, ["a", "b"], ConfigError, "which of the outputs 'a', 'b'"),
        ("balanced", None, ["out"], ConfigError, "all targets in memory"),
        ({"a": "balanced"}, {"b": LABELS}, ["a", "b"], ConfigError, "all targets in memory"),
        (
            {"a": {0: 1.0}},
            {"b": LABELS},
            ["a", "b"],
            DataError,
            "for output 'a', but .* no targets",
        ),
        ({0: 1.0}, None, None, DataError, "no targets"),
    ],
)
def test_refused(spec, targets, names, error, text):
    with pytest.raises(error, match=text) as raised:
        ClassWeights(spec, targets, names)(targets, None)
    assert raised.value.fix


def test_in_training_they_are_sample_weights():
    rng = np.random.default_rng(0)
    x, value = rng.normal(size=(6, 4)), rng.normal(size=(6, 1))
    inputs = plait.Input((4,))
    outputs = [
        layers.Dense(3, activation="softmax", name="kind")(inputs),
        layers.Dense(1, name="value")(inputs),
    ]
    model = plait.Model(inputs, outputs)
    model.compile(
        plait.optimizers.SGD(0.1), ["sparse_categorical_crossentropy", "mse"],
        weighted_metrics={"kind": ["accuracy"]},
    )  # fmt: skip
    start = model.get_weights()
    found = []
    for weighting in (
        {"class_weight": {"kind": WEIGHTS}},
        {"sample_weight": {"kind": np.array(EXPECTED)}},
        {"class_weight": {"kind": WEIGHTS}, "by": "batches"},
    ):
        model.set_weights(start)
        if weighting.pop("by", None):
            data = ([(x, [LABELS, value])],)
        else:
            data = (x, [LABELS, value], 6)
        found.append(model.fit(*data, verbose=0, shuffle=False, **weighting).history)
    assert found[0] == found[1] == found[2]
    model.set_weights(start)
    unweighted = model.evaluate(x, [LABELS, value], verbose=0, return_dict=True)
    assert unweighted["value_loss"] == pytest.approx(found[0]["value_loss"][0])
    assert unweighted["kind_loss"] != pytest.approx(found[0]["kind_loss"][0])
