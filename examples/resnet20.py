"""ResNet-20 (He et al. 2016), the network for CIFAR-10, on handwritten digits of 16 x 16 pixels.

Run it with: python examples/resnet20.py
"""

import sys

import numpy as np

import plait
from plait import Input, Model, SymbolicTensor, layers
from plait.datasets import load_mnist_sample


def conv_norm(x: SymbolicTensor, filters: int, size: int = 3, strides: int = 1) -> SymbolicTensor:
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return layers.BatchNormalization(momentum=0.9)(x)  # training is short: follow it quickly


def residual_block(x: SymbolicTensor, filters: int, strides: int = 1) -> SymbolicTensor:
    shortcut = x
    x = layers.ReLU()(conv_norm(x, filters, strides=strides))
    x = conv_norm(x, filters)
    if shortcut.shape != x.shape:
        shortcut = conv_norm(shortcut, filters, size=1, strides=strides)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def make_resnet(
    input_shape: tuple[int, int, int], num_classes: int, blocks: int = 3, filters: int = 16
) -> Model:
    """Return a ResNet of three stages: 3 blocks each make ResNet-20, 9 make ResNet-56."""
    image = Input(input_shape, name="image")
    x = layers.ReLU()(conv_norm(image, filters))
    for stage in range(3):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            x = residual_block(x, filters * 2**stage, strides)
    x = layers.GlobalAveragePooling2D()(x)
    logits = layers.Dense(num_classes, name="logits")(x)
    return Model(image, logits, name=f"resnet{6 * blocks + 2}")


def small(images: np.ndarray) -> np.ndarray:
    """Return images of 28 x 28 as 16 x 16 x 1: a margin of 2, then means of 2 x 2 pixels."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    return padded.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4))[..., None]


def main(short: bool = False) -> dict[str, float]:
    plait.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = load_mnist_sample()
    if short:
        x_train, y_train, x_test, y_test = x_train[:256], y_train[:256], x_test[:64], y_test[:64]
    x_train, x_test = small(x_train), small(x_test)

    model = make_resnet((16, 16, 1), num_classes=10, blocks=1 if short else 3)
    if not short:
        model.summary()

    epochs, batch_size = (2, 64) if short else (4, 64)
    schedule = plait.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.1, decay_steps=epochs * -(-len(x_train) // batch_size)
    )
    model.compile(
        plait.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=1e-4),
        plait.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(x_train, y_train, batch_size=batch_size, epochs=epochs)
    return model.evaluate(x_test, y_test, verbose=0, return_dict=True)


if __name__ == "__main__":
    print(main("--short" in sys.argv))
