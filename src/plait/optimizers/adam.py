"""Adam and its kin: steps scaled by running moments of the gradient.

Keras adds epsilon to ``sqrt(v)`` before the bias correction of Adam, where optax adds it after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import jax.numpy as jnp
import numpy as np

from plait import kernels
from plait.errors import ConfigError
from plait.optimizers.arguments import Options, OtherOptions
from plait.optimizers.optimizer import Optimizer
from plait.optimizers.pure import Arrays
from plait.optimizers.transformation import full, per_variable, transformation

if TYPE_CHECKING:
    import optax


class Moments(NamedTuple):
    """Running means of the gradient and of its square."""

    momentum: Any
    velocity: Any
    velocity_hat: Any = None


def zeros(variable: Any) -> Moments:
    """Return the moments to start from."""
    return Moments(full(variable), full(variable))


def advance(slots: Moments, gradient: Any, beta_1: Any, beta_2: Any) -> tuple[Any, Any]:
    """Return the two means with one more gradient in them."""
    m, v = slots.momentum, slots.velocity
    return m + (gradient - m) * (1 - beta_1), v + (jnp.square(gradient) - v) * (1 - beta_2)


class Adam(Optimizer):
    """Descend along the mean of the gradient over the root of its mean square.

    ``w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)``
    (Kingma & Ba 2014, in the form before their section 2.1, as in Keras).

    Args:
        learning_rate: default 0.001; see `Optimizer` for it and for `options`.
        beta_1: the share of the mean ``m`` that stays.
        beta_2: the share of the mean square ``v`` that stays.
        epsilon: keeps the divisor from 0.
        amsgrad: divide by the largest ``v`` so far (Reddi et al. 2018).

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Adam
        >>> weight, adam = Variable([1.0], name="weight"), Adam(learning_rate=0.1)
        >>> adam.apply([jnp.array([5.0])], [weight])
        >>> round(float(weight.value[0]), 3)
        0.9
        >>> sorted(adam.slots)
        ['weight/momentum', 'weight/velocity']
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.amsgrad = amsgrad

    def transformation(self) -> optax.GradientTransformation:
        """Return Adam's update."""
        beta_1, beta_2, epsilon, amsgrad = self.beta_1, self.beta_2, self.epsilon, self.amsgrad

        def init(variable: Any) -> Moments:
            return zeros(variable)._replace(velocity_hat=full(variable) if amsgrad else None)

        def update(
            gradient: Any, slots: Moments, variable: Any, learning_rate: Any, step: Any
        ) -> tuple[Any, Moments]:
            m, v = advance(slots, gradient, beta_1, beta_2)
            largest = jnp.maximum(slots.velocity_hat, v) if amsgrad else v
            alpha = self._corrected(learning_rate, step)
            change = -(m * alpha) / (jnp.sqrt(largest) + epsilon)
            return change, Moments(m, v, largest if amsgrad else None)

        return per_variable(init, update)

    def _corrected(self, learning_rate: Any, step: Any) -> Any:
        """Return the learning rate, corrected for means that started from 0."""
        return learning_rate * jnp.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)

    def move(
        self, grads: Arrays, slots: Any, params: Arrays, rate: Any, step: Any
    ) -> tuple[Arrays, Any]:
        """Return the parameters after the update, and the new moments; natively where that is."""
        if not self.amsgrad and type(self).transformation is Adam.transformation:
            moments = [slots[path] for path in grads]
            moved = kernels.adam(
                list(grads.values()),
                [params[path] for path in grads],
                [each.momentum for each in moments],
                [each.velocity for each in moments],
                self._corrected(jnp.asarray(rate, jnp.float32), jnp.asarray(step, jnp.float32)),
                self.beta_1,
                self.beta_2,
                self.epsilon,
            )
            if moved is not None:
                variables, momenta, velocities = moved
                return dict(zip(grads, variables, strict=True)), {
                    path: Moments(m, v)
                    for path, m, v in zip(grads, momenta, velocities, strict=True)
                }
        return super().move(grads, slots, params, rate, step)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    Args:
        learning_rate: default 0.001; see `Optimizer` for it and for `options`.
        weight_decay: the share of a variable that each step takes, times the learning rate.
        beta_1: as in `Adam`, and so are the others.

    Raises:
        ConfigError: `weight_decay` is None.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import AdamW
        >>> weight = Variable([1.0], name="weight")
        >>> AdamW(learning_rate=0.1, weight_decay=0.5).apply([jnp.array([0.0])], [weight])
        >>> round(float(weight.value[0]), 3)
        0.95
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[OtherOptions],
    ) -> None:
        if weight_decay is None:
            raise ConfigError("AdamW needs a weight_decay.", fix="without decay, use Adam")
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options
        )


class _Moments(Optimizer):
    """What the other kin of Adam have in common: their arguments."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon


class NormSlots(NamedTuple):
    """The mean of the gradient and its largest size, faded."""

    momentum: Any
    norm: Any


class Adamax(_Moments):
    """Adam with the infinity norm for the mean square (Kingma & Ba 2014, section 7.1).

    ``u = max(beta_2 * u, |g|)``; ``w -= learning_rate * m / ((1 - beta_1**t) * (u + epsilon))``.

    Args:
        learning_rate: default 0.001; see `Optimizer` for it and for `options`.
        beta_1: the share of the mean ``m`` that stays.
        beta_2: the share of the norm ``u`` that stays.
        epsilon: keeps the divisor from 0.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Adamax
        >>> weight = Variable([1.0], name="weight")
        >>> Adamax(learning_rate=0.1).apply([jnp.array([5.0])], [weight])
        >>> round(float(weight.value[0]), 3)
        0.9
    """

    def transformation(self) -> optax.GradientTransformation:
        """Return Adamax' update."""
        beta_1, beta_2, epsilon = self.beta_1, self.beta_2, self.epsilon

        def update(
            gradient: Any, slots: NormSlots, variable: Any, learning_rate: Any, step: Any
        ) -> tuple[Any, NormSlots]:
            m = slots.momentum + (gradient - slots.momentum) * (1 - beta_1)
            u = jnp.maximum(beta_2 * slots.norm, jnp.abs(gradient))
            change = -(learning_rate * m) / ((1 - beta_1**step) * (u + epsilon))
            return change, NormSlots(m, u)

        return per_variable(lambda variable: NormSlots(full(variable), full(variable)), update)


class NadamState(NamedTuple):
    """The product of the momenta of all steps so far, and the moments of the variables."""

    u_product: Any
    moments: Any


class Nadam(_Moments):
    """Adam with Nesterov momentum (Dozat 2015).

    The momentum of step t is ``u(t) = beta_1 * (1 - 0.96**t / 2)``, as in Keras.

    Args:
        learning_rate: default 0.001; see `Optimizer` for it and for `options`.
        beta_1: the share of the mean that stays.
        beta_2: the share of the mean square that stays.
        epsilon: keeps the divisor from 0.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Nadam
        >>> weight, nadam = Variable([1.0], name="weight"), Nadam(learning_rate=0.1)
        >>> nadam.apply([jnp.array([5.0])], [weight])
        >>> sorted(nadam.slots)
        ['u_product', 'weight/momentum', 'weight/velocity']
    """

    def transformation(self) -> optax.GradientTransformation:
        """Return Nadam's update."""
        beta_1, beta_2, epsilon = self.beta_1, self.beta_2, self.epsilon

        def momentum(step: Any) -> Any:
            return beta_1 * (1 - 0.5 * 0.96**step)

        def update(
            gradient: Any,
            slots: Moments,
            variable: Any,
            learning_rate: Any,
            step: Any,
            u_product: Any,
        ) -> tuple[Any, Moments]:
            # Keras rounds the betas first here, which in float32 moves 1 - 0.999 by 5e-5 of itself.
            rounded = jnp.asarray((beta_1, beta_2), variable.dtype)
            m, v = advance(slots, gradient, rounded[0], rounded[1])
            now, following = momentum(step), momentum(step + 1)
            ahead = following * m / (1 - u_product * following)
            m_hat = ahead + (1 - now) * gradient / (1 - u_product)
            v_hat = v / (1 - beta_2**step)
            return -(m_hat * learning_rate) / (jnp.sqrt(v_hat) + epsilon), Moments(m, v)

        moments = per_variable(zeros, update)

        def init_all(params: Any) -> NadamState:
            return NadamState(np.float32(1), moments.init(params))

        def update_all(
            grads: Any, state: NadamState, params: Any = None, *, step: Any, **numbers: Any
        ) -> tuple[Any, NadamState]:
            u_product = state.u_product * momentum(jnp.asarray(step, jnp.float32))
            changes, new = moments.update(
                grads, state.moments, params, step=step, u_product=u_product, **numbers
            )
            return changes, NadamState(u_product, new)

        return transformation(init_all, update_all)


class Lamb(_Moments):
    """Adam whose step in each variable is as long as the variable (You et al. 2019).

    The bias-corrected step ``u = m_hat / (sqrt(v_hat) + epsilon)`` is scaled by ``|w| / |u|`` (by 1
    if either is 0).

    Args:
        learning_rate: default 0.001; see `Optimizer` for it and for `options`.
        beta_1: the share of the mean that stays.
        beta_2: the share of the mean square that stays.
        epsilon: keeps the divisor from 0.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Lamb
        >>> weight = Variable([2.0], name="weight")
        >>> Lamb(learning_rate=0.1).apply([jnp.array([5.0])], [weight])
        >>> round(float(weight.value[0]), 3)
        1.8
    """

    def transformation(self) -> optax.GradientTransformation:
        """Return Lamb's update."""
        beta_1, beta_2, epsilon = self.beta_1, self.beta_2, self.epsilon

        def update(
            gradient: Any, slots: Moments, variable: Any, learning_rate: Any, step: Any
        ) -> tuple[Any, Moments]:
            m, v = advance(slots, gradient, beta_1, beta_2)
            direction = (m / (1 - beta_1**step)) / (jnp.sqrt(v / (1 - beta_2**step)) + epsilon)
            length = jnp.sqrt(jnp.sum(jnp.square(variable)))
            stride = jnp.sqrt(jnp.sum(jnp.square(direction)))
            both = (length > 0) & (stride > 0)
            ratio = jnp.where(both, length / jnp.where(both, stride, 1), 1)
            return -(ratio * learning_rate * direction), Moments(m, v)

        return per_variable(zeros, update)
