"""Programs are compiled once: in a process, and in the next."""

import os
import subprocess
import sys
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import plait
from plait.core import compilation

X = np.arange(6, dtype="float32").reshape(2, 3)


def lowered(factor=2.0):
    return jax.jit(lambda a: [jnp.tanh(a[0]) * factor, a[1]]).lower([X, X])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own, and nothing in memory."""
    monkeypatch.setattr(compilation, "_chosen", tmp_path / "cache")
    compilation.clear()
    yield plait.config.compile_cache()
    compilation.clear()


@pytest.fixture
def compiled(monkeypatch):
    """What XLA was asked for."""
    calls = []
    original = jax.stages.Lowered.compile

    def noting(self, *args, **kwargs):
        calls.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(jax.stages.Lowered, "compile", noting)
    return calls


def check(program, factor=2.0):
    tanh, same = program([X, X])
    np.testing.assert_allclose(tanh, np.tanh(X) * factor, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(same, X)


def test_the_same_program_is_compiled_once_in_a_process(compiled):
    compilation.clear()
    check(compilation.compile_once(lowered(7.0)), 7.0)
    check(compilation.compile_once(lowered(7.0)), 7.0)
    assert len(compiled) == 1
    check(compilation.compile_once(lowered(8.0)), 8.0)
    assert len(compiled) == 2


def test_arguments_that_are_not_used_tell_programs_apart(compiled):
    first = jax.jit(lambda a, b: a + 1).lower(X, X)
    second = jax.jit(lambda a: a + 1).lower(X)
    compilation.compile_once(first)(X, X)
    np.testing.assert_array_equal(compilation.compile_once(second)(X), X + 1)


def test_the_next_process_loads_it(folder, compiled, capfd):
    check(compilation.compile_once(lowered()))
    (file,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    compilation.clear()
    check(compilation.compile_once(lowered()))
    assert len(compiled) == 1
    assert capfd.readouterr().err == ""
    assert file.exists()


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"", lambda b: b[:-1] + b"?"])
def test_a_damaged_file_is_made_anew(folder, compiled, damage):
    check(compilation.compile_once(lowered()))
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    compilation.clear()
    check(compilation.compile_once(lowered()))
    assert len(compiled) == 2
    assert file.stat().st_size == pytest.approx(len(whole), rel=0.1)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, compiled, capfd):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(compilation, "_chosen", tmp_path / "file")
    compilation.clear()
    check(compilation.compile_once(lowered()))
    assert capfd.readouterr().err == ""


def test_the_folder_keeps_what_was_used_last(folder, monkeypatch):
    for factor in (1.0, 2.0, 3.0):
        check(compilation.compile_once(lowered(factor)), factor)
        for file in folder.iterdir():
            os.utime(file, (time.time() - 60, time.time() - 60)) if factor == 1.0 else None
    sizes = [file.stat().st_size for file in folder.iterdir()]
    monkeypatch.setattr(compilation, "_IN_FOLDER", sum(sizes) // 2)
    check(compilation.compile_once(lowered(4.0)), 4.0)
    assert 1 <= len(list(folder.iterdir())) < 3
    compilation.clear()


def test_programs_that_call_back_are_not_kept(folder, compiled):
    def back(x):
        return jax.pure_callback(lambda a: a + 1, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    for _ in range(2):
        program = compilation.compile_once(jax.jit(back).lower(X))
        np.testing.assert_array_equal(program(X), X + 1)
    assert len(compiled) == 2
    assert not folder.exists()


def test_who_says_where(monkeypatch, tmp_path):
    monkeypatch.setattr(compilation, "_chosen", None)
    for value in ("0", "off", "False"):
        monkeypatch.setenv("PLAIT_COMPILE_CACHE", value)
        assert plait.config.compile_cache() is None
    monkeypatch.setenv("PLAIT_COMPILE_CACHE", str(tmp_path))
    assert tmp_path in plait.config.compile_cache().parents
    monkeypatch.delenv("PLAIT_COMPILE_CACHE")
    assert "plait" in plait.config.compile_cache().parts
    plait.config.set_compile_cache(False)
    assert plait.config.compile_cache() is None
    plait.config.set_compile_cache(True)
    users = {**jax.config.values, "jax_compilation_cache_dir": "/x"}
    settings = types.SimpleNamespace(values=users)
    monkeypatch.setattr(compilation, "jax", types.SimpleNamespace(config=settings))
    assert plait.config.compile_cache() is None


SCRIPT = """
import jax, numpy as np, plait
compiled = []
original = jax.stages.Lowered.compile
jax.stages.Lowered.compile = lambda *args, **kwargs: compiled.append(1) or original(*args, **kwargs)
plait.utils.set_random_seed(0)
model = plait.Sequential([plait.Input((8, 8, 1)), plait.layers.Conv2D(4, 3, activation="relu"),
                          plait.layers.Flatten(), plait.layers.Dense(2)])
model.compile("adam", "mse")
x = np.linspace(0, 1, 70 * 64, dtype="float32").reshape(70, 8, 8, 1)
loss = model.fit(x, x[:, 0, :2, 0], epochs=2, verbose=0, validation_split=0.3).history["val_loss"]
print(len(compiled), loss, model.predict(x[:1], verbose=0).sum())
"""


def test_a_second_run_of_a_script_compiles_nothing(tmp_path):
    def run():
        environment = {**os.environ, "PLAIT_COMPILE_CACHE": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split(maxsplit=1)

    first, second = run(), run()
    assert int(first[0]) > 2
    assert second[0] == "0"
    assert second[1] == first[1]
