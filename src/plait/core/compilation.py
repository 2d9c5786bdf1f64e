"""Compile each program once: programs are kept in memory, and in a folder for the next process.

The key of a program is its StableHLO text, so models of the same architecture share one, and a
model that is built, compiled or run again compiles nothing. XLA is only asked for what is new.

The folder is ``programs`` in the user's cache folder, or where `plait.config.set_compile_cache` or
the environment variable ``PLAIT_COMPILE_CACHE`` says (``0`` switches it off). It is for its owner
alone, holds the most recent gigabyte, and is divided by jaxlib's version and the features of the
processor. A folder that cannot be written is no error. Who has switched JAX's own compilation cache
on or off keeps that instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import platform
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jaxlib

from plait.core import memory

_IN_MEMORY = 32
_IN_FOLDER = 2**30
_VARIABLE = "PLAIT_COMPILE_CACHE"

_programs: OrderedDict[str, Callable[..., Any]] = OrderedDict()
_lock = threading.Lock()
_chosen: str | os.PathLike[str] | bool | None = None


def set_compile_cache(folder: str | os.PathLike[str] | bool | None) -> None:
    """Keep compiled programs in a folder for the next process.

    Args:
        folder: True: the usual one; False: none; None: what the environment variable says.
    """
    global _chosen
    _chosen = folder


def compile_cache() -> pathlib.Path | None:
    """Return the folder where compiled programs are kept for the next process, or None."""
    own = jax.config.values
    if own["jax_compilation_cache_dir"] or not own["jax_enable_compilation_cache"]:
        return None
    chosen = _chosen
    if chosen is None:
        chosen = os.environ.get(_VARIABLE) or True
    if chosen is False or str(chosen).lower() in ("0", "off", "false", "no"):
        return None
    if chosen is True or str(chosen).lower() in ("1", "on", "true", "yes"):
        import platformdirs

        root = platformdirs.user_cache_path("plait")
    else:
        root = pathlib.Path(chosen)
    return root / "programs" / _machine()


def clear() -> None:
    """Forget the programs in memory."""
    with _lock:
        _programs.clear()


def compile_once(lowered: jax.stages.Lowered) -> Callable[..., Any]:
    """Return the program, compiled now only if it was never compiled before."""
    text = lowered.as_text()
    if "callback" in text:  # Calls back into this process; it can be neither shared nor kept.
        return lowered.compile()
    # Arguments that are not used are not in the text.
    signature = f"{lowered.args_info}\n{lowered.out_tree}"
    key = hashlib.sha256(f"{_environment()}\n{signature}\n{text}".encode()).hexdigest()
    with _lock:
        if key in _programs:
            _programs.move_to_end(key)
            return _programs[key]
    kept = compile_cache()
    program = kept and _load(kept / key, lowered)
    if not program:
        program = lowered.compile()
        if program._params.const_args:
            return program
        if kept:
            _store(kept, key, program)
    memory.give_back()
    with _lock:
        _programs[key] = program
        while len(_programs) > _IN_MEMORY:
            _programs.popitem(last=False)
    return program


def _environment() -> str:
    """Return what besides its text decides what a program compiles to."""
    device = jax.devices()[0]
    return "\n".join(
        (
            jax.__version__,
            device.client.platform_version,
            device.device_kind,
            os.environ.get("XLA_FLAGS", ""),
        )
    )


def _machine() -> str:
    features = platform.processor() + platform.machine()
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        features += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    digest = hashlib.sha256(features.encode()).hexdigest()[:16]
    return f"jaxlib-{jaxlib.__version__}-{platform.machine()}-{digest}"


# -- the folder -----------------------------------------------------------------------------


def _load(path: pathlib.Path, lowered: jax.stages.Lowered) -> Callable[..., Any] | None:
    from jax.experimental import serialize_executable

    try:
        content = path.read_bytes()
        digest, payload = content[:32], content[32:]
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError("not what was written")
        with _without_noise():
            program = serialize_executable.deserialize_and_load(
                payload, lowered.in_tree, lowered.out_tree
            )
        os.utime(path)
        return program
    except FileNotFoundError:
        return None
    except Exception:  # Whatever is wrong with it, compiling makes a new one.
        with contextlib.suppress(OSError):
            path.unlink()
        return None


def _store(kept: pathlib.Path, key: str, program: Any) -> None:
    from jax.experimental import serialize_executable

    try:
        payload, _, _ = serialize_executable.serialize(program)
        _make(kept)
        handle, temporary = tempfile.mkstemp(dir=kept)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(payload).digest() + payload)
        os.replace(temporary, kept / key)
        _trim(kept.parent)
    except Exception:  # No room, no right, no way to write this one: the next process compiles it.
        return


def _make(kept: pathlib.Path) -> None:
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and kept.stat().st_uid != os.getuid():
        raise PermissionError(f"{kept} belongs to somebody else")
    kept.chmod(0o700)


def _trim(root: pathlib.Path) -> None:
    """Remove the programs that were not used for longest, down to the size that may stay."""
    import filelock

    with contextlib.suppress(filelock.Timeout), filelock.FileLock(root / ".lock", timeout=0):
        files = [path for path in root.glob("*/*") if path.is_file()]
        known = sorted(((path.stat(), path) for path in files), key=lambda pair: pair[0].st_mtime)
        size = sum(stat.st_size for stat, _ in known)
        for stat, path in known:
            if size <= _IN_FOLDER:
                return
            path.unlink(missing_ok=True)
            size -= stat.st_size


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """Keep XLA from writing to standard error that tuning flags are no features of this processor.

    Its loader takes ``prefer-no-gather`` for an instruction set and warns, at length, of a crash
    (openxla/xla issue 44565). Whatever else is written meanwhile is passed on.
    """
    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, ValueError, AttributeError):
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            rest = [line for line in caught if b"cpu_aot_loader" not in line]
            if rest:
                os.write(2, b"".join(rest))
