"""The part of a model that is written to files and read from them."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from plait.core.registry import deserialize, exchanging, serialize
from plait.errors import ConfigError

if TYPE_CHECKING:
    from plait.saving.report import LoadReport


class Persistent:
    """The part of a model that is written to files and read from them."""

    def get_config(self) -> dict[str, Any]:
        """Return the model as plain data: its graph, or the arguments of its constructor."""
        from plait.saving import graphs

        config = super().get_config()  # type: ignore[misc]
        if not (self.has_graph and _takes_graphs(type(self))):  # type: ignore[attr-defined]
            return config
        head = {"name": config["name"], "trainable": config["trainable"]}
        return {**head, **graphs.to_config(self.graph)}  # type: ignore[attr-defined]

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Self:
        """Make a model, without its weights, from what `get_config` returned."""
        from plait.saving import graphs

        if "input_layers" not in config or not _takes_graphs(cls):
            return super().from_config(config)  # type: ignore[misc]
        inputs, outputs = graphs.from_config(config)
        model = cls(inputs, outputs, name=config.get("name"))  # type: ignore[call-arg]
        model._trainable = config.get("trainable", True)  # type: ignore[attr-defined]
        return model

    def get_compile_config(self) -> dict[str, Any]:
        """Return what `compile` was given, as plain data."""
        objective = self.objective  # type: ignore[attr-defined]
        settings = {
            "optimizer": self.optimizer,  # type: ignore[attr-defined]
            "loss": objective.loss,
            "loss_weights": _completed(objective.loss_weights, self.known_output_names),  # type: ignore[attr-defined]
            "metrics": objective.user_metrics,
            "weighted_metrics": objective.user_weighted_metrics,
            "run_eagerly": self.run_eagerly,  # type: ignore[attr-defined]
        }
        written = {}
        for name, value in settings.items():
            try:
                written[name] = serialize(value)
            except ConfigError as error:
                raise ConfigError(
                    f"the {name} that {self.describe()} was compiled with cannot be written: "  # type: ignore[attr-defined]
                    f"{error}",
                ) from error
        return written

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compile as `get_compile_config` says."""
        known = inspect.signature(self.compile).parameters  # type: ignore[attr-defined]
        given = {name: deserialize(v) for name, v in config.items() if name in known}
        self.compile(**given)  # type: ignore[attr-defined]

    def to_json(self, **kwargs: Any) -> str:
        """Return the architecture as JSON, without weights; see `plait.models.model_from_json`.

        Args:
            **kwargs: for `json.dumps`.
        """
        from plait.saving.exchange import Writing

        with exchanging(Writing()):
            return json.dumps(serialize(self), **kwargs)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights to a ``.weights.h5`` or ``.safetensors`` file.

        See `plait.saving.save_weights`.
        """
        from plait.saving.weights import save_weights

        save_weights(self, filepath, overwrite)  # type: ignore[arg-type]

    def load_weights(
        self,
        filepath: str | os.PathLike[str],
        skip_mismatch: bool = False,
        *,
        match: str = "path",
        rename: Mapping[str, str] | None = None,
        strict: bool = True,
        layout: str | None = None,
        verbose: bool = True,
    ) -> LoadReport:
        """Read weights from a file, all of them or none; see `plait.saving.load_weights`."""
        from plait.saving.weights import load_weights

        return load_weights(
            self,  # type: ignore[arg-type]
            filepath,
            skip_mismatch,
            match=match,
            rename=rename,
            strict=strict,
            layout=layout,
            verbose=verbose,
        )

    def save(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        include_optimizer: bool = True,
    ) -> None:
        """Write the model to a ``.keras`` file; see `plait.saving.save_model`."""
        from plait.saving.keras_file import save_model

        save_model(self, filepath, overwrite, include_optimizer)


def _completed(weights: Any, names: Sequence[str] | None) -> Any:
    """Return loss weights for all outputs: Keras refuses a dict that leaves some out."""
    if not isinstance(weights, Mapping) or names is None:
        return weights
    return {name: weights.get(name, 1.0) for name in names}


def _takes_graphs(cls: type) -> bool:
    """Return whether a class is made by ``cls(inputs, outputs, name=...)``."""
    kinds = {parameter.kind for parameter in inspect.signature(cls).parameters.values()}
    return {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds
