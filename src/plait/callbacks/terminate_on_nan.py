"""`TerminateOnNaN`: stop when the loss is no number."""

from __future__ import annotations

import math

from plait.training.callback import Callback, Logs


class TerminateOnNaN(Callback):
    """Stop training after the batch at which the loss becomes NaN or infinite.

    It looks at the loss of every batch, so steps run one by one.

    Args:
        raise_error: raise an error instead of ending `fit` as usual.

    Raises:
        RuntimeError: the loss is NaN or infinite, with `raise_error`.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.ones((4, 2)), np.full((4, 1), np.inf)
        >>> stop = plait.callbacks.TerminateOnNaN()
        >>> history = model.fit(x, y, epochs=9, verbose=0, callbacks=[stop])
        Batch 0: the loss is inf, training ends.
        >>> history.epoch
        [0]
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        loss = float((logs or {}).get("loss", 0.0))
        if math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"the loss is {loss} at batch {batch}.\n"
                "Fix: a lower learning rate, clipnorm=1.0 in the optimizer, or finite data"
            )
        print(f"Batch {batch}: the loss is {loss}, training ends.", flush=True)
        self.model.stop_training = True
