PYTHON ?= python3
VENV := .venv
TEST_VENV := .venv-test

.PHONY: demo test lint bench clean

demo: $(VENV)/ready
	$(VENV)/bin/plait demo

test: $(TEST_VENV)/ready
	$(TEST_VENV)/bin/python -m pytest -n 2 --dist loadfile

lint: $(TEST_VENV)/ready
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/mypy

bench: $(VENV)/ready
	$(VENV)/bin/python benchmarks/steps.py

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

$(TEST_VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) $(TEST_VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
