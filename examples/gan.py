"""A generative adversarial network (Goodfellow et al. 2014) that learns to write digits.

`train_step` is overridden: two networks, two optimizers, no state to hand around.
Run it with: python examples/gan.py
"""

import sys
from typing import Any

import numpy as np

import plait
from plait import Sequential, layers, ops
from plait.datasets import load_digits

NOISE = 16


def make_generator() -> Sequential:
    return Sequential(
        [
            layers.Input((NOISE,)),
            layers.Dense(128, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(128, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(64, activation="sigmoid"),
            layers.Reshape((8, 8)),
        ]
    )


def make_discriminator() -> Sequential:
    return Sequential(
        [
            layers.Input((8, 8)),
            layers.Flatten(),
            layers.Dense(128),
            layers.LeakyReLU(0.2),
            layers.Dropout(0.3),
            layers.Dense(64),
            layers.LeakyReLU(0.2),
            layers.Dense(1),
        ]
    )


class GAN(plait.Model):
    """The generator makes images of noise; the discriminator tells them from real ones."""

    def __init__(self, generator: plait.Model, discriminator: plait.Model):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.generator_optimizer = plait.optimizers.Adam(2e-4, beta_1=0.5)
        self.discriminator_optimizer = plait.optimizers.Adam(2e-4, beta_1=0.5)
        self.judge = plait.losses.BinaryCrossentropy(from_logits=True)
        self.generator_loss = plait.metrics.Mean(name="generator_loss")
        self.discriminator_loss = plait.metrics.Mean(name="discriminator_loss")
        self.told_apart = plait.metrics.BinaryAccuracy(name="told_apart", threshold=0.0)

    def generate(self, count: int, training: bool = False) -> Any:
        return self.generator(plait.random.normal((count, NOISE)), training=training)

    def train_step(self, real: Any) -> dict[str, Any]:
        count = len(real)
        is_real = ops.concatenate([ops.ones((count, 1)), ops.zeros((count, 1))])

        def tell_apart() -> tuple[Any, Any]:
            images = ops.concatenate([real, self.generate(count, training=True)])
            logits = self.discriminator(images, training=True)
            return self.judge(0.9 * is_real, logits), logits

        variables = self.discriminator.trainable_variables
        (loss, logits), gradients = plait.value_and_grad(tell_apart, variables, has_aux=True)
        self.discriminator_optimizer.apply(gradients, variables)
        self.discriminator_loss.update_state(loss)
        self.told_apart.update_state(is_real, logits)

        def fool() -> Any:
            logits = self.discriminator(self.generate(count, training=True), training=True)
            return self.judge(ops.ones((count, 1)), logits)

        variables = self.generator.trainable_variables
        loss, gradients = plait.value_and_grad(fool, variables)
        self.generator_optimizer.apply(gradients, variables)
        self.generator_loss.update_state(loss)
        trackers = (self.generator_loss, self.discriminator_loss, self.told_apart)
        return {tracker.name: tracker.result() for tracker in trackers}


def draw(images: np.ndarray) -> None:
    """Print images of 8 x 8 side by side."""
    shades = np.array(list(" .:-=+*#%@"))
    for rows in (images * 9.99).astype(int).transpose(1, 0, 2):
        print("  ".join("".join(shades[row].repeat(2)) for row in rows))


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    (real, _), _ = load_digits(test_size=5)

    gan = GAN(make_generator(), make_discriminator())
    gan.compile()

    def distance_of_means() -> float:
        return float(np.abs(np.asarray(gan.generate(500)).mean(axis=0) - real.mean(axis=0)).mean())

    before = distance_of_means()
    history = gan.fit(real, batch_size=64, epochs=5 if short else 150, verbose=2)
    draw(np.asarray(gan.generate(6)))
    return {
        "distance_before": before,
        "distance_after": distance_of_means(),
        "told_apart": history.history["told_apart"][-1],
    }


if __name__ == "__main__":
    print(main("--short" in sys.argv))
