"""The choice of kernels; holds with and without plait-onednn."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import plait
from plait import doctor, kernels, layers
from plait.errors import ConfigError


def primitives(function, *arguments):
    return str(jax.make_jaxpr(function)(*arguments))


def image(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), "float32")


def test_kernels_are_switched_off_and_on(restored):
    def convolve(x, w):
        return kernels.conv(x, w)

    x, w = image(1, 5, 5, 2), image(3, 3, 2, 4)
    there = kernels.native().library is not None
    assert ("plait_convolution" in primitives(convolve, x, w)) is there
    with kernels.using("xla"):
        assert "plait_convolution" not in primitives(convolve, x, w)
    plait.config.set_kernels("xla")
    assert plait.config.kernels() == "xla"
    assert "plait_convolution" not in primitives(convolve, x, w)


@pytest.mark.parametrize(
    "choose", [plait.config.set_kernels, lambda k: kernels.using(k).__enter__()]
)
def test_an_unknown_choice_is_refused(choose):
    with pytest.raises(ConfigError, match=r"cannot be 'xls'.*'xla'"):
        choose("xls")


def test_the_environment_switches_kernels_off():
    code = "import plait; print(plait.config.kernels())"
    run = [sys.executable, "-c", code]
    environment = {**os.environ, "PLAIT_KERNELS": "xla"}
    assert subprocess.check_output(run, env=environment, text=True).strip() == "xla"


def test_other_arrays_go_to_xla():
    w = image(3, 3, 2, 4)
    for x, kernel in [
        (image(1, 5, 5, 2).astype("bfloat16"), w.astype("bfloat16")),
        (image(0, 5, 5, 2), w),
    ]:
        assert "plait_convolution" not in primitives(kernels.conv, x, kernel)
        assert kernels.conv(x, kernel).shape == (x.shape[0], 3, 3, 4)


def test_symbolic_sizes_go_to_xla():
    (batch,) = jax.export.symbolic_shape("b")
    x = jax.ShapeDtypeStruct((batch, 5, 5, 2), jnp.float32)
    exported = jax.export.export(jax.jit(kernels.conv))(x, image(3, 3, 2, 4))
    assert exported.call(image(7, 5, 5, 2), image(3, 3, 2, 4)).shape == (7, 3, 3, 4)


def test_what_loops_well():
    def forward(x, w):
        return jax.lax.scan(lambda c, _: (c + kernels.conv(x, w).sum(), None), 0.0, None, 3)[0]

    step = jax.grad(forward, 1)
    x, w = image(1, 5, 5, 2), image(3, 3, 2, 4)
    assert kernels.loops_well(jax.make_jaxpr(lambda x: x @ x)(image(2, 2)))
    with kernels.using("xla"):
        assert kernels.loops_well(jax.make_jaxpr(lambda *a: forward(*a))(x, w))
    assert kernels.loops_well(jax.make_jaxpr(step)(x, w)) is (kernels.native().library is not None)
    with kernels.using("xla"):
        assert not kernels.loops_well(jax.make_jaxpr(lambda *a: step(*a))(x, w))


def test_the_doctor_says_which_kernels_are_active(capsys):
    doctor.main()
    told = capsys.readouterr().out
    assert jax.__version__ in told
    assert str(jax.devices()[0]) in told
    native = kernels.native()
    assert ("plait-onednn" in told.split("Optional")[0]) or native.library is None
    if native.fix:
        assert f"Fix: {native.fix.split()[0]}" in told


@pytest.mark.parametrize(("limit", "level"), [("AVX2", "x86-64-v3"), ("SSE41", "x86-64-v2")])
def test_kernels_are_for_the_processor_that_is_there(native_kernels, limit, level):
    run = [sys.executable, "-c", "from plait import kernels; print(kernels.native().why)"]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": limit}
    assert level in subprocess.check_output(run, env=environment, text=True)


def test_training_is_the_same_on_both(native_kernels, restored):
    x = np.asarray(image(64, 12, 12, 3))
    y = np.arange(64) % 4

    def train(which):
        plait.config.set_kernels(which)
        plait.utils.set_random_seed(0)
        model = plait.Sequential(
            [
                layers.Conv2D(8, 3, padding="same", activation="relu"),
                layers.DepthwiseConv2D(3, strides=2, padding="same"),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Conv2DTranspose(6, 3, strides=2, padding="same"),
                layers.MaxPooling2D(),
                layers.GlobalAveragePooling2D(),
                layers.Dense(4),
            ]
        )
        loss = plait.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(plait.optimizers.SGD(0.1), loss)
        losses = model.fit(x, y, batch_size=16, epochs=2, verbose=0).history["loss"]
        return losses, model.get_weights()

    (losses, weights), (on_xla, weights_on_xla) = train("auto"), train("xla")
    np.testing.assert_allclose(losses, on_xla, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(weights, weights_on_xla, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
