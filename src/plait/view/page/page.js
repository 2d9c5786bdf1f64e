// The page: looking around, folding, choosing, searching, light and dark.
"use strict";

(() => {
  const model = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const [canvas, scene, panel, query] = ["canvas", "scene", "panel", "query"].map(byId);
  const MOST_UNFOLDED = 300;
  const folded = new Set();
  const boxes = allBoxes(model);
  const nested = boxes.filter((box) => box.inside);
  const looking = { x: 0, y: 0, scale: 1 };
  let views = new Map();
  let size = { width: 0, height: 0 };
  let chosen = null;
  let hits = [];
  let current = -1;

  function allBoxes(picture) {
    return picture.boxes.flatMap((box) => [box, ...(box.inside ? allBoxes(box.inside) : [])]);
  }

  // -- drawing and folding

  function redraw() {
    const layout = arrange(model, folded, false);
    size = layout;
    views = new Map();
    scene.replaceChildren(draw(layout, 0, 0, views));
    if (nested.length) byId("fold").textContent = folded.size ? "Unfold all" : "Fold all";
    choose(chosen);
    showHits();
  }

  // Folds or unfolds a nested model, which stays where it is on the screen.
  function toggle(path) {
    const before = views.get(path);
    if (!folded.delete(path)) folded.add(path);
    redraw();
    const after = views.get(path);
    looking.x += (before.x + before.w / 2 - after.x - after.w / 2) * looking.scale;
    looking.y += (before.y - after.y) * looking.scale;
    look();
  }

  function reveal(path) {
    const parts = path.split("/");
    const hidden = parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("/"));
    if (hidden.filter((parent) => folded.delete(parent)).length) redraw();
  }

  // -- looking around

  function look() {
    scene.setAttribute("transform", `translate(${looking.x} ${looking.y}) scale(${looking.scale})`);
    canvas.classList.toggle("far", looking.scale < 0.4);
  }

  function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const scale = Math.min(4, Math.max(0.01, looking.scale * factor));
    looking.x = x - ((x - looking.x) * scale) / looking.scale;
    looking.y = y - ((y - looking.y) * scale) / looking.scale;
    looking.scale = scale;
    look();
  }

  function fit(least = 0) {
    const margin = 30;
    const [w, h] = [canvas.clientWidth - 2 * margin, canvas.clientHeight - 2 * margin];
    const whole = Math.min(1.25, w / size.width, h / size.height);
    looking.scale = Math.max(whole, Math.min(least, w / size.width), 0.01);
    looking.x = margin + (w - size.width * looking.scale) / 2;
    looking.y = margin + Math.max(0, (h - size.height * looking.scale) / 2);
    look();
  }

  function center(path) {
    const view = views.get(path);
    looking.scale = Math.max(looking.scale, 0.8);
    looking.x = canvas.clientWidth / 2 - (view.x + view.w / 2) * looking.scale;
    looking.y = canvas.clientHeight / 2 - (view.y + Math.min(view.h, 80) / 2) * looking.scale;
    look();
  }

  const pointers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    if (!pointers.size) moved = 0;
    pointers.set(event.pointerId, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved > 4) {
      canvas.setPointerCapture(event.pointerId);
      canvas.classList.add("dragged");
    }
    const other = [...pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
    pointers.set(event.pointerId, event);
    if (other) {
      const far = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY) || 1;
      const area = canvas.getBoundingClientRect();
      const x = (event.clientX + other.clientX) / 2 - area.x;
      zoom(far(event) / far(last), x, (event.clientY + other.clientY) / 2 - area.y);
      return;
    }
    looking.x += dx;
    looking.y += dy;
    look();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      canvas.classList.remove("dragged");
    });
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const area = canvas.getBoundingClientRect();
    const step = event.deltaY * (event.deltaMode ? 20 : 1);
    zoom(Math.exp(-step / 400), event.clientX - area.x, event.clientY - area.y);
  }, { passive: false });

  // -- choosing

  function choose(path) {
    views.get(chosen)?.element.classList.remove("chosen");
    chosen = path;
    const box = boxes.find((one) => one.path === path);
    views.get(path)?.element.classList.add("chosen");
    near(path);
    panel.hidden = !box;
    if (!box) return;
    const close = html("button", { className: "close", type: "button", title: "Close (Esc)" }, "×");
    close.addEventListener("click", () => choose(null));
    panel.replaceChildren(close, ...describe(box));
    panel.scrollTop = 0;
    uncover(views.get(path));
  }

  // Moves the drawing so that the panel does not cover the chosen box.
  function uncover(view) {
    if (!view) return;
    const right = looking.x + (view.x + view.w) * looking.scale;
    const left = looking.x + view.x * looking.scale;
    looking.x -= Math.max(0, Math.min(right + 20 - canvas.clientWidth, left - 20));
    look();
  }

  function near(path) {
    for (const wire of scene.querySelectorAll(".wire.near")) wire.classList.remove("near");
    if (!path) return;
    const key = CSS.escape(path);
    for (const wire of scene.querySelectorAll(`[data-from="${key}"], [data-to="${key}"]`))
      wire.classList.add("near");
  }

  canvas.addEventListener("click", (event) => {
    if (moved > 4) return;
    const path = event.target.closest(".box")?.dataset.path ?? null;
    if (event.target.classList.contains("fold")) toggle(path);
    else choose(path);
  });
  canvas.addEventListener("dblclick", (event) => {
    const path = event.target.closest(".box")?.dataset.path;
    if (nested.some((box) => box.path === path)) toggle(path);
  });
  canvas.addEventListener("pointerover", (event) => {
    near(event.target.closest(".box")?.dataset.path ?? chosen);
  });

  // -- searching

  function search() {
    const wanted = query.value.trim().toLowerCase();
    const matches = (box) => `${box.path}\n${box.kind}\n${box.activation}`.toLowerCase().includes(wanted);
    hits = wanted ? boxes.filter(matches).map((box) => box.path) : [];
    current = -1;
    showHits();
  }

  function showHits() {
    scene.classList.toggle("searching", query.value.trim() !== "");
    const found = new Set(hits);
    for (const [path, { element }] of views) {
      element.classList.toggle("hit", found.has(path));
      const holds = folded.has(path) && hits.some((hit) => hit.startsWith(`${path}/`));
      element.classList.toggle("holds", holds);
      element.classList.toggle("current", path === hits[current]);
    }
    const at = current < 0 ? "" : `${current + 1} / `;
    byId("found").textContent = query.value.trim() ? `${at}${hits.length}` : "";
  }

  function step(by) {
    if (!hits.length) return;
    current = (Math.max(current, by < 0 ? 0 : -1) + by + hits.length) % hits.length;
    reveal(hits[current]);
    showHits();
    choose(hits[current]);
    center(hits[current]);
  }

  query.addEventListener("input", search);
  query.addEventListener("keydown", (event) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
  });

  // -- keys and buttons

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      query.value = "";
      search();
      choose(null);
      return;
    }
    if (event.target === query || event.ctrlKey || event.metaKey || event.altKey) return;
    const path = event.target.closest?.(".box")?.dataset.path;
    const actions = {
      "/": () => query.focus(),
      "+": () => zoom(1.25),
      "-": () => zoom(0.8),
      f: () => fit(),
      Enter: () => path && choose(path),
      " ": () => path && nested.some((box) => box.path === path) && toggle(path),
    };
    if (!(event.key in actions) || (event.target.closest?.("button") && event.key.length > 1)) return;
    event.preventDefault();
    actions[event.key]();
  });

  byId("in").addEventListener("click", () => zoom(1.25));
  byId("out").addEventListener("click", () => zoom(0.8));
  byId("fit").addEventListener("click", () => fit());
  byId("fold").addEventListener("click", () => {
    if (folded.size) folded.clear();
    else for (const box of nested) folded.add(box.path);
    redraw();
    fit(0.6);
  });
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const preferred = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme || preferred) === "dark" ? "light" : "dark";
  });

  // A notebook says in its body whether it is dark; pages elsewhere are not let in.
  try {
    const host = parent === window ? {} : parent.document.body;
    const dark = host.dataset?.jpThemeLight === "false" || host.dataset?.vscodeThemeKind === "vscode-dark";
    if (dark) document.documentElement.dataset.theme = "dark";
    else if (host.dataset?.jpThemeLight) document.documentElement.dataset.theme = "light";
  } catch {}

  const totals = compares(model) ? [] : [count(boxes.length, "layer"), count(model.params, "param")];
  if (model.trained < model.params) totals.push(`${model.trained.toLocaleString("en")} trained`);
  if (model.flops) totals.push(`${scaled(model.flops)} FLOPs per sample`);
  byId("name").textContent = model.name;
  byId("totals").textContent = byId("totals").title = [model.kind, ...totals].join(" · ");
  byId("totals").classList.toggle("whole", compares(model));
  byId("legend").hidden = !model.legend.length;
  byId("legend").append(
    ...model.legend.map(([name, text]) => html("li", { className: mark({ mark: name }) }, text))
  );
  byId("fold").hidden = !nested.length;
  if (boxes.length > MOST_UNFOLDED) for (const box of nested) folded.add(box.path);
  redraw();
  fit(0.75);
})();
