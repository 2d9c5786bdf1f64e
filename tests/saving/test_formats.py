"""docs/formats.md says what the tests show."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("make_formats", DOCS / "make_formats.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(generator):
    assert (DOCS / "formats.md").read_text() == generator.text(), "run python docs/make_formats.py"


def test_every_layer_is_exported_by_a_test(generator):
    assert [name for name in generator.layer_names() if not generator.in_exports(name)] == []


def test_every_operation_that_has_a_converter_is_exported_by_a_test(generator):
    cases = generator.export_cases
    tested = {label.partition(" ")[0] for label in cases.OPERATIONS}
    tested |= {label.partition(" ")[2] for label in cases.LAYERS if label.startswith("Activation")}
    known = set(generator.OPERATIONS) & set(generator.FUNCTIONS)
    assert sorted(known - tested) == []
