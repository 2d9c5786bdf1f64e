"""A mixture of experts: a router sends each image to the two experts that suit it best.

Gates and top-k as in Shazeer et al. (2017), the balancing loss as in Fedus et al. (2022).
Run it with: python examples/mixture_of_experts.py
"""

import sys
from typing import Any

import numpy as np

import plait
from plait import Input, Model, layers, ops
from plait.datasets import load_mnist_sample


class MixtureOfExperts(layers.Layer):
    """Return the outputs of the best experts, weighted by the router, and the router's gates."""

    def __init__(
        self, experts: int, units: int, top: int = 2, balance: float = 0.01, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.top, self.balance = top, balance
        self.router = layers.Dense(experts, activation="softmax")
        self.experts = [layers.Dense(units, activation="relu") for _ in range(experts)]

    def call(self, inputs: Any) -> tuple[Any, Any]:
        gates = self.router(inputs)
        best, _ = ops.top_k(gates, self.top)
        chosen = ops.cast(gates >= best[:, -1:], gates.dtype)
        self.add_loss(self.balance * self.imbalance(gates, chosen))

        weights = gates * chosen
        weights = weights / ops.sum(weights, axis=-1, keepdims=True)
        outputs = ops.stack([expert(inputs) for expert in self.experts], axis=1)
        return ops.einsum("be,beu->bu", weights, outputs), weights

    def imbalance(self, gates: Any, chosen: Any) -> Any:
        """Return 1 when all experts are used alike, more when some are preferred."""
        share_of_samples = ops.mean(chosen, axis=0) / self.top
        share_of_gates = ops.mean(gates, axis=0)
        return len(self.experts) * ops.sum(share_of_samples * share_of_gates)


def make_model(experts: int, balance: float) -> Model:
    image = Input((28, 28), name="image")
    x = layers.Flatten()(image)
    x = layers.Dense(32, activation="relu")(x)
    x, gates = MixtureOfExperts(experts, units=32, balance=balance, name="mixture")(x)
    digit = layers.Dense(10, activation="softmax", name="digit")(x)
    return Model(image, {"digit": digit, "gates": gates})


def main(short: bool = False) -> dict[str, float]:
    (x_train, y_train), (x_test, y_test) = load_mnist_sample()
    results = {}
    for balance in (0.0, 0.05):
        plait.utils.set_random_seed(0)
        model = make_model(experts=6, balance=balance)
        # Only the digit has a loss; the gates are there to be looked at.
        model.compile(
            "adam", {"digit": "sparse_categorical_crossentropy"}, metrics={"digit": ["accuracy"]}
        )
        model.fit(x_train, {"digit": y_train}, batch_size=50, epochs=1 if short else 8, verbose=2)

        predictions = model.predict(x_test, batch_size=50, verbose=0)
        load = predictions["gates"].mean(axis=0)
        accuracy = float(np.mean(predictions["digit"].argmax(axis=-1) == y_test))
        results |= {f"accuracy_{balance}": accuracy, f"busiest_expert_{balance}": float(load.max())}
        print(f"balance {balance}: test accuracy {accuracy:.1%}; work of the experts:")
        print("  " + "  ".join(f"{share:.0%}" for share in load))
    return results


if __name__ == "__main__":
    print(main("--short" in sys.argv))
