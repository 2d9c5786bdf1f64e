"""Pages, looked at in a browser: a script does what a person would and writes down what it sees."""

import html
import json
import re
import shutil
import subprocess

import pytest
from drawn import HOSTILE, chain, changed, hostile, nested, repeated, siamese

import plait
from plait import demo
from plait.view.html import page
from plait.view.palette import COLORS
from plait.view.picture import picture_of

CHROMIUM = shutil.which("chromium")
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

TOOLS = """
const all = (css) => [...document.querySelectorAll(css)];
const box = (path) => all(".box").find((one) => one.dataset.path === path);
const paths = () => all(".box").map((one) => one.dataset.path);
const click = (one) => one.dispatchEvent(new MouseEvent("click", {bubbles: true}));
const id = (name) => document.getElementById(name);
const key = (one, key) => one.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const type = (text) => { id("query").value = text; id("query").dispatchEvent(new Event("input")); };
const panel = () => id("panel").hidden ? null : id("panel").innerText;
const frame = (path) => box(path).querySelector(".frame").getBoundingClientRect();
const color = (css) => getComputedStyle(document.querySelector(css)).backgroundColor;
"""


@pytest.fixture
def see(tmp_path):
    """Return what a script gives back when it runs in the page of a model."""

    def see(model_page, script, dark=False):
        path = tmp_path / "page.html"
        seen = f"<script>{TOOLS}; const seen = (() => {{ {script} }})(); document.body.append("
        seen += 'Object.assign(document.createElement("pre"), {id: "seen", textContent: '
        seen += "JSON.stringify(seen)}));</script></body>"
        path.write_text(model_page.replace("</body>", seen), encoding="utf-8")
        flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync"
        flags += " disable-background-networking disable-component-update dump-dom"
        done = subprocess.run(
            [
                str(CHROMIUM),
                *(f"--{flag}" for flag in flags.split()),
                *(["--blink-settings=preferredColorScheme=0"] if dark else []),
                f"--user-data-dir={tmp_path / 'profile'}",
                "--window-size=1000,800",
                "--virtual-time-budget=2000",
                path.as_uri(),
            ],
            capture_output=True,
            timeout=120,
        )
        text = done.stdout.decode()
        found = re.search(r'<pre id="seen">(.*?)</pre>', text, re.DOTALL)
        assert found, done.stderr.decode()[-2000:]
        return json.loads(html.unescape(found[1]))

    return see


def page_of(model, **options):
    return page(picture_of(model), **options)


def test_a_page_needs_nothing_else():
    text = page_of(nested())
    assert "default-src 'none'" in text
    assert not re.search(
        r"""(src|href)\s*=|@import|url\((?!#)|fetch\(|https?://(?!www\.w3\.org)""", text
    )


def test_no_name_ends_the_script_it_is_written_in():
    picture = picture_of(hostile())
    picture.boxes[0].settings[0].value = picture.boxes[0].name = HOSTILE
    text = page(picture)
    assert text.count("</script>") == 2
    data = re.search(r'id="data">(.*?)</script>', text)[1]
    assert json.loads(data)["boxes"][0]["name"] == HOSTILE


def test_notebooks_show_the_page_in_a_frame():
    shown = siamese()._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', shown)[1]).startswith("<!doctype html>")
    assert plait.Sequential([plait.layers.Dense(1)])._repr_html_() is None


@in_browser
def test_every_box_is_drawn_and_none_overlaps(see):
    overlap = """
      const boxes = all(".box:not(.cluster) > .frame").map((one) => one.getBoundingClientRect());
      const over = boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) =>
        a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
      return [paths(), over.length, all("[d*=NaN], [x*=NaN], [transform*=NaN]").length];
    """
    models = {
        siamese: ["left", "right", "tower", "minus", "same"],
        repeated: ["x", "again", "relu"],
        nested: ["z", "encoder", "encoder/block", "encoder/block/sum", "encoder/relu"],
        demo.residual: ["image", "conv2d", "add", "dense"],
    }
    for make, expected in models.items():
        plait.utils.clear_session()
        shown, overlaps, broken = see(page_of(make()), overlap)
        assert set(expected) <= set(shown)
        assert (overlaps, broken) == (0, 0)


@in_browser
def test_a_shared_layer_is_one_box_with_numbered_calls(see):
    seen = see(
        page_of(siamese()),
        """return [
          paths().filter((path) => path === "tower").length,
          [...box("tower").querySelectorAll(":scope > .call")].map((one) => one.textContent),
          all(".wire[data-to=tower]").map((one) => one.dataset.from),
          all(".wire[data-from=tower]").map((one) => one.dataset.to),
          all(".shape").map((one) => one.textContent),
        ]""",
    )
    assert seen[:4] == [1, ["@0", "@0", "@1", "@1"], ["left", "right"], ["minus", "minus"]]
    assert seen[4].count("(None, 2)") == 3


@in_browser
def test_nested_models_fold(see):
    seen = see(
        page_of(nested()),
        """
        const [before, at] = [paths().length, frame("encoder/block")];
        click(box("encoder/block").querySelector(":scope > .fold"));
        const [folded, to] = [paths(), frame("encoder/block")];
        key(box("encoder"), " ");
        const closed = paths();
        id("fold").click();
        const middle = (area) => area.left + area.width / 2;
        const moved = Math.hypot(middle(at) - middle(to), at.top - to.top);
        return [before, folded, closed, paths().length, moved];
        """,
    )
    before, folded, closed, unfolded, moved = seen
    assert "encoder/block" in folded
    assert not any(path.startswith("encoder/block/") for path in folded)
    assert closed == ["z", "encoder"]
    assert before == unfolded == 8
    assert moved < 1


@in_browser
def test_a_click_tells_of_a_layer(see):
    seen = see(
        page_of(siamese()),
        """
        click(box("same"));
        const same = panel();
        click(box("tower"));
        const tower = panel();
        const near = all(".wire.near").length;
        key(document.body, "Escape");
        return [same, tower, near, panel()];
        """,
    )
    same, tower, near, closed = seen
    for text in ("Dense", "drawn.py:", "units", "kernel", "(2, 1) float32", "(None, 1)", "FLOPs"):
        assert text in same
    for text in ("Call tower@1", "left", "right", "23"):
        assert text in tower
    assert near == 4
    assert closed is None


@in_browser
def test_search_finds_layers_in_folded_models(see):
    seen = see(
        page_of(nested()),
        """
        id("fold").click();
        type("SUM");
        const found = id("found").textContent;
        const holds = box("encoder").classList.contains("holds");
        key(id("query"), "Enter");
        const view = id("canvas").getBoundingClientRect();
        const { left, top } = frame("encoder/block/sum");
        const inside = left > view.left && left < view.right && top > view.top && top < view.bottom;
        const chosen = panel();
        type("nothing");
        return [found, holds, chosen, inside, id("found").textContent, all(".hit").length];
        """,
    )
    assert seen[:2] == ["1", True]
    assert "encoder/block/sum" in seen[2]
    assert seen[3:] == [True, "0", 0]


@in_browser
def test_pan_and_zoom(see):
    seen = see(
        page_of(siamese()),
        """
        const at = () => ["left", "top", "width"].map((side) => frame("minus")[side]);
        const start = at();
        const drag = (type, x, y) => id("canvas").dispatchEvent(
          new PointerEvent(type, {pointerId: 1, clientX: x, clientY: y, bubbles: true}));
        id("canvas").setPointerCapture = () => {};
        drag("pointerdown", 100, 100); drag("pointermove", 150, 130); drag("pointerup", 150, 130);
        const dragged = at();
        const [clientX, clientY] = dragged;
        id("canvas").dispatchEvent(new WheelEvent("wheel", {deltaY: -200, clientX, clientY}));
        const zoomed = at();
        id("fit").click();
        return [start, dragged, zoomed, at()];
        """,
    )
    start, dragged, zoomed, fitted = seen
    assert [dragged[0] - start[0], dragged[1] - start[1]] == pytest.approx([50, 30], abs=0.1)
    assert zoomed[:2] == pytest.approx(dragged[:2], abs=1)
    assert zoomed[2] == pytest.approx(start[2] * 2.718**0.5, rel=0.02)
    assert fitted[2] < zoomed[2]


@in_browser
@pytest.mark.parametrize(
    ("theme", "system_dark", "dark"),
    [(None, False, False), (None, True, True), ("light", True, False), ("dark", False, True)],
)
def test_dark_and_light(see, theme, system_dark, dark):
    script = 'const first = color("body"); id("theme").click(); return [first, color("body")]'
    seen = see(page_of(siamese(), theme=theme), script, dark=system_dark)
    light_and_dark = ["rgb(246, 247, 249)", "rgb(15, 19, 23)"]
    assert seen == (light_and_dark[::-1] if dark else light_and_dark)


@in_browser
def test_hostile_names_are_text(see):
    model = hostile()
    seen = see(
        page_of(model),
        """
        const names = all(".name").map((one) => one.textContent);
        click(all(".box")[1]);
        return [names, document.title, all("img").length, panel()];
        """,
    )
    names, title, images, panel = seen
    assert names == [layer.name for layer in model.layers]
    assert title == model.name
    assert images == 0
    assert model.layers[1].name in panel


@in_browser
def test_two_models_are_shown_with_their_changes_in_colours(see, tmp_path):
    before, after = changed()
    path = plait.diff(before, after).plot(tmp_path / "d.html", theme="light")
    seen = see(
        path.read_text(),
        """
        const stroke = (path) => getComputedStyle(box(path).querySelector(".frame")).stroke;
        const strokes = ["before/gone", "after/new", "after/join", "after/tower/last",
          "after/tower/inside", "after/x"].map(stroke);
        const [left, right] = [frame("before"), frame("after")];
        click(box("after/tower/inside"));
        const told = panel();
        type("inside");
        return [
          strokes,
          all(".wire.mark-rewired").map((one) => [one.dataset.from, one.dataset.to]),
          all(".change").map((one) => one.textContent).filter(Boolean),
          all("#legend li").map((one) => one.textContent),
          [left.top === right.top, left.right < right.left, id("found").textContent],
          told, id("totals").textContent,
          all(".change").map((one) => one.getBoundingClientRect().right -
            one.parentNode.querySelector(".frame").getBoundingClientRect().right),
        ]
        """,
    )
    strokes, wires, changes, legend, beside, told, totals, over = seen
    assert strokes == [
        f"rgb({', '.join(str(int(COLORS[role][0][i : i + 2], 16)) for i in (1, 3, 5))})"
        for role in ("removed", "added", "rewired", "replaced", "changed", "line")
    ]
    assert sorted(wires) == [["after/new", "after/join"], ["before/gone", "before/join"]]
    assert sorted(changes) == sorted(
        ["removed", "added", *2 * ["rewired", "units 4 → 3", "Dense → EinsumDense"]]
    )
    assert legend == ["1 added", "1 removed", "1 replaced", "1 rewired", "1 changed"]
    assert beside == [True, True, "2"]
    assert "changed: units 4 → 3" in told
    assert "params" in totals
    assert max(over) < 0


@in_browser
def test_two_thousand_layers(see):
    assert see(page_of(chain(2000)), 'return [paths().length, all(".shape").length]') == [
        2001,
        2001,
    ]
