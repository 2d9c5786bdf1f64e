"""Write a picture of a model to a file."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from typing import Any

from plait.errors import ConfigError, PlaitError, did_you_mean
from plait.view.dot import Style, dot
from plait.view.html import page
from plait.view.palette import Theme, dark_css
from plait.view.picture import Picture, picture_of

_FORMATS = (".html", ".svg", ".png", ".dot")


class EngineError(PlaitError, ImportError):
    """There is no Graphviz to lay out an image, or it failed."""


def plot(
    model: Any, path: str | os.PathLike[str], *, theme: Theme | None = None, **show: Any
) -> pathlib.Path:
    """Draw a model to a file, and return its path.

    A layer is one box, however often it is called; its calls are numbered ``@0``, ``@1``. Models
    within are drawn around their layers. The ending of the path says what is written:

    - ``.html``: a page that needs nothing else and no network. Pan, zoom and search it, fold
      nested models, click a layer for its configuration, the line that made it, its shapes and
      its parameters.
    - ``.svg``, ``.png``: an image laid out by Graphviz: by the package graphviz-pure
      (``pip install 'plait[plot]'``), else by ``dot`` on the PATH, else by pygraphviz.
    - ``.dot``: what Graphviz makes an image of.

    Args:
        model: a model with a graph.
        path: where to write.
        theme: "light" or "dark"; default: what the reader's system prefers, in ``.html`` and
            ``.svg``, and light in the others.
        **show: what an image shows: fields of `plait.view.dot.Style` such as ``shapes=False``,
            ``nested=False``, ``rankdir="LR"``.

    Raises:
        NotBuiltError: the model has no graph.
        ConfigError: the ending is none of these, or `show` has no field of `Style`.
        EngineError: there is no Graphviz, or it failed.

    Example:
        >>> import plait, tempfile
        >>> model = plait.Sequential([plait.Input((4,)), plait.layers.Dense(2)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot(model, f"{folder}/model.html").name
        'model.html'
    """
    return draw(picture_of(model), path, theme=theme, **show)


def draw(
    picture: Picture, path: str | os.PathLike[str], *, theme: Theme | None = None, **show: Any
) -> pathlib.Path:
    """Draw a picture to a file; see `plot`."""
    path = pathlib.Path(path)
    ending = path.suffix.lower()
    if ending not in _FORMATS:
        raise ConfigError(
            f"plot writes {', '.join(_FORMATS)}; received {str(path)!r}.",
            fix=f"model.plot({path.stem + '.html'!r})",
        )
    if ending == ".html":
        if show:
            raise ConfigError(
                f"plot: {', '.join(show)} is for images; a page shows everything.",
                fix="leave it out, or write .svg or .png",
            )
        _style(theme or "light", {})
        path.write_text(page(picture, theme), encoding="utf-8")
        return path
    style = _style(theme or "light", show)
    source = dot(picture, style if ending == ".png" else dataclasses.replace(style, dpi=None))
    if ending == ".dot":
        path.write_text(source, encoding="utf-8")
        return path
    image = _image(source, ending[1:])
    if ending == ".svg" and theme is None:
        image = _with_css(image, dark_css())
    path.write_bytes(image)
    return path


def _style(theme: Theme, show: Mapping[str, Any]) -> Style:
    known = {field.name for field in dataclasses.fields(Style)}
    for name in show:
        if name not in known:
            raise ConfigError(
                f"plot has no argument {name!r}.{did_you_mean(name, known)}",
                fix=f"one of {', '.join(sorted(known))}",
            )
    return Style(theme=theme, **show)


def _with_css(svg: bytes, css: str) -> bytes:
    """Return an SVG with a style sheet, in front of its first group."""
    head, group, rest = svg.partition(b"<g ")
    return head + f"<style>{css}</style>\n".encode() + group + rest


def _image(source: str, kind: str) -> bytes:
    program = _program()
    if program is None:
        return _image_by_pygraphviz(source, kind)
    done = subprocess.run([program, f"-T{kind}"], input=source.encode(), capture_output=True)
    if done.returncode or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip()
        raise EngineError(f"{program} cannot draw this model: {reason or 'it wrote nothing'}")
    return done.stdout


def _program() -> str | None:
    """Return a program that does what `dot` does."""
    beside = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    return shutil.which("graphviz-pure", path=beside) or shutil.which("dot")


def _image_by_pygraphviz(source: str, kind: str) -> bytes:
    try:
        import pygraphviz
    except ImportError:
        raise EngineError(
            "an image of a model is laid out by Graphviz, and there is none.",
            details=[("found neither graphviz-pure, nor dot on the PATH, nor pygraphviz",)],
            fix="pip install 'plait[plot]', or write a page, which needs none: "
            "model.plot('model.html')",
        ) from None
    return bytes(pygraphviz.AGraph(string=source).draw(format=kind, prog="dot"))
