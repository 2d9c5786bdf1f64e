"""Adafactor: Adam's mean square in the memory of its row and column sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import jax.numpy as jnp
import numpy as np

from plait.core import dtypes
from plait.optimizers.arguments import Options
from plait.optimizers.optimizer import Optimizer
from plait.optimizers.transformation import full, per_variable

if TYPE_CHECKING:
    import optax


class FactoredSlots(NamedTuple):
    """Row and column means of the squared gradient; for a vector the mean square itself."""

    row: Any
    column: Any
    velocity: Any


class Adafactor(Optimizer):
    """Divide by a mean square that is kept as the product of a row and a column.

    The last two axes of a variable are factored; vectors are not. The step is relative to the
    size of the variable: ``max(epsilon_2, rms(w)) * min(learning_rate, 1 / sqrt(t))`` (Shazeer &
    Stern 2018, as in Keras).

    Args:
        learning_rate: default 0.001, the largest relative step; see `Optimizer` for `options`.
        beta_2_decay: the mean square keeps ``1 - t**beta_2_decay`` of itself.
        epsilon_1: is added to the squared gradient.
        epsilon_2: the smallest size that a variable counts as.
        clip_threshold: the largest root mean square of the direction.
        relative_step: part of Keras' configuration, whose formula takes the smaller of the
            learning rate and ``1 / sqrt(t)`` either way.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Adafactor
        >>> kernel, adafactor = Variable(jnp.ones((3, 2)), name="kernel"), Adafactor()
        >>> adafactor.build([kernel])
        >>> {name: slot.shape for name, slot in adafactor.slots.items()}
        {'kernel/row': (3,), 'kernel/column': (2,)}
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_2_decay, self.clip_threshold = beta_2_decay, clip_threshold
        self.epsilon_1, self.epsilon_2 = epsilon_1, epsilon_2
        self.relative_step = relative_step

    def transformation(self) -> optax.GradientTransformation:
        """Return Adafactor's update."""
        beta_2_decay, threshold = self.beta_2_decay, self.clip_threshold
        epsilon_1, epsilon_2 = self.epsilon_1, self.epsilon_2

        def init(variable: Any) -> FactoredSlots:
            shape, dtype = variable.shape, dtypes.standardize(variable.dtype)
            if len(shape) < 2:
                return FactoredSlots(None, None, full(variable))
            column = np.zeros((*shape[:-2], shape[-1]), dtype)
            return FactoredSlots(np.zeros(shape[:-1], dtype), column, None)

        def update(
            gradient: Any, slots: FactoredSlots, variable: Any, learning_rate: Any, step: Any
        ) -> tuple[Any, FactoredSlots]:
            kept = 1 - step**beta_2_decay
            square = jnp.square(gradient) + epsilon_1
            if slots.velocity is None:
                row = kept * slots.row + (1 - kept) * jnp.mean(square, axis=-1)
                column = kept * slots.column + (1 - kept) * jnp.mean(square, axis=-2)
                share = row / jnp.mean(row, axis=-1, keepdims=True)
                mean_square = share[..., :, None] * column[..., None, :]
                new = FactoredSlots(row, column, None)
            else:
                mean_square = kept * slots.velocity + (1 - kept) * square
                new = FactoredSlots(None, None, mean_square)
            direction = gradient / jnp.sqrt(mean_square)
            direction /= jnp.maximum(1, _rms(direction) / threshold)
            size = jnp.maximum(epsilon_2, _rms(variable))
            return -size * jnp.minimum(learning_rate, 1 / jnp.sqrt(step)) * direction, new

        return per_variable(init, update)


def _rms(x: Any) -> Any:
    return jnp.sqrt(jnp.mean(jnp.square(x)))
