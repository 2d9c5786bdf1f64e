"""What stands in a model for classes and functions that a file names and nobody has given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plait.core.layer import Layer
from plait.core.spec import TensorSpec
from plait.core.variable import Variable
from plait.errors import ConfigError
from plait.graph import tree
from plait.graph.tensor import SymbolicTensor


class Placeholder(Layer):
    """A layer of which only the name, the configuration and the weights are known.

    It can be looked at, and replaced: ``model.replace("its name", layer)``. It cannot compute.

    Args:
        data: what the file says of the layer.
        name: its name.

    Attributes:
        missing: the name of what is missing.
        places: where its weights are in the file, in the order of its variables.
        outputs_by_call: shapes and dtypes of the outputs of each call, as far as the file says.

    Example:
        >>> import plait
        >>> layer = Placeholder({"class_name": "Gate", "config": {}}, name="gate")
        >>> layer(plait.Input((4,))).shape
        (None, 4)
    """

    def __init__(self, data: Mapping[str, Any], name: str | None = None) -> None:
        super().__init__(name=name)
        self.data = data
        self.missing: str = data["class_name"]
        self.places: list[str] = []
        self.outputs_by_call: Sequence[Mapping[int, TensorSpec]] = ()
        self._calls = 0
        self.built = True

    @property
    def display_name(self) -> str:
        """How errors and pictures call its kind: ``Gate (missing)``."""
        return f"{self.missing} (missing)"

    def hold(self, place: str, array: Any) -> None:
        """Take an array of the file as a variable."""
        variable = Variable(array, trainable=False, name=place.replace("/", "_"))
        self._variables[variable.name] = variable
        self.places.append(place)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse to compute.

        Raises:
            ConfigError: always; it says what is missing.
        """
        raise _unknown(self.describe(), self.missing)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the file says of the outputs of this call; else what goes in."""
        known = dict(enumerate(self.outputs_by_call)).get(self._calls, {})
        self._calls += 1
        inputs = [t for t in tree.flatten((args, kwargs)) if isinstance(t, SymbolicTensor)]
        default = TensorSpec(inputs[0].shape, inputs[0].dtype)
        specs = [known.get(index, default) for index in range(max(known, default=0) + 1)]
        return specs if len(specs) > 1 else specs[0]


class MissingFunction:
    """Something other than a layer, of which only the name is known.

    Args:
        data: what the file says of it.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        config = data.get("config")
        self.__name__ = config if isinstance(config, str) else data["class_name"]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse to compute.

        Raises:
            ConfigError: always; it says what is missing.
        """
        raise _unknown(f"a layer of the file uses {self.__name__!r}, which", self.__name__)

    def get_config(self) -> dict[str, Any]:
        """Return what the file says of it."""
        config = self.data.get("config")
        return dict(config) if isinstance(config, Mapping) else {}


def _unknown(who: str, name: str) -> ConfigError:
    if name in ("__lambda__", "Lambda"):
        return ConfigError(
            f"{who} stands for an anonymous function, whose code plait does not run from files.",
            fix="write the function with def and put it in: model.replace('name of the layer', "
            "layers.Lambda(function))",
        )
    return ConfigError(
        f"{who} stands for {name!r}, of which only the name is known.",
        fix=f"load the file with custom_objects={{{name!r}: {name}}}, or decorate {name} with "
        "@plait.saving.register_serializable()",
    )
