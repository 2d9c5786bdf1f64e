"""Activations as layers of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from plait import activations, constraints, initializers, regularizers
from plait.core.layer import Layer
from plait.core.spec import InputSpec
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import Shape


class _Elementwise(Layer):
    """A layer whose output has the shape of its input, in floats, and passes masks on."""

    input_spec = InputSpec()
    supports_masking = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input."""
        return input_shape

    def _floats(self, inputs: Any) -> Any:
        return jnp.asarray(inputs, self.compute_dtype)


class Activation(_Elementwise):
    """Apply an activation function.

    Args:
        activation: a name ("relu", "selu", ...) or a function.

    Raises:
        ConfigError: an unknown name.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.Activation("relu")(np.array([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        """Return ``activation(inputs)``."""
        return self.activation(self._floats(inputs))


class ReLU(_Elementwise):
    """Compute ``max(x, 0)``, with an optional limit, slope below, and threshold.

    ``x`` between `threshold` and `max_value`, ``max_value`` above, and
    ``negative_slope * (x - threshold)`` below. Source: Keras 3, ``keras.layers.ReLU``.

    Args:
        max_value: the largest output; default: no limit.
        negative_slope: the slope below the threshold.
        threshold: where the function turns.

    Raises:
        ConfigError: one of them is negative.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.ReLU(max_value=6.0)(np.array([-1.0, 2.0, 9.0])).tolist()
        [0.0, 2.0, 6.0]
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = (
            max_value if max_value is None else _not_negative("ReLU", "max_value", max_value)
        )
        self.negative_slope = _not_negative("ReLU", "negative_slope", negative_slope)
        self.threshold = _not_negative("ReLU", "threshold", threshold)

    def call(self, inputs: Any) -> Any:
        """Return the rectified inputs."""
        return activations.relu(
            self._floats(inputs), self.negative_slope, self.max_value, self.threshold
        )


class LeakyReLU(_Elementwise):
    """Compute ``x`` above 0 and ``negative_slope * x`` below.

    Args:
        negative_slope: the slope below 0; older code calls it ``alpha``.

    Raises:
        ConfigError: it is negative.

    Source: Maas et al. 2013.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.LeakyReLU(0.5)(np.array([-2.0, 2.0])).tolist()
        [-1.0, 2.0]
    """

    def __init__(
        self, negative_slope: float = 0.3, *, alpha: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        slope = negative_slope if alpha is None else alpha
        self.negative_slope = _not_negative("LeakyReLU", "negative_slope", slope)

    def call(self, inputs: Any) -> Any:
        """Return the inputs, scaled where negative."""
        return activations.leaky_relu(self._floats(inputs), self.negative_slope)


class PReLU(_Elementwise):
    """Compute ``x`` above 0 and ``alpha * x`` below, with a trained `alpha`.

    Args:
        alpha_initializer: of `alpha`, which has the shape of the input without the batch.
        alpha_regularizer: adds to the loss.
        alpha_constraint: applied to `alpha` after every update.
        shared_axes: the axes, counted with the batch as 0, along which `alpha` is one; ``[1, 2]``
            gives an image one `alpha` a channel.

    Raises:
        ShapeError: an axis that is not shared has no known size.

    Source: He et al. 2015, "Delving Deep into Rectifiers".

    Example:
        >>> import numpy as np, plait
        >>> prelu = plait.layers.PReLU(alpha_initializer="ones", shared_axes=[1, 2])
        >>> prelu(-np.ones((1, 2, 2, 3), "float32")).mean().item()
        -1.0
    """

    call_advice = "PReLU keeps the sizes it was built for; name axes that vary in shared_axes"

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes

    def build(self, input_shape: Shape) -> None:
        """Make `alpha`."""
        rank = len(input_shape)
        shared = {axis % rank for axis in self.shared_axes or ()}
        own = {axis: input_shape[axis] for axis in range(1, rank) if axis not in shared}
        self.alpha = self.add_weight(
            tuple(own.get(axis, 1) for axis in range(1, rank)),  # type: ignore[misc]
            self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
            name="alpha",
        )
        self.input_spec = InputSpec(ndim=rank, axes=own)

    def call(self, inputs: Any) -> Any:
        """Return the inputs, scaled by `alpha` where negative."""
        inputs = self._floats(inputs)
        return activations.relu(inputs) - self.alpha.value * activations.relu(-inputs)


class ELU(_Elementwise):
    """Compute ``x`` above 0 and ``alpha * (exp(x) - 1)`` below.

    Args:
        alpha: minus the limit for large negative inputs.

    Source: Clevert et al. 2016.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.ELU()(np.array([0.0, 3.0])).tolist()
        [0.0, 3.0]
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def call(self, inputs: Any) -> Any:
        """Return the inputs, saturating where negative."""
        return activations.elu(self._floats(inputs), self.alpha)


class Softmax(_Elementwise):
    """Compute ``exp(x) / sum(exp(x))`` along an axis or several.

    Args:
        axis: along what the outputs add up to 1.

    A `mask` given to the call, or coming with the input, says where to look: elsewhere the output
    is 0, also where nothing is left. Values above 0.5 count as true.

    Raises:
        ShapeError: the mask does not broadcast to the input.

    Example:
        >>> import numpy as np, plait
        >>> softmax = plait.layers.Softmax()
        >>> softmax(np.zeros((1, 4)), mask=np.array([[True, True, False, False]])).tolist()
        [[0.5, 0.5, 0.0, 0.0]]
    """

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the softmax of the inputs where `mask` is true."""
        inputs = self._floats(inputs)
        axis = self.axis if isinstance(self.axis, int) else tuple(self.axis)
        if mask is None:
            return activations.softmax(inputs, axis)
        kept = _kept(mask, inputs.shape)
        lowest = -3e4 if inputs.dtype == jnp.float16 else -1e9
        return jnp.where(kept, activations.softmax(jnp.where(kept, inputs, lowest), axis), 0)


def _kept(mask: Any, shape: tuple[int, ...]) -> Any:
    fits = mask.ndim <= len(shape) and all(
        size in (1, wanted) for size, wanted in zip(mask.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ShapeError(
            f"has a mask {tuple(mask.shape)}, which does not broadcast to its input "
            f"{tuple(shape)}.",
            fix="give the mask as many axes as the input: mask[:, None, :]",
        )
    return mask if mask.dtype == bool else mask > 0.5


def _not_negative(who: str, name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise ConfigError(
            f"{who}: {name} must be a number >= 0, received {value!r}.", fix=f"{name}=0.1"
        )
    return value
