"""Every layer, operation and optimizer in a file: from plait to Keras and back."""

import keras
import layer_cases
import numpy as np
import pytest
from crossing import close, cross
from layer_cases import CASES, ELSEWHERE

import plait
from plait import layers, ops, optimizers

AVAILABLE = [case for case in CASES if hasattr(layers, case[0])]


def shifted(model):
    """Give every weight a value of its own."""
    rng = np.random.default_rng(0)
    model.set_weights(
        [
            w + rng.uniform(0, 0.2, w.shape).astype(w.dtype) if w.dtype.kind == "f" else w
            for w in model.get_weights()
        ]
    )


def test_every_layer_has_a_case():
    classes = {n for n in dir(layers) if isinstance(getattr(layers, n), type)}
    own = {n for n in classes if issubclass(getattr(layers, n), layers.Layer)}
    names = {n for n in own if getattr(layers, n).__name__ == n}
    assert not names - {name for name, _, _ in CASES} - set(ELSEWHERE)


def test_every_layer_crosses_both_ways(tmp_path):
    model, x = layer_cases.model(plait, AVAILABLE)
    shifted(model)
    again, theirs, back = cross(model, tmp_path)
    expected = model(x)
    found, returned = theirs(x), back(x)
    for name, output in expected.items():
        np.testing.assert_allclose(found[name], output, rtol=1e-5, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(returned[name], output, rtol=1e-5, atol=1e-5, err_msg=name)
    assert again.to_json() == model.to_json()
    for ours, written in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, written)
    for name in ("m.weights.h5", "m.safetensors"):
        model.save_weights(tmp_path / name)
        again.set_weights([np.zeros_like(w) for w in again.get_weights()])
        assert again.load_weights(tmp_path / name, verbose=False).complete
        for ours, written in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, written)


def test_what_keras_writes_of_its_own_layers_opens(tmp_path):
    theirs, x = layer_cases.model(keras, AVAILABLE)
    theirs.save(tmp_path / "keras.keras")
    theirs.save(tmp_path / "keras.h5")
    model = plait.models.load_model(tmp_path / "keras.keras")
    expected = theirs(x)
    for name, output in model(x).items():
        np.testing.assert_allclose(output, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
    legacy = plait.models.load_model(tmp_path / "keras.h5")
    assert legacy.to_json() == model.to_json()
    for ours, written in zip(legacy.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, written)


def operations(lib):
    """Return a model of functions of `ops` with settings, constants and several tensors."""
    x, y = lib.Input((4, 6), name="x"), lib.Input((4, 6), name="y")
    o = lib.ops
    return lib.Model(
        [x, y],
        {
            "arithmetic": (2 - x) * y / 3 + x**2 - (-y),
            "compare": o.where(x > 0.1, o.cast(x <= y, "float32"), y),
            "index": x[:, 1:, ::2],
            "axis": x[:, None, ..., -1],
            "reduce": o.mean(x, axis=(1, 2), keepdims=True) + o.max(y, axis=-1, keepdims=True),
            "shape": o.transpose(o.reshape(x, (-1, 3, 8)), (0, 2, 1)),
            "einsum": o.einsum("bij,bkj->bik", x, y),
            "join": o.concatenate([x, o.expand_dims(y, 1)[:, 0], x], axis=1),
            "stack": o.stack([x, y], axis=-1),
            "matmul": o.matmul(x, o.swapaxes(y, 1, 2)),
            "split": o.split(x, 2, axis=2)[1],
            "clip": o.clip(x, -0.5, 0.5),
            "pad": o.pad(x, [[0, 0], [1, 0], [0, 2]]),
            "softmax": o.softmax(o.abs(x), axis=1),
            "gelu": o.gelu(x, approximate=False),
            "constant": o.add(x, np.arange(6, dtype="float32")),
            "take": o.take(x, np.array([0, 2]), axis=1),
            "top": o.top_k(x, 2)[0],
            "sort": o.sort(o.argsort(x, axis=1), axis=1),
            "one_hot": o.one_hot(o.cast(o.argmax(x, axis=-1), "int32"), 6),
            "tile": o.tile(o.repeat(x, 2, axis=1), (1, 1, 2)),
        },
    )


@pytest.mark.parametrize("lib", [plait, keras])
def test_functions_on_symbolic_tensors(lib, tmp_path):
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(3, 4, 6)).astype("float32") for _ in range(2)]
    model = operations(lib)
    if lib is plait:
        again, theirs, back = cross(model, tmp_path)
        assert again.to_json() == model.to_json()
        readers = (theirs, back)
    else:
        model.save(tmp_path / "keras.keras")
        readers = (plait.models.load_model(tmp_path / "keras.keras"),)
    expected = model(x)
    for reader in readers:
        for name, output in reader(x).items():
            np.testing.assert_allclose(output, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_function_that_keras_does_not_have(tmp_path):
    x = plait.Input((6,))
    model = plait.Model(x, ops.rearrange(x, "b (i j) -> b i j", j=2))
    model.save(tmp_path / "m.keras")
    again = plait.models.load_model(tmp_path / "m.keras")
    assert again.output_shape == (None, 3, 2)


SCHEDULES = optimizers.schedules
OPTIMIZERS = {
    "Adadelta": lambda: optimizers.Adadelta(0.1),
    "Adafactor": optimizers.Adafactor,
    "Adamax": optimizers.Adamax,
    "AMSGrad": lambda: optimizers.Adam(0.01, amsgrad=True, clipnorm=1.0),
    "AdamW": lambda: optimizers.AdamW(
        SCHEDULES.CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=3), weight_decay=0.1
    ),
    "Ftrl": optimizers.Ftrl,
    "Lamb": optimizers.Lamb,
    "Lion": lambda: optimizers.Lion(0.01),
    "Nadam": lambda: optimizers.Nadam(SCHEDULES.PiecewiseConstantDecay([2, 4], [0.1, 0.01, 0.001])),
    "RMSprop": lambda: optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "accumulation": lambda: optimizers.SGD(
        SCHEDULES.ExponentialDecay(0.1, 3, 0.5, staircase=True),
        momentum=0.9,
        nesterov=True,
        use_ema=True,
        gradient_accumulation_steps=2,
    ),
    "loss scale": lambda: optimizers.LossScaleOptimizer(
        optimizers.Adam(0.01), initial_scale=8.0, dynamic_growth_steps=3
    ),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_goes_on(make, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 4)), rng.normal(size=(24, 3))
    model = plait.Sequential([plait.Input((4,)), layers.Dense(5, "relu"), layers.Dense(3)])
    model.compile(make(), "mse")
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    _, theirs, back = cross(model, tmp_path)
    for reader in (model, theirs, back):
        reader.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    for reader in (theirs, back):
        close(reader.get_weights(), model.get_weights(), rtol=1e-4, atol=1e-5)
    assert int(back.optimizer.iterations) == int(model.optimizer.iterations)
