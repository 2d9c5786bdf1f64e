"""Pictures of models in DOT, the language of Graphviz."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from plait.errors import ConfigError
from plait.view.palette import Theme, color
from plait.view.picture import Box, Picture, Port, Wire

RankDir = Literal["TB", "BT", "LR", "RL"]

_FONT = "Helvetica"
_SIDES = {"TB": "ns", "BT": "sn", "LR": "we", "RL": "ew"}  # where tensors come in, and go out
_LONGEST = 48  # letters of what changed in a box
_MANY = 500  # boxes; from here on Graphviz seeks less long for a better layout
_HASTE = "nslimit=0.5 nslimit1=0.5 mclimit=0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What a picture shows.

    Attributes:
        shapes: whether wires show the shapes of tensors.
        dtypes: whether wires show their dtypes.
        names: whether boxes show the names of layers.
        params: whether boxes show numbers of parameters.
        activations: whether boxes show the activations built into layers.
        trainable: whether boxes show which layers are trained.
        nested: whether models within are drawn as clusters of their layers.
        rankdir: which way tensors go: from top to bottom, left to right, or backwards.
        splines: how wires are drawn: Graphviz' ``spline``, ``ortho``, ``polyline``, ``line``.
        dpi: how many dots an inch of a ``.png`` has; None leaves it to Graphviz.
        theme: light or dark colours.

    Raises:
        ConfigError: `rankdir` or `theme` is none of its values.
    """

    shapes: bool = True
    dtypes: bool = False
    names: bool = True
    params: bool = True
    activations: bool = True
    trainable: bool = False
    nested: bool = True
    rankdir: RankDir = "TB"
    splines: str = "spline"
    dpi: int | None = 192
    theme: Theme = "light"

    def __post_init__(self) -> None:
        for name, known in (("rankdir", tuple(_SIDES)), ("theme", ("light", "dark"))):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    f"plot: {name} is one of {', '.join(map(repr, known))}; received {value!r}."
                )

    def color(self, role: str) -> str:
        """Return the colour of a role."""
        return color(role, self.theme)


def dot(picture: Picture, style: Style = Style()) -> str:
    """Return a picture as DOT."""
    text, line, wire = style.color("text"), style.color("line"), style.color("wire")
    lines = [
        f"digraph {_quoted(picture.name)} {{",
        f'graph [rankdir={style.rankdir} splines={_quoted(style.splines)} pad="0.3" nodesep="0.35" '
        f'ranksep="0.45" bgcolor="{style.color("background")}" fontname="{_FONT}" '
        f'color="{line}" fontcolor="{text}" tooltip={_quoted(picture.name)} '
        f"{f'dpi={style.dpi}' if style.dpi else ''} {_HASTE if len(picture) > _MANY else ''} "
        f"{_legend(picture, style)}]",
        f'node [shape=plain fontname="{_FONT}" fontcolor="{text}"]',
        f'edge [color="{wire}" fontname="{_FONT}" fontsize=9 fontcolor="{style.color("muted")}" '
        "arrowsize=0.6]",
        *_boxes(picture, style, ""),
    ]
    for index, (port, shape) in enumerate(zip(picture.outputs, picture.output_shapes, strict=True)):
        lines.append(
            f'"out{index}" [label="output" shape=box style="rounded,filled" fontsize=10 '
            f'height=0.25 color="{line}" fillcolor="{style.color("surface")}" '
            f'fontcolor="{style.color("muted")}"]'
        )
        source = _source(picture, port, "", style)
        label = shape if style.shapes else ""
        lines.append(_edge(source, f'"out{index}"', label, Wire(port, 0, 0, shape, "", 0), style))
    return "\n".join([*lines, "}\n"])


def _legend(picture: Picture, style: Style) -> str:
    """Return what stands above the drawing of two models; nothing above that of one."""
    if not picture.compares:
        return ""
    title = f"<B>{_font(picture.name, style.color('text'), 13)}</B>"
    words = [_font(text, style.color(mark), 11) for mark, text in picture.legend]
    return (
        f"labelloc=t label=<{title}<BR/>{'   '.join(words)}<BR/>"
        f"{_font(picture.kind, style.color('muted'), 10)}>"
    )


def _boxes(picture: Picture, style: Style, prefix: str) -> Iterator[str]:
    for number, box in enumerate(picture.boxes):
        key = f"{prefix}{number}"
        if box.inside is None or not style.nested:
            yield f"{_quoted(key)} [label={_label(box, style)} tooltip={_quoted(box.path)}]"
            continue
        border = style.color(box.mark) if box.mark else style.color("line")
        yield (
            f'subgraph "cluster_{key}" {{ graph [label={_title(box, style)} labeljust=l margin=14 '
            f'style="rounded,filled" fillcolor="{style.color("cluster")}" color="{border}" '
            f"tooltip={_quoted(box.path)}]"
        )
        yield from _boxes(box.inside, style, f"{key}.")
        yield "}"
    for wire in picture.wires:
        box = picture.boxes[wire.box]
        source = _source(picture, wire.source, prefix, style)
        target = _target(picture, Port(wire.box, wire.call, wire.argument), prefix, style)
        clustered = box.inside is not None and style.nested
        yield _edge(source, target, _wire_label(wire, box, clustered, style), wire, style)


def _source(picture: Picture, port: Port, prefix: str, style: Style) -> str:
    """Return the node that a tensor leaves from, and where on it."""
    box, key = picture.boxes[port.box], f"{prefix}{port.box}"
    if box.inside is not None and style.nested:
        return _source(box.inside, box.inside.outputs[port.output], f"{key}.", style)
    return f'"{key}"' + (f':"o{port.call}":{_side(style, out=True)}' if len(box.calls) > 1 else "")


def _target(picture: Picture, port: Port, prefix: str, style: Style) -> str:
    """Return the node that a tensor arrives at, `port.output` being the number of the argument."""
    box, key = picture.boxes[port.box], f"{prefix}{port.box}"
    if box.inside is not None and style.nested:
        inputs = box.inside.inputs
        entry = inputs[min(port.output, len(inputs) - 1)]
        return _target(box.inside, Port(entry.box, entry.call, 0), f"{key}.", style)
    return f'"{key}"' + (f':"i{port.call}":{_side(style, out=False)}' if len(box.calls) > 1 else "")


def _side(style: Style, out: bool) -> str:
    return _SIDES[style.rankdir][out]


def _wire_label(wire: Wire, box: Box, clustered: bool, style: Style) -> str:
    call = f"@{wire.call}" if clustered and len(box.calls) > 1 else ""
    parts = [call, wire.shape * style.shapes, wire.dtype * style.dtypes]
    return "  ".join(filter(None, parts))


def _edge(source: str, target: str, label: str, wire: Wire, style: Style) -> str:
    options = [f"label={_quoted(f' {label} ')}"] if label else []
    if wire.mark:
        options.append(f'color="{style.color(wire.mark)}" penwidth=2')
    return f"{source} -> {target} [{' '.join(options)}]"


def _label(box: Box, style: Style) -> str:
    """Return a box as a table: ports of calls, a bar in the family's colour, the text."""
    calls = range(len(box.calls)) if len(box.calls) > 1 else ()
    texts = list(_texts(box, style))
    span = max(len(calls), 1)
    ports = [
        "".join(
            f'<TD PORT="{side}{call}" CELLPADDING="2">'
            f"{_font(f'@{call}', style.color('muted'), 8)}</TD>"
            for call in calls
        )
        for side in "io"
    ]
    rows = [f'<TR><TD COLSPAN="{span}" ALIGN="LEFT" BALIGN="LEFT">{"<BR/>".join(texts)}</TD></TR>']
    if calls:
        rows = [f"<TR>{ports[0]}</TR>", *rows, f"<TR>{ports[1]}</TR>"]
    border = style.color(box.mark) if box.mark else style.color("line")
    family = style.color(box.family)
    inner = (
        '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="4">' + "".join(rows)
    ) + "</TABLE>"
    return (
        f'<<TABLE BORDER="{2 if box.mark else 1}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" '
        f'BGCOLOR="{style.color("surface")}" COLOR="{border}"><TR>'
        f'<TD WIDTH="5" BGCOLOR="{family}"></TD><TD>{inner}</TD></TR></TABLE>>'
    )


def _texts(box: Box, style: Style) -> Iterator[str]:
    kind = _font(box.kind, style.color(box.family), 10)
    if style.activations and box.activation:
        kind += _font(f"  {box.activation}", style.color("muted"), 10)
    if style.names:
        yield f"<B>{_font(box.name, style.color('text'), 12)}</B>"
    yield kind
    notes = []
    if style.params and box.params is None:
        notes.append("not built")
    elif style.params and box.params:
        notes.append(f"{box.params:,} params")
    if style.trainable and box.trainable is not None:
        notes.append("trainable" if box.trainable else "not trainable")
    if notes:
        yield _font(", ".join(notes), style.color("muted"), 9)
    if box.mark:
        yield _font(_shortened(box.change or box.mark), style.color(box.mark), 10)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _title(box: Box, style: Style) -> str:
    return f"<{'  '.join(_texts(box, style))}>"


def _font(text: str, fill: str, size: int) -> str:
    return f'<FONT COLOR="{fill}" POINT-SIZE="{size}">{_escaped(text)}</FONT>'


def _escaped(text: str) -> str:
    return html.escape(_plain(text), quote=True)


def _quoted(text: str) -> str:
    return '"' + _plain(text).replace('"', '\\"') + '"'


def _plain(text: str) -> str:
    r"""Return text in which Graphviz finds nothing to replace, as it would the name for ``\N``."""
    return "".join(c if c.isprintable() else " " for c in text).replace("\\", r"\\")
