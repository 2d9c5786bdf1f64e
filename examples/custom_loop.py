"""A training loop of your own: the model is a pure function, JAX and optax do the rest.

Run it with: python examples/custom_loop.py
"""

import sys
from typing import Any

import jax
import numpy as np
import optax
from sklearn.datasets import load_breast_cancer

import plait
from plait import Input, Model, layers

BATCH_SIZE = 32

State = dict[str, Any]


def make_model(x_train: np.ndarray) -> Model:
    scale = layers.Normalization(name="scale")
    scale.adapt(x_train)
    measurements = Input((x_train.shape[1],), name="measurements")
    x = layers.Dense(32, use_bias=False)(scale(measurements))
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.Dropout(0.3)(x)
    return Model(measurements, layers.Dense(1, activation="sigmoid")(x))


def train(model: Model, x: np.ndarray, y: np.ndarray, epochs: int) -> None:
    # The state of a model is a dict, path -> array. Gradients are for the trainable part; the
    # rest (here the moving statistics of the batch normalization) comes back from each call.
    trainable = {variable.path for variable in model.trainable_variables}
    state = model.state()
    weights = {path: value for path, value in state.items() if path in trainable}
    rest = {path: value for path, value in state.items() if path not in trainable}
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.003))

    def loss(weights: State, rest: State, x: Any, y: Any, key: Any) -> tuple[Any, State]:
        outputs, updates = model.apply(weights | rest, x, training=True, rng=key)
        return plait.losses.binary_crossentropy(y, outputs).mean(), rest | updates

    @jax.jit
    def step(weights: State, rest: State, slots: Any, x: Any, y: Any, key: Any) -> Any:
        (value, rest), gradients = jax.value_and_grad(loss, has_aux=True)(weights, rest, x, y, key)
        updates, slots = optimizer.update(gradients, slots, weights)
        return optax.apply_updates(weights, updates), rest, slots, value

    rng, key = np.random.default_rng(0), jax.random.key(0)
    slots = optimizer.init(weights)
    for epoch in range(epochs):
        batches = rng.permutation(len(x))[: len(x) // BATCH_SIZE * BATCH_SIZE]
        values = []
        for batch in batches.reshape(-1, BATCH_SIZE):
            key, draw = jax.random.split(key)
            weights, rest, slots, value = step(weights, rest, slots, x[batch], y[batch], draw)
            values.append(value)
        print(f"epoch {epoch + 1}: loss {np.mean(values):.4f}")

    for variable in model.variables:
        variable.assign((weights | rest)[variable.path])


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    data = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(data.target))
    x, y = data.data[order].astype("float32"), data.target[order].astype("float32")[:, None]
    x_train, y_train, x_test, y_test = x[100:], y[100:], x[:100], y[:100]

    model = make_model(x_train)
    train(model, x_train, y_train, epochs=5 if short else 30)
    model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    results = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    print(f"test accuracy: {results['accuracy']:.1%}")

    # Pure functions can be differentiated by anything: here by the inputs.
    slopes = jax.grad(lambda x: model.apply({}, x)[0].sum())(x_test)
    influence = np.abs(slopes * x_train.std(axis=0)).mean(axis=0)
    strongest = influence.argsort()[::-1][:3]
    print("what the prediction depends on most:", ", ".join(data.feature_names[strongest]))
    return results


if __name__ == "__main__":
    print(main("--short" in sys.argv))
