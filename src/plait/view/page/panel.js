// What is known of a layer, beside the drawing.
"use strict";

function html(tag, attributes, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, attributes);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function list(pairs) {
  const rows = pairs.filter(([, value]) => value !== "" && value !== null);
  return html("dl", {}, ...rows.flatMap(([name, value, style]) => [
    html("dt", {}, name),
    html("dd", { className: style ?? "" }, value),
  ]));
}

function scaled(number) {
  const units = ["", " K", " M", " G", " T", " P"];
  let unit = 0;
  while (number >= 999.995 && unit + 1 < units.length) {
    number /= 1000;
    unit++;
  }
  return unit ? number.toFixed(2) + units[unit] : String(number);
}

function section(title, content) {
  return content ? [html("h3", {}, title), content] : [];
}

function describe(box) {
  const trained = { true: "yes", false: "no", null: "" }[box.trainable];
  return [
    html("h2", {}, box.name),
    html("p", { className: "type", style: `--family: var(--${box.family})` }, box.kind),
    list([
      ["path", box.path === box.name ? "" : box.path],
      ["compared", [box.mark, box.change].filter(Boolean).join(": ")],
      ["made at", box.location, "code"],
      ["activation", box.activation],
      ["params", box.params === null ? "not built" : box.params.toLocaleString("en")],
      ["trainable", trained],
      ["layers", box.inside ? String(box.inside.boxes.length) : ""],
    ]),
    ...box.calls.flatMap((call) => section(
      box.calls.length > 1 ? `Call ${call.name}` : "Call",
      list([
        ["inputs", call.arguments, "code"],
        ["outputs", call.shapes.join(", "), "code"],
        ["called at", call.location, "code"],
        ["FLOPs per sample", call.flops === null ? "?" : scaled(call.flops)],
      ])
    )),
    ...section("Configuration", box.settings.length && list(
      box.settings.map(({ name, value, default: plain }) => [name, value, plain ? "code default" : "code"])
    )),
    ...section("Weights", box.weights.length && html("table", {}, ...box.weights.map((weight) =>
      html("tr", {},
        html("td", {}, weight.name + (weight.trainable ? "" : " (not trained)")),
        html("td", { className: "code" }, `${weight.shape} ${weight.dtype}`),
        html("td", {}, weight.size.toLocaleString("en"))
      )
    ))),
  ];
}
