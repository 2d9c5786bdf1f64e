import gc
import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["PLAIT_COMPILE_CACHE"] = "0"


@pytest.fixture(autouse=True, scope="module")
def bounded_memory():
    """Let go of what a file compiled: thousands of tests would keep gigabytes of it."""
    yield
    import jax

    from plait.core import compilation

    jax.clear_caches()
    compilation.clear()
    gc.collect()


@pytest.fixture(autouse=True)
def seeded():
    """Draw the same weights in a test whichever tests ran before it."""
    from plait.utils import set_random_seed

    set_random_seed(0)
