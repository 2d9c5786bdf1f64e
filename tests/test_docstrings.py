"""Every example in a docstring runs; every public class of the surface has one."""

import doctest
import importlib
import pkgutil

import pytest

import plait

SKIPPED = {"plait.__main__", "plait.cli", "plait.demo"}
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(plait.__path__, "plait.")
    if module.name not in SKIPPED
)


@pytest.mark.parametrize("name", ["plait", *MODULES])
def test_examples_run(name):
    module = importlib.import_module(name)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    plait.utils.clear_session()
    result = doctest.testmod(module, optionflags=flags)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples fail"
