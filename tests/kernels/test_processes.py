"""Native kernels where there are several devices, and in processes that fork."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("native_kernels")

CASES = """
import jax, jax.numpy as jnp, numpy as np
from plait import kernels
from plait.kernels import native_pooling, recurrence

native_pooling.pays = recurrence.pays = lambda *sizes: True

def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), "float32")

def conv(w, x):
    return kernels.conv(x, w, 1, "same")

def conv_block(w, x):
    block = kernels.conv_block(x, w, None, None, None, epsilon=None, relu=True)
    return jax.nn.relu(kernels.conv(x, w)) if block is None else block[0]

def max_pool(w, x):
    return kernels.max_pool(x * w[0, 0, :, 0], 3, 2, "same")

def lstm(w, x):
    w, first = w.reshape(9, 24)[:6], jnp.ones_like(x[:, 0, :, 0])
    return kernels.lstm(jnp.swapaxes(x.mean(-1), 0, 1), w, w, None, (first, first))[0]

def gru(w, x):
    w, first = w.reshape(12, 18)[:6], jnp.ones_like(x[:, 0, :, 0])
    return kernels.gru(jnp.swapaxes(x.mean(-1), 0, 1), w, w, None, first)[0]

operations = conv, conv_block, max_pool, lstm, gru
x, w = normal(0, 4, 6, 6, 3), normal(1, 3, 3, 3, 8)

def loss(operation):
    return lambda w, x: jnp.sum(jnp.sin(operation(w, x)))

for operation in operations:
    text = str(jax.make_jaxpr(jax.value_and_grad(loss(operation)))(w, x))
    assert "plait_" in text, operation
"""

SEVERAL_DEVICES = """
from jax.sharding import NamedSharding, PartitionSpec as P

assert len(jax.devices()) == 2
mesh = jax.make_mesh((2,), ("batch",))
split = jax.device_put(x, NamedSharding(mesh, P("batch")))
whole = jax.device_put(w, NamedSharding(mesh, P()))
for operation in operations:
    step = jax.value_and_grad(loss(operation))
    mapped = jax.shard_map(
        lambda w, x: jax.lax.psum(loss(operation)(w, x), "batch"),
        mesh=mesh, in_specs=(P(), P("batch")), out_specs=P(),
    )
    alone = jax.jit(step)(w, x)
    for several in (step, jax.value_and_grad(mapped)):
        for a, b in zip(jax.jit(several)(whole, split), alone, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
print("equal")
"""

# Children use NumPy, as those that load data do: JAX works in none, not even as they end.
FORK = """
import multiprocessing, os, warnings

warnings.simplefilter("ignore")
steps = [jax.jit(jax.value_and_grad(loss(operation))) for operation in operations]
before = [step(w, x) for step in steps]
numbers = np.asarray(x)
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(np.sum, [numbers] * 8, chunksize=1) == [np.sum(numbers)] * 8
child = os.fork()
if child == 0:
    os._exit(int(np.sum(np.ones(3))))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
after = [step(w, x) for step in steps]
jax.tree.map(np.testing.assert_array_equal, after, before)
print("equal")
"""


@pytest.mark.parametrize(
    ("code", "flags"),
    [(SEVERAL_DEVICES, "--xla_force_host_platform_device_count=2"), (FORK, "")],
    ids=["devices", "fork"],
)
def test_results_stay_the_same(code, flags):
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    run = [sys.executable, "-c", CASES + code]
    told = subprocess.run(run, env=environment, text=True, capture_output=True, timeout=120)
    assert told.stdout.strip() == "equal", told.stderr
