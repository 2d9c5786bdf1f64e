"""Each room imports only rooms above it."""

import ast
import pathlib

import pytest

import plait

ROOT = pathlib.Path(plait.__file__).parent
ROOMS = [
    ("errors", "_alias"),
    ("graph",),
    ("core",),
    ("kernels",),
    ("ops", "initializers", "regularizers", "constraints", "activations"),
    ("layers",),
    ("losses", "metrics", "optimizers"),
    ("training",),
    ("saving", "view"),
    ("callbacks",),
    ("models",),
    (
        "datasets",
        "mixed_precision",
        "preprocessing",
        "random",
        "tree",
        "config",
        "backend",
        "utils",
        "demo",
        "doctor",
        "cli",
    ),
    ("__init__", "__main__"),
]
LEVEL = {name: level for level, names in enumerate(ROOMS) for name in names}


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("plait"):
            parts = (node.module or "").split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_upwards(path):
    if path.parent == ROOT and path.stem in ("__init__", "__main__", "demo", "doctor", "cli"):
        return
    level = LEVEL[room_of(path)]
    too_low = [
        room for room in imported_rooms(ast.parse(path.read_text())) if LEVEL.get(room, -1) > level
    ]
    assert not too_low, f"{path.relative_to(ROOT)} imports {too_low} from below"


def test_the_graph_room_knows_no_jax():
    for path in (ROOT / "graph").glob("*.py"):
        assert "jax" not in {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
