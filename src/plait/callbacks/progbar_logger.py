"""`ProgbarLogger`: the progress that `fit` shows, as a callback of its own."""

from __future__ import annotations

from typing import Any

from plait.training.progress import Progress


class ProgbarLogger(Progress):
    """Show how far a run is, as its `verbose` says.

    `fit`, `evaluate` and `predict` do it by themselves. Given in `callbacks`, it takes the place of
    theirs: that says where among the callbacks progress is shown.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> progress = plait.callbacks.ProgbarLogger()
        >>> _ = model.fit(  # doctest: +ELLIPSIS
        ...     np.ones((4, 2)), np.ones((4, 1)), verbose=2, callbacks=[progress]
        ... )
        Epoch 1/1 - 1/1 - ...s - .../step - loss: ...
    """

    def __init__(self) -> None:
        super().__init__()

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the parameters of the run."""
        super().set_params(params)
        self.level = 1 if params.get("verbose", 1) == "auto" else params.get("verbose", 1)
