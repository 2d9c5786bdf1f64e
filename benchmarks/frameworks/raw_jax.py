"""The models in JAX and optax by hand, as somebody writes them who knows XLA on a CPU.

The first peer runs one optimizer step a call, fed by the host; the second keeps the data on the
device and runs an epoch a call.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from rows import HEADS, INNER, ROWS, TOKENS, VOCABULARY, WIDTH

Params = dict[str, Any]


class Draw:
    """Draws weights: Glorot's for kernels, zeros for biases."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def kernel(self, *shape: int) -> jax.Array:
        field = int(np.prod(shape[:-2]))
        limit = np.sqrt(6 / (field * (shape[-2] + shape[-1])))
        return jnp.asarray(self.rng.uniform(-limit, limit, shape), "float32")

    def dense(self, *shape: int) -> Params:
        return {"kernel": self.kernel(*shape), "bias": jnp.zeros(shape[-1])}

    def norm(self, width: int) -> Params:
        return {"gamma": jnp.ones(width), "beta": jnp.zeros(width)}


def dense(p: Params, x: jax.Array) -> jax.Array:
    return x @ p["kernel"] + p["bias"]


def conv(p: Params, x: jax.Array, strides: int = 1, padding: str = "SAME") -> jax.Array:
    dimensions = ("NHWC", "HWIO", "NHWC")
    y = lax.conv_general_dilated(
        x, p["kernel"], (strides, strides), padding, dimension_numbers=dimensions
    )
    return y + p["bias"] if "bias" in p else y


def batch_norm(p: Params, x: jax.Array, moving: list[Any]) -> jax.Array:
    """Normalize; append the statistics of the batch to `moving`."""
    mean, variance = jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))
    moving.append((mean, variance))
    scale = p["gamma"] * lax.rsqrt(variance + 1e-3)
    return x * scale + (p["beta"] - mean * scale)


def layer_norm(p: Params, x: jax.Array) -> jax.Array:
    mean = jnp.mean(x, -1, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), -1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p["gamma"] + p["beta"]


def max_pool(x: jax.Array, size: int, stride: int) -> jax.Array:
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "SAME")


# Each model is a pair: draw weights; compute logits of (weights, inputs, moving statistics).


def stack(*widths: int) -> tuple[Callable[[Draw], Params], Callable[..., jax.Array]]:
    def init(draw: Draw) -> Params:
        pairs = itertools.pairwise(widths)
        return {f"dense_{i}": draw.dense(*pair) for i, pair in enumerate(pairs)}

    def forward(p: Params, x: jax.Array, moving: list[Any]) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for i in range(len(widths) - 2):
            x = jax.nn.relu(dense(p[f"dense_{i}"], x))
        return dense(p[f"dense_{len(widths) - 2}"], x)

    return init, forward


def residual_init(draw: Draw) -> Params:
    return {
        "first": draw.dense(3, 3, 3, 64),
        "norm_1": draw.norm(64),
        "second": draw.dense(3, 3, 64, 64),
        "norm_2": draw.norm(64),
        "shortcut": draw.dense(1, 1, 3, 64),
        "out": draw.dense(64, 10),
    }


def residual(p: Params, image: jax.Array, moving: list[Any]) -> jax.Array:
    x = jax.nn.relu(batch_norm(p["norm_1"], conv(p["first"], image), moving))
    x = batch_norm(p["norm_2"], conv(p["second"], x), moving)
    x = jax.nn.relu(x + conv(p["shortcut"], image))
    return dense(p["out"], jnp.mean(x, (1, 2)))


def two_inputs_init(draw: Draw) -> Params:
    return {
        "conv": draw.dense(3, 3, 3, 32),
        "text": draw.dense(100, 64),
        "out": draw.dense(30 * 30 * 32 + 64, 1),
    }


def two_inputs(p: Params, inputs: Any, moving: list[Any]) -> jax.Array:
    image, text = inputs
    x = jax.nn.relu(conv(p["conv"], image, padding="VALID")).reshape(image.shape[0], -1)
    return dense(p["out"], jnp.concatenate([x, jax.nn.relu(dense(p["text"], text))], 1))


def resnet20_init(draw: Draw) -> Params:
    def conv_norm(*shape: int) -> Params:
        return {"conv": {"kernel": draw.kernel(*shape)}, "norm": draw.norm(shape[-1])}

    blocks, width = [], 16
    for filters in (16, 32, 64):
        for _ in range(3):
            block = {
                "first": conv_norm(3, 3, width, filters),
                "second": conv_norm(3, 3, filters, filters),
            }
            if width != filters:
                block["shortcut"] = conv_norm(1, 1, width, filters)
            blocks.append(block)
            width = filters
    return {"stem": conv_norm(3, 3, 3, 16), "blocks": blocks, "out": draw.dense(64, 10)}


def resnet20(p: Params, x: jax.Array, moving: list[Any]) -> jax.Array:
    def conv_norm(p: Params, x: jax.Array, strides: int = 1) -> jax.Array:
        return batch_norm(p["norm"], conv(p["conv"], x, strides), moving)

    x = jax.nn.relu(conv_norm(p["stem"], x))
    for block in p["blocks"]:
        strides = 2 if "shortcut" in block else 1
        y = jax.nn.relu(conv_norm(block["first"], x, strides))
        y = conv_norm(block["second"], y)
        x = jax.nn.relu(y + (conv_norm(block["shortcut"], x, 2) if strides == 2 else x))
    return dense(p["out"], jnp.mean(x, (1, 2)))


def inception_init(draw: Draw) -> Params:
    def block(width: int, filters: int) -> Params:
        half = filters // 2
        return {
            "one": draw.dense(1, 1, width, filters),
            "three_reduce": draw.dense(1, 1, width, half),
            "three": draw.dense(3, 3, half, filters),
            "five_reduce": draw.dense(1, 1, width, half),
            "five": draw.dense(5, 5, half, filters),
            "pooled": draw.dense(1, 1, width, filters),
        }

    return {
        "stem": draw.dense(3, 3, 3, 32),
        "first": block(32, 16),
        "second": block(64, 32),
        "out": draw.dense(128, 10),
    }


def inception(p: Params, x: jax.Array, moving: list[Any]) -> jax.Array:
    def relu_conv(p: Params, x: jax.Array) -> jax.Array:
        return jax.nn.relu(conv(p, x))

    def block(p: Params, x: jax.Array) -> jax.Array:
        towers = [
            relu_conv(p["one"], x),
            relu_conv(p["three"], relu_conv(p["three_reduce"], x)),
            relu_conv(p["five"], relu_conv(p["five_reduce"], x)),
            relu_conv(p["pooled"], max_pool(x, 3, 1)),
        ]
        return jnp.concatenate(towers, -1)

    x = max_pool(block(p["first"], relu_conv(p["stem"], x)), 2, 2)
    return dense(p["out"], jnp.mean(block(p["second"], x), (1, 2)))


def transformer_init(draw: Draw) -> Params:
    def block() -> Params:
        return {
            "qkv": draw.dense(WIDTH, 3 * WIDTH),
            "attended": draw.dense(WIDTH, WIDTH),
            "norm_1": draw.norm(WIDTH),
            "inner": draw.dense(WIDTH, INNER),
            "outer": draw.dense(INNER, WIDTH),
            "norm_2": draw.norm(WIDTH),
        }

    return {
        "embedding": draw.kernel(VOCABULARY, WIDTH),
        "positions": draw.kernel(TOKENS, WIDTH),
        "blocks": [block(), block()],
        "out": draw.dense(WIDTH, 10),
    }


def transformer(p: Params, tokens: jax.Array, moving: list[Any]) -> jax.Array:
    batch = tokens.shape[0]
    x = p["embedding"][tokens] + p["positions"]
    for block in p["blocks"]:
        heads = dense(block["qkv"], x).reshape(batch, TOKENS, 3, HEADS, WIDTH // HEADS)
        query, key, value = jnp.moveaxis(heads, 2, 0).swapaxes(2, 3)
        scores = query @ key.swapaxes(2, 3) / np.sqrt(WIDTH // HEADS).astype("float32")
        seen = (jax.nn.softmax(scores) @ value).swapaxes(1, 2).reshape(batch, TOKENS, WIDTH)
        x = layer_norm(block["norm_1"], x + dense(block["attended"], seen))
        inner = jax.nn.gelu(dense(block["inner"], x), approximate=False)
        x = layer_norm(block["norm_2"], x + dense(block["outer"], inner))
    return dense(p["out"], jnp.mean(x, 1))


def lstm_init(draw: Draw) -> Params:
    return {
        "inputs": draw.dense(32, 256),
        "recurrent": draw.kernel(64, 256),
        "out": draw.dense(64, 10),
    }


def lstm(p: Params, x: jax.Array, moving: list[Any]) -> jax.Array:
    def step(states: Any, projected: jax.Array) -> Any:
        h, c = states
        i, f, g, o = jnp.split(projected + h @ p["recurrent"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((x.shape[0], 64))
    (h, _), _ = lax.scan(step, (zeros, zeros), dense(p["inputs"], x.swapaxes(0, 1)))
    return dense(p["out"], h)


MODELS = {
    "touchstone-1": stack(784, 128, 10),
    "touchstone-2": (residual_init, residual),
    "touchstone-3": (two_inputs_init, two_inputs),
    "resnet20": (resnet20_init, resnet20),
    "inception": (inception_init, inception),
    "transformer": (transformer_init, transformer),
    "lstm": (lstm_init, lstm),
    "wide-mlp": stack(784, 2048, 2048, 10),
}


class StepByStep:
    """One optimizer step a call; the host gathers each batch."""

    def __init__(self, name: str) -> None:
        self.row = ROWS[name]
        init, self.forward = MODELS[name]
        self.params = init(Draw())
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        self.optimizer = optax.adam(1e-3)
        if self.row.optimizer == "momentum":
            self.optimizer = optax.sgd(0.05, momentum=0.9)
        self.slots = self.optimizer.init(self.params)
        self.moving: Any = None
        self.step = jax.jit(self.pure_step, donate_argnums=(0, 1, 2))
        self._predict = jax.jit(lambda p, x: jax.nn.softmax(self.forward(p, x, [])))
        self.rng = np.random.default_rng(0)

    def pure_step(self, params: Any, slots: Any, moving: Any, x: Any, y: Any) -> Any:
        def loss_of(params: Any) -> Any:
            batch: list[Any] = []
            logits = self.forward(params, x, batch)
            if self.row.classes > 2:
                losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            else:
                losses = optax.sigmoid_binary_cross_entropy(logits[:, 0], y.astype("float32"))
            return jnp.mean(losses), batch

        (loss, batch), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        moving = jax.tree.map(lambda old, new: 0.99 * old + 0.01 * new, moving, batch)
        updates, slots = self.optimizer.update(gradients, slots, params)
        return optax.apply_updates(params, updates), slots, moving, loss

    def _start(self, x: Any) -> None:
        if self.moving is None:
            batch: list[Any] = []
            jax.eval_shape(lambda p, x: self.forward(p, x, batch), self.params, _rows(x, slice(1)))
            self.moving = [(jnp.zeros(m.shape), jnp.ones(v.shape)) for m, v in batch]

    def fit(self, x: Any, y: Any, epochs: int) -> list[float]:
        """Train; return the loss of each epoch."""
        self._start(x)
        losses = []
        for _ in range(epochs):
            order = self.rng.permutation(len(y))
            total, count = 0.0, 0
            for start in range(0, len(y), self.row.batch):
                rows = order[start : start + self.row.batch]
                self.params, self.slots, self.moving, loss = self.step(
                    self.params, self.slots, self.moving, _rows(x, rows), y[rows]
                )
                total, count = total + loss, count + 1
            losses.append(float(total) / count)
        return losses

    def predict(self, x: Any) -> np.ndarray:
        return np.asarray(self._predict(self.params, x))

    call = predict


class EpochByEpoch(StepByStep):
    """All steps of an epoch in one call, on data that are on the device."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.epoch = jax.jit(self.pure_epoch, donate_argnums=(0,))
        self.placed: Any = None

    def pure_epoch(self, state: Any, x: Any, y: Any, order: Any) -> Any:
        def body(state: Any, rows: Any) -> Any:
            *state, loss = self.pure_step(*state, _rows(x, rows), y[rows])
            return tuple(state), loss

        state, losses = lax.scan(body, state, order.reshape(-1, self.row.batch))
        return state, jnp.mean(losses)

    def fit(self, x: Any, y: Any, epochs: int) -> list[float]:
        """Train; return the loss of each epoch."""
        self._start(x)
        if self.placed is None:
            self.placed = jax.device_put((x, y))
        losses = []
        for _ in range(epochs):
            order = self.rng.permutation(len(y)).astype("int32")
            state, loss = self.epoch((self.params, self.slots, self.moving), *self.placed, order)
            self.params, self.slots, self.moving = state
            losses.append(float(loss))
        return losses


def work(name: str) -> tuple[float, float]:
    """Return the floating-point operations and the bytes that one step of a row cannot avoid."""
    from floor import count

    row, model = ROWS[name], StepByStep(name)
    x, y = row.make(np.random.default_rng(0), row.batch), np.zeros(row.batch, "int32")
    model._start(x)
    step = functools.partial(model.pure_step, model.params, model.slots, model.moving)
    operations, moved = count(jax.make_jaxpr(step)(x, y).jaxpr)
    # The optimizer reads the gradient, and reads and writes the weights and each slot.
    slots = sum(leaf.nbytes for leaf in jax.tree.leaves(model.slots))
    return operations, moved + 4 * model.parameters + 2 * (4 * model.parameters + slots)


def _rows(x: Any, rows: Any) -> Any:
    return [part[rows] for part in x] if isinstance(x, list) else x[rows]
