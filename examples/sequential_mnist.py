"""A straight stack of layers on handwritten digits, written as for tf.keras.

Run it with: python examples/sequential_mnist.py
"""

import sys

import plait as tf
from plait.datasets import load_mnist_sample


def make_model() -> tf.keras.Model:
    model = tf.keras.models.Sequential(
        [
            tf.keras.layers.Flatten(input_shape=(28, 28)),
            tf.keras.layers.Dense(128, activation="relu"),
            tf.keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(short: bool = False) -> dict[str, float]:
    tf.keras.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = load_mnist_sample()

    model = make_model()
    model.summary()
    model.fit(x_train, y_train, epochs=2 if short else 12, validation_split=0.1)

    test_loss, test_accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"test accuracy: {test_accuracy:.1%}")

    guesses = model.predict(x_test[:5], verbose=0).argmax(axis=-1)
    print(f"the first five digits are {y_test[:5]}, the model says {guesses}")
    return {"loss": test_loss, "accuracy": test_accuracy}


if __name__ == "__main__":
    main("--short" in sys.argv)
