"""The colours of drawings, by what they are for, in light and in dark."""

from __future__ import annotations

from typing import Literal

Theme = Literal["light", "dark"]

# No two roles share a light colour: a drawing in light colours is turned dark colour by colour.
COLORS: dict[str, tuple[str, str]] = {
    "background": ("#f6f7f9", "#0f1317"),
    "surface": ("#ffffff", "#1b2128"),
    "cluster": ("#eceff3", "#151a20"),
    "line": ("#ccd3db", "#39424d"),
    "text": ("#1b2129", "#e9edf2"),
    "muted": ("#5d6876", "#9ba7b5"),
    "wire": ("#8592a1", "#74818f"),
    "accent": ("#1d4ed8", "#7db0ff"),
    "input": ("#64748b", "#94a3b8"),
    "dense": ("#2563eb", "#60a5fa"),
    "embedding": ("#0369a1", "#38bdf8"),
    "convolution": ("#7c3aed", "#a78bfa"),
    "normalization": ("#0d9488", "#2dd4bf"),
    "activation": ("#d97706", "#fbbf24"),
    "pooling": ("#16a34a", "#4ade80"),
    "reshaping": ("#0891b2", "#22d3ee"),
    "merging": ("#e11d48", "#fb7185"),
    "recurrent": ("#c026d3", "#e879f9"),
    "attention": ("#ea580c", "#fb923c"),
    "regularization": ("#78716c", "#a8a29e"),
    "operation": ("#475569", "#cbd5e1"),
    "model": ("#334155", "#e2e8f0"),
    "custom": ("#65a30d", "#a3e635"),
    "added": ("#15803d", "#4ade81"),
    "removed": ("#b91c1c", "#f87171"),
    "replaced": ("#7e22cf", "#c084fd"),
    "rewired": ("#0e7491", "#22d3ef"),
    "changed": ("#b45309", "#fbbf25"),
}

# The family of a layer by the module of plait.layers that its class, or a base of it, is in.
_FAMILIES = {
    "input": "input",
    "dense": "dense",
    "embedding": "embedding",
    "convolution": "convolution",
    "depthwise": "convolution",
    "transposed": "convolution",
    "batch_normalization": "normalization",
    "feature_normalization": "normalization",
    "normalization": "normalization",
    "normalizer": "normalization",
    "activation_layers": "activation",
    "pooling": "pooling",
    "global_pooling": "pooling",
    "merging": "merging",
    "concatenate": "merging",
    "recurrent": "recurrent",
    "recurrent_layers": "recurrent",
    "recurrent_cell": "recurrent",
    "cells": "recurrent",
    "stacked_cells": "recurrent",
    "wrappers": "recurrent",
    "attention": "attention",
    "multi_head_attention": "attention",
    "dropout": "regularization",
    "regularization": "regularization",
    "reshaping": "reshaping",
    "spatial": "reshaping",
    "preprocessing": "reshaping",
    "masking": "reshaping",
}


def family_of(layer: object) -> str:
    """Return the role of the colour that a layer is drawn in."""
    if hasattr(layer, "has_graph"):
        return "model"
    for cls in type(layer).__mro__:
        if cls.__module__ == "plait.ops.operation":
            return "operation"
        package, _, module = cls.__module__.rpartition(".")
        if package == "plait.layers" and module in _FAMILIES:
            return _FAMILIES[module]
    return "custom"


def color(role: str, theme: Theme = "light") -> str:
    """Return the colour of a role."""
    return COLORS[role][theme == "dark"]


def css_variables(theme: Theme) -> str:
    """Return the colours as CSS: ``--text: #1b2129; ...``."""
    return " ".join(f"--{role}: {color(role, theme)};" for role in COLORS)


def dark_css() -> str:
    """Return CSS that turns a drawing in light colours dark where dark is preferred."""
    rules = [
        f'[{what}="{light}"]{{{what}:{dark}}}'
        for light, dark in COLORS.values()
        for what in ("fill", "stroke")
    ]
    return f"@media (prefers-color-scheme: dark){{{''.join(rules)}}}"
