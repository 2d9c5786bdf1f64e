"""Find what is wrong with the architecture of a model before it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from plait.errors import ArgumentTypeError, ConfigError, Location, PlaitError, did_you_mean
from plait.graph import tree
from plait.view import lint_graph, lint_output
from plait.view.lint_graph import Scope, Suspicion
from plait.view.lint_output import Output, outputs_of

_OF_GRAPHS: dict[str, tuple[str, Callable[[Scope], Iterator[Suspicion]]]] = {
    "unused-input": ("warning", lint_graph.unused_input),
    "batch-normalization-after-softmax": ("warning", lint_graph.normalized_softmax),
    "linear-layers-in-a-row": ("warning", lint_graph.linear_in_a_row),
    "float64-input": ("warning", lint_graph.float64_input),
    "bias-before-batch-normalization": ("note", lint_graph.bias_before_normalization),
}
_OF_OUTPUTS: dict[str, tuple[str, Callable[[Output], Iterator[Suspicion]]]] = {
    "activation-with-from-logits": ("warning", lint_output.activated_logits),
    "logits-without-from-logits": ("warning", lint_output.bare_logits),
    "sigmoid-with-categorical-crossentropy": ("warning", lint_output.sigmoid_of_classes),
    "dropout-before-output": ("warning", lint_output.dropped_output),
    "dense-on-images": ("note", lint_output.class_per_pixel),
}
_NO_GRADIENT, _FLOAT64_DATA = "no-gradient", "float64-data"
CODES = (*_OF_OUTPUTS, *_OF_GRAPHS, _NO_GRADIENT, _FLOAT64_DATA)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a model, or could be better.

    Attributes:
        code: its name, by which it is switched off.
        severity: "warning" for what is wrong, "note" for advice.
        layer: the path of the layer.
        location: the line of the layer's call.
        message: what is wrong.
        fix: one thing to do.
    """

    code: str
    severity: str
    layer: str
    location: Location | None
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.severity} [{self.code}]: {PlaitError(self.message, fix=self.fix)}"


def check(
    model: Any, data: Any = None, *, loss: Any = None, ignore: Iterable[str] = ()
) -> list[Finding]:
    """Return what is wrong with the architecture of a model, what is most surely wrong first.

    Nothing is computed. What depends on the loss is checked for models that are compiled.

    Args:
        model: a model with a graph.
        data: inputs, or ``(x, y)``, as for `fit`; their dtypes and shapes are looked at.
        loss: instead of what the model was compiled with.
        ignore: codes of findings to leave out. `compile` warns of those that are surely wrong with
            a `ModelWarning`; ``warnings.filterwarnings("ignore", r".*\\[the-code\\]")`` leaves one
            out there.

    Raises:
        ArgumentTypeError: `model` is no model.
        ConfigError: `ignore` holds no code.
        NotBuiltError: the model has no graph.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> x = plait.Input((8,))
        >>> model = plait.Model(x, layers.Dense(3, name="out")(x))
        >>> model.compile(loss="sparse_categorical_crossentropy")
        >>> for finding in check(model):
        ...     print(finding.severity, finding.code, finding.layer)
        warning logits-without-from-logits out
    """
    if not hasattr(model, "has_graph"):
        raise ArgumentTypeError(
            f"check takes a model; received {type(model).__name__}.", fix="plait.check(model)"
        )
    _ = model.graph
    return lint(model, loss, data, ignore)


def lint(
    model: Any, loss: Any = None, data: Any = None, ignore: Iterable[str] = ()
) -> list[Finding]:
    """Do what `check` does, for `compile`: nothing is found in models that have no graph."""
    ignored = _ignored(ignore)
    if not model.has_graph:
        return []
    x, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    found: list[Finding] = []

    def note(code: str, severity: str, suspicions: Iterable[Suspicion]) -> None:
        for suspicion in suspicions:
            sure = severity if suspicion.severity is None else suspicion.severity
            found.append(Finding(code, sure, *suspicion.where, suspicion.message, suspicion.fix))

    outputs = outputs_of(model, loss, y)
    for code, (severity, rule) in _OF_OUTPUTS.items():
        if code not in ignored:
            for output in outputs:
                note(code, severity, rule(output))
    scopes = list(lint_graph.scopes(model))
    for code, (severity, rule_of_graph) in _OF_GRAPHS.items():
        if code not in ignored:
            for scope in scopes:
                note(code, severity, rule_of_graph(scope))
    has_loss = any(output.loss is not None for output in outputs)
    if _NO_GRADIENT not in ignored:
        note(_NO_GRADIENT, "warning", lint_graph.without_gradient(scopes[0], has_loss))
    if _FLOAT64_DATA not in ignored:
        note(_FLOAT64_DATA, "note", _float64(model, x))
    return sorted(found, key=lambda finding: finding.severity != "warning")


def _ignored(ignore: Iterable[str]) -> set[str]:
    codes = {ignore} if isinstance(ignore, str) else set(ignore)
    for code in codes:
        if code not in CODES:
            raise ConfigError(
                f"check: there is no finding {code!r}.{did_you_mean(code, CODES)}",
                fix=f"one of {', '.join(CODES)}",
            )
    return codes


def _float64(model: Any, x: Any) -> Iterator[Suspicion]:
    for value in tree.flatten(x):
        if str(getattr(value, "dtype", "")) == "float64":
            node = model.graph.inputs[0].node
            yield Suspicion(
                (node.layer.name, node.location),
                f"data for {model.describe()} are float64: twice the memory, and they are cast "
                "before every step.",
                "x = x.astype('float32')",
            )
            return
