"""Pictures of models as pages: each one file that needs nothing else and no network."""

from __future__ import annotations

import dataclasses
import functools
import html
import json
from importlib import resources
from string import Template

from plait.view.palette import Theme, css_variables
from plait.view.picture import Picture

_SCRIPTS = ("layout.js", "drawing.js", "panel.js", "page.js")


def page(picture: Picture, theme: Theme | None = None) -> str:
    """Return a picture as a page of HTML.

    The layout is made by the page's own script, so that nested models can be folded.

    Args:
        picture: what to draw.
        theme: the colours it begins with; default: what the reader's system prefers.
    """
    return Template(_file("page.html")).substitute(
        theme=f' data-theme="{theme}"' if theme else "",
        title=html.escape(picture.name),
        style=_style(),
        data=_json(picture),
        script="\n".join(map(_file, _SCRIPTS)),
    )


def frame(picture: Picture, height: int = 480) -> str:
    """Return a page within a page, as notebooks show it.

    Args:
        picture: what to draw.
        height: in pixels.
    """
    return (
        f'<iframe srcdoc="{html.escape(page(picture))}" title="{html.escape(picture.name)}" '
        f'style="width:100%;height:{height}px;border:1px solid #8884;border-radius:8px"></iframe>'
    )


def _style() -> str:
    dark = css_variables("dark")
    return "\n".join(
        [
            f":root {{ color-scheme: light dark; {css_variables('light')} }}",
            f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}",
            f":root[data-theme=dark] {{ color-scheme: dark; {dark} }}",
            f":root[data-theme=light] {{ color-scheme: light; {css_variables('light')} }}",
            _file("page.css"),
        ]
    )


def _json(picture: Picture) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(dataclasses.asdict(picture), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


@functools.cache
def _file(name: str) -> str:
    folder = resources.files("plait.view") / "page"
    return (folder / name).read_text(encoding="utf-8")
