// A picture of a model as SVG: sizes of boxes, nested models laid out within, and what is drawn.
"use strict";

const FONT = getComputedStyle(document.body).fontFamily;
const pen = document.createElement("canvas").getContext("2d");
const widths = new Map();

function width(text, font) {
  const key = `${font} ${text}`;
  if (!widths.has(key)) {
    pen.font = `${font} ${FONT}`;
    widths.set(key, pen.measureText(text).width);
  }
  return widths.get(key);
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function count(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

const CHIP = 7;
const HEAD = 32;
const PAD = 18;
const GAPS = { rankGap: 52, nodeGap: 26 };

// Whether a picture is of two models.
function compares(picture) {
  return !picture.outputs.length;
}

// What is written in a box that is not unfolded.
function texts(box) {
  const notes = [];
  if (box.params === null) notes.push("not built");
  else if (box.params) notes.push(count(box.params, "param"));
  if (box.inside) notes.push(count(box.inside.boxes.length, "layer"));
  const change = box.change || box.mark;
  return {
    name: box.name, kind: box.kind, activation: box.activation, note: notes.join(", "),
    change: change.length > 48 ? `${change.slice(0, 47)}…` : change,
  };
}

function slots(widths, least) {
  const room = widths.length > 10 ? least : Math.max(least, ...widths.map((w) => w + 14));
  const at = widths.map((_, index) => (index - (widths.length - 1) / 2) * room);
  return { at, width: widths.length > 1 ? room * widths.length : 0 };
}

function labelOf(wire) {
  return wire.dtype === "float32" ? wire.shape : `${wire.shape} ${wire.dtype}`;
}

// The size of a box, where tensors come in and go out, and the layout of what is inside.
function measure(box, folded) {
  const many = box.calls.length > 1;
  const open = box.inside && !folded.has(box.path);
  const chips = slots(box.calls.map(() => 0), 34);
  const exits = slots(box.calls.flatMap((call) => call.shapes.map((s) => width(s, "10.5px"))), 34);
  const starts = box.calls.map((_, c) =>
    box.calls.slice(0, c).reduce((sum, call) => sum + call.shapes.length, 0)
  );
  const text = texts(box);
  const kind = width(text.kind, "11px") + (text.activation ? width(text.activation, "11px") + 8 : 0);
  const name = width(text.name, "600 13px") + (box.inside ? 18 : 0);
  const note = width(text.note, "11px");
  const change = width(text.change, "600 11px");
  const edge = many ? 2 * CHIP : 0;
  const inset = many && !open ? 7 : 0;
  const size = { box, open, many, inset, chips, text, nameWidth: name };
  [size.kindWidth, size.noteWidth] = [text.kind, text.note].map((part) => width(part, "11px"));
  size.enter = (call) => (many ? chips.at[call] : 0);
  size.leave = (call, output) => exits.at[starts[call] + output];
  if (!open) {
    const inner = Math.max(name, kind, note, change) + 30;
    size.w = Math.ceil(Math.max(70, inner, chips.width, exits.width));
    size.h = 43 + 15 * (!!text.note + !!text.change) + edge + 2 * inset;
    return size;
  }
  const inside = arrange(box.inside, folded, true);
  const title = name + kind + note + change + 62;
  size.inside = inside;
  size.w = Math.ceil(Math.max(inside.width + 2 * PAD, title, chips.width, exits.width));
  size.h = inside.height + HEAD + edge;
  size.left = (size.w - inside.width) / 2;
  if (!many) {
    const to = (x) => x + size.left - size.w / 2;
    size.enter = (_, argument) => to(inside.entries[Math.min(argument, inside.entries.length - 1)]);
    size.leave = (_, output) => to(inside.exits[output]);
  }
  return size;
}

// The layout of a picture. Within a model, tensors come in at the top and go out at the bottom.
function arrange(picture, folded, within) {
  const sizes = picture.boxes.map((box) => measure(box, folded));
  const nodes = sizes.map(({ w, h }) => ({ w, h, top: compares(picture) }));
  const edges = picture.wires.map((wire) => edge(wire.source, {
    to: wire.box,
    toX: sizes[wire.box].enter(wire.call, wire.argument),
    wire,
  }));
  const entries = [];
  const exits = [];
  const outputs = [];
  if (within) {
    for (const port of picture.inputs) {
      entries.push(nodes.push({ w: 8, h: 0, top: true }) - 1);
      const toX = sizes[port.box].enter(port.call, 0);
      edges.push({ from: entries.at(-1), to: port.box, fromX: 0, toX, key: "" });
    }
  }
  picture.outputs.forEach((port) => {
    const end = nodes.push(within ? { w: 8, h: 0, bottom: true } : { w: 64, h: 24 }) - 1;
    (within ? exits : outputs).push(end);
    edges.push(edge(port, { to: end, toX: 0 }));
  });
  function edge(port, rest) {
    const fromX = sizes[port.box].leave(port.call, port.output);
    return { from: port.box, fromX, key: `${port.call} ${port.output}`, ...rest };
  }
  const plan = Layout.arrange(nodes, edges, GAPS);
  return {
    picture, sizes, edges, plan, outputs,
    width: plan.width,
    height: plan.height,
    entries: entries.map((node) => plan.nodes[node].x),
    exits: exits.map((node) => plan.nodes[node].x),
  };
}

function curve(points) {
  let path = `M${points[0]}`;
  for (let i = 1; i < points.length; i++) {
    const [[x, y], [u, v]] = [points[i - 1], points[i]];
    if (i % 2) {
      path += `L${u} ${v}`;
      continue;
    }
    const rises = y < points[i - 2][1];
    const goesOnRising = points[i + 1][1] < v;
    const turn = Math.min(34, 12 + Math.abs(u - x) * 0.25);
    const lean = rises === goesOnRising ? (v - y) / 2 : rises ? -turn : turn;
    path += `C${x} ${y + lean} ${u} ${rises === goesOnRising ? v - lean : v + lean} ${u} ${v}`;
  }
  return path;
}

// Draws a layout with its corner at (left, top); `views` collects path -> where the box is.
function draw(layout, left, top, views) {
  const { picture, sizes, plan, edges, outputs } = layout;
  const group = svg("g", {});
  const wires = svg("g", { transform: `translate(${left} ${top})` });
  const labels = svg("g", { transform: `translate(${left} ${top})` });
  const seen = new Set();
  edges.forEach(({ from, to, key, wire }, index) => {
    const points = plan.edges[index];
    const ends = [from, to].map((node) => picture.boxes[node]?.path ?? "");
    const arrow = plan.nodes[to] && (to < sizes.length || outputs.includes(to));
    const path = svg("path", { class: `wire ${mark(wire)}`, d: curve(points) });
    if (arrow) path.setAttribute("marker-end", "url(#arrow)");
    [path.dataset.from, path.dataset.to] = ends;
    wires.append(path);
    const output = outputs.includes(to);
    if ((!wire && !output) || seen.has(`${from} ${key}`)) return;
    seen.add(`${from} ${key}`);
    const text = wire ? labelOf(wire) : picture.output_shapes[outputs.indexOf(to)];
    labels.append(svg("text", { class: "shape", x: points[0][0], y: points[0][1] + 16 }, text));
  });
  group.append(wires);
  outputs.forEach((node) => {
    const { x, y } = plan.nodes[node];
    wires.append(
      svg("rect", { class: "output", x: x - 32, y: y - 12, width: 64, height: 24, rx: 12 }),
      svg("text", { class: "end", x, y: y + 4 }, "output")
    );
  });
  sizes.forEach((size, index) => {
    const { x, y } = plan.nodes[index];
    group.append(drawBox(size, left + x - size.w / 2, top + y - size.h / 2, views));
  });
  group.append(labels);
  return group;
}

function mark(thing) {
  return thing && thing.mark ? `mark-${thing.mark}` : "";
}

function drawBox(size, left, outerTop, views) {
  const { box, open, many, inset, w, text } = size;
  const top = outerTop + (many ? CHIP : 0);
  const h = size.h - (many ? 2 * CHIP : 0);
  const element = svg("g", {
    class: `box ${open ? "cluster" : ""} ${mark(box)}`,
    style: `--family: var(--${box.family})`,
    tabindex: 0,
    role: "button",
    "aria-label": `${box.kind} ${box.name}`,
  });
  element.dataset.path = box.path;
  views.set(box.path, { box, element, x: left, y: top, w, h });
  const at = (x, y, content, name) => svg("text", { class: name, x: left + x, y: top + y }, content);
  element.append(
    svg("rect", { class: "frame", x: left, y: top, width: w, height: h, rx: open ? 10 : 7 })
  );
  const start = box.inside ? 30 : 15;
  if (open) {
    const second = 14 + size.nameWidth + 18;
    element.append(
      svg("path", { class: "head", d: header(left, top, w) }),
      at(start, 21, text.name, "name"),
      at(second, 21, text.kind, "kind"),
      at(second + size.kindWidth + 10, 21, text.note, "note"),
      at(second + size.kindWidth + size.noteWidth + 20, 21, text.change, "change")
    );
  } else {
    element.append(
      svg("path", { class: "bar", d: `M${left + 7} ${top}h-1a6 6 0 0 0-6 6v${h - 12}a6 6 0 0 0 6 6h1l-2-6v${12 - h}z` }),
      at(start, inset + 19, text.name, "name"),
      at(15, inset + 34, text.kind, "kind")
    );
    if (text.activation) element.append(at(15 + size.kindWidth + 8, inset + 34, text.activation, "note"));
    if (text.note) element.append(at(15, inset + 49, text.note, "note"));
    if (text.change) element.append(at(15, inset + (text.note ? 64 : 49), text.change, "change"));
  }
  if (box.inside) {
    const [x, y] = [left + start - 9, top + (open ? 16.5 : inset + 14.5)];
    element.append(
      svg("circle", { class: "fold", cx: x, cy: y, r: 9 }),
      svg("path", { class: "chevron", d: open ? `M${x - 4} ${y - 2}l4 4 4-4` : `M${x - 2} ${y - 4}l4 4-4 4` })
    );
  }
  if (many) {
    size.chips.at.forEach((x, call) => {
      element.append(...chip(left + w / 2 + x, top, call));
      element.append(...chip(left + w / 2 + size.leave(call, 0), top + h, call));
    });
  }
  if (open) element.append(draw(size.inside, left + size.left, top + HEAD, views));
  return element;
}

function header(left, top, w) {
  return `M${left} ${top + HEAD}V${top + 10}a10 10 0 0 1 10-10h${w - 20}a10 10 0 0 1 10 10V${top + HEAD}z`;
}

function chip(x, y, call) {
  const half = 9 + 2.5 * String(call).length;
  return [
    svg("rect", { class: "chip", x: x - half, y: y - CHIP, width: 2 * half, height: 2 * CHIP, rx: CHIP }),
    svg("text", { class: "call", x, y: y + 3 }, `@${call}`),
  ];
}
