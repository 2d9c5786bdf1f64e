"""EarlyStopping and ReduceLROnPlateau decide as Keras' own do, given the same logs."""

import keras
import numpy as np
import pytest

import plait
from plait import callbacks

_NAN = float("nan")
_CURVES = {
    "falling": [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],
    "flat": [0.5] * 8,
    "dip": [0.9, 0.5, 0.6, 0.7, 0.4, 0.45, 0.46, 0.47],
    "noisy": [0.7, 0.71, 0.69, 0.695, 0.6899, 0.8, 0.3, 0.31],
    "nan": [0.8, _NAN, 0.7, _NAN, _NAN, 0.6, 0.65, 0.66],
    "rising": [0.1, 0.2, 0.3, 0.3, 0.3, 0.4, 0.35, 0.2],
}


def make(package):
    model = package.Sequential([package.layers.Input((1,)), package.layers.Dense(1)])
    model.compile(package.optimizers.SGD(0.1), "mse", metrics=["accuracy"])
    if package is plait:
        model.fit(np.zeros((1, 1)), np.zeros((1, 1)), verbose=0)
    else:
        model.build((None, 1))
        model.train_on_batch(np.zeros((1, 1)), np.zeros((1, 1)))
    model.optimizer.learning_rate = 0.1
    return model


@pytest.fixture(scope="module")
def models():
    return make(plait), make(keras)


def follow(callback, model, name, curve):
    """Feed logs; return per epoch the learning rate and whether to stop; and the last kernel."""
    model.optimizer.learning_rate = 0.1
    model.stop_training = False
    callback.set_model(model)
    callback.on_train_begin()
    seen = []
    for epoch, value in enumerate(curve):
        model.set_weights([np.full((1, 1), epoch, "float32"), np.zeros(1, "float32")])
        callback.on_epoch_end(epoch, {name: value})
        seen.append((float(np.asarray(model.optimizer.learning_rate)), model.stop_training))
        if model.stop_training:
            break
    callback.on_train_end()
    return seen, model.get_weights()[0].item()


def compare(models, class_name, options, curve, name):
    ours, theirs = models
    mine = getattr(callbacks, class_name)(name, **options)
    peer = getattr(keras.callbacks, class_name)(name, **options)
    assert follow(mine, ours, name, curve) == follow(peer, theirs, name, curve)
    for attribute in ("best", "wait", "best_epoch", "stopped_epoch", "cooldown_counter"):
        if hasattr(peer, attribute):
            np.testing.assert_equal(getattr(mine, attribute), getattr(peer, attribute))


@pytest.mark.parametrize("curve", _CURVES)
@pytest.mark.parametrize("name", ["val_loss", "loss", "val_accuracy"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 2, "restore_best_weights": True},
        {"patience": 1, "min_delta": -0.1},
        {"patience": 2, "baseline": 0.45, "restore_best_weights": True},
        {"patience": 1, "start_from_epoch": 3, "restore_best_weights": True, "mode": "min"},
        {"patience": 3, "mode": "max", "min_delta": 0.1, "restore_best_weights": True},
    ],
    ids=str,
)
def test_early_stopping_as_keras(models, options, name, curve):
    compare(models, "EarlyStopping", options, _CURVES[curve], name)


@pytest.mark.parametrize("curve", _CURVES)
@pytest.mark.parametrize("name", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 0},
        {"patience": 2, "factor": 0.5},
        {"patience": 1, "cooldown": 2, "min_delta": 0.05},
        {"patience": 1, "factor": 0.5, "min_lr": 0.03, "mode": "max"},
    ],
    ids=str,
)
def test_reduce_on_plateau_as_keras(models, options, name, curve):
    compare(models, "ReduceLROnPlateau", options, _CURVES[curve], name)


def make_metric(package, name):
    options = {
        "IoU": {"num_classes": 2, "target_class_ids": [0]},
        "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
        "MeanIoU": {"num_classes": 2},
        "OneHotMeanIoU": {"num_classes": 2},
        "SensitivityAtSpecificity": {"specificity": 0.5},
        "SpecificityAtSensitivity": {"sensitivity": 0.5},
        "PrecisionAtRecall": {"recall": 0.5},
        "RecallAtPrecision": {"precision": 0.5},
    }
    return getattr(package.metrics, name)(**options.get(name, {}))


_METRICS = {name for name in plait.metrics.__all__ if name[0].isupper()}


@pytest.mark.parametrize("name", sorted(_METRICS - {"Metric", "MeanMetricWrapper"}))
def test_auto_mode_knows_metrics_as_keras(name):
    direction = getattr(make_metric(keras, name), "_direction", None)

    class Holder:
        metrics = [make_metric(plait, name)]

    for prefix in ("", "val_", "val_head_"):
        stop = callbacks.EarlyStopping(prefix + Holder.metrics[0].name)
        stop.set_model(Holder())
        if direction is None:
            with pytest.raises(plait.ConfigError, match="is larger better"):
                stop.is_improvement(1.0, 0.0)
        else:
            assert stop.is_improvement(1.0, 0.0) is (direction == "up")
            assert stop.is_improvement(0.0, 1.0) is (direction == "down")


@pytest.mark.parametrize("name", ["EarlyStopping", "ReduceLROnPlateau"])
def test_missing_number_warns_and_names_what_there_is(models, name):
    callback = getattr(callbacks, name)("val_los", patience=0)
    with pytest.warns(UserWarning, match=r"'val_los', .* Did you mean 'val_loss'\? There are:"):
        follow(callback, models[0], "val_loss", [0.1, 0.1])
    with pytest.warns(UserWarning, match="Fix: pass validation_data"):
        follow(getattr(callbacks, name)(), models[0], "loss", [0.1])


@pytest.mark.parametrize(
    ("make_callback", "text"),
    [
        (lambda: callbacks.EarlyStopping(mode="mini"), "mode is 'auto', 'min' or 'max'"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1.0), "factor must be less than 1"),
    ],
)
def test_bad_arguments(make_callback, text):
    with pytest.raises(plait.ConfigError, match=text):
        make_callback()


def test_messages(models, capsys):
    stop = callbacks.EarlyStopping("loss", patience=2, verbose=1, restore_best_weights=True)
    follow(stop, models[0], "loss", _CURVES["flat"])
    reduce = callbacks.ReduceLROnPlateau("loss", patience=7, verbose=1)
    follow(reduce, models[0], "loss", _CURVES["flat"])
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 3: stopped early, loss has not improved for 2 epochs.",
        "Weights are back to those of epoch 1.",
        "Epoch 8: the learning rate is now 0.01, loss has not improved for 7 epochs.",
    ]
