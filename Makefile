# Everything sets itself up: a fresh machine needs only make and Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test check lint unit bench docs clean

help:
	@echo "make demo   leak CLOSE_WAIT and pile up TIME_WAIT on real sockets, and diagnose them (under a minute)"
	@echo "make test   lint, types, import contracts, and every test"
	@echo "make lint   ruff, mypy --strict, import-linter"
	@echo "make unit   the tests alone; T='-k close_wait' to choose"
	@echo "make bench  the benchmarks, side by side with their peers"
	@echo "make docs   write the generated pages anew"
	@echo "make clean  remove the virtual environment and what tools left"

# A stamp for each set of dependencies, so that the environment is made once and again when pyproject.toml changes.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "lastack needs Python 3.11 or newer; \
	this is %d.%d: try make PYTHON=python3.12" % sys.version_info[:2])'
	@if command -v uv >/dev/null 2>&1; then uv venv -q --allow-existing -p $(PYTHON) $(VENV); \
	else $(PYTHON) -m venv $(VENV); fi
	@touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml
	@$(call install,.)
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	@$(call install,-e '.[dev]')
	@touch $@ $(VENV)/.run

define install
if command -v uv >/dev/null 2>&1; then uv pip install -q -p $(BIN)/python $(1); \
else $(BIN)/python -m pip install -q --disable-pip-version-check $(1); fi
endef

demo: $(VENV)/.run
	@PYTHONPATH=src $(BIN)/python demo/run.py

test: lint unit

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

unit: $(VENV)/.dev
	$(BIN)/python -m pytest $(T)

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/host.py

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache demo-report.html
