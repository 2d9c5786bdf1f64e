PYTHON ?= python3
VENV := .venv
TEST_VENV := .venv-test
PEERS_VENV := .venv-peers
NATIVE := $(wildcard native/pyproject.toml native/CMakeLists.txt native/*/*.h native/*/*.cc native/*/*.py)
BENCH_VENV = $(if $(wildcard $(PEERS_VENV)/ready),$(PEERS_VENV),$(VENV))

.PHONY: demo test lint bench bench-peers clean

# plait computes the same without its native kernels, so that a build that fails is no failure.
install-native = $(1)/bin/pip install --quiet --disable-pip-version-check ./native >/dev/null 2>&1 \
	|| echo "plait-onednn could not be built here: convolutions run on XLA's kernels (plait doctor)"

demo: $(VENV)/ready
	$(VENV)/bin/plait demo

test: $(TEST_VENV)/ready
	$(TEST_VENV)/bin/python -m pytest -n 2 --dist loadfile

lint: $(TEST_VENV)/ready
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/mypy

# ROWS="lstm transformer" PEERS="torch jax" ROUNDS=5 measure less or more than everything.
bench: $(BENCH_VENV)/ready
	$(BENCH_VENV)/bin/python benchmarks/run.py \
		$(if $(ROWS),--rows $(ROWS)) $(if $(PEERS),--peers $(PEERS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-peers: $(PEERS_VENV)/ready

$(VENV)/ready: pyproject.toml $(NATIVE)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[demo]'
	@$(call install-native,$(VENV))
	touch $@

$(TEST_VENV)/ready: pyproject.toml $(NATIVE)
	$(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[test]'
	@$(call install-native,$(TEST_VENV))
	touch $@

$(PEERS_VENV)/ready: pyproject.toml $(NATIVE) benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/pip install --quiet --disable-pip-version-check -e . -r benchmarks/peers.txt
	@$(call install-native,$(PEERS_VENV))
	touch $@

clean:
	rm -rf $(VENV) $(TEST_VENV) $(PEERS_VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
