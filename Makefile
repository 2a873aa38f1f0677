# Everything sets itself up: a fresh machine needs only make and Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILED := .venv-compiled
# The engine's own tests: the same ones hold it interpreted and compiled.
ENGINE := tests/clauses tests/properties tests/simulations tests/unit/drive

.PHONY: help demo test lint unit compiled explore soak fuzz bench docs clean

help:
	@echo "make demo      leak CLOSE_WAIT and pile up TIME_WAIT on real sockets, and diagnose them (under a minute)"
	@echo "make test      lint, types, import contracts, and every test"
	@echo "make lint      ruff, mypy --strict, import-linter"
	@echo "make unit      the tests alone; T='-k close_wait' to choose"
	@echo "make compiled  the engine built as a native extension, held to its tests"
	@echo "make explore   the exhaustive exploration of the engine, deeper than in the tests"
	@echo "make soak      hundreds of thousands of real connections over a TUN device, memory watched; needs root"
	@echo "make fuzz      captures and scripts damaged in every way, ten minutes each"
	@echo "make bench     the benchmarks, side by side with their peers"
	@echo "make docs      write the generated pages anew"
	@echo "make clean     remove the virtual environments and what tools left"

# A stamp for each set of dependencies, so that the environment is made once and again when pyproject.toml changes.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "lastack needs Python 3.11 or newer; \
	this is %d.%d: try make PYTHON=python3.12" % sys.version_info[:2])'
	@if command -v uv >/dev/null 2>&1; then uv venv -q --allow-existing -p $(PYTHON) $(VENV); \
	else $(PYTHON) -m venv $(VENV); fi
	@touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml
	@$(call install,$(VENV),.)
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	@$(call install,$(VENV),-e '.[dev]')
	@touch $@ $(VENV)/.run

define install
if command -v uv >/dev/null 2>&1; then uv pip install -q -p $(1)/bin/python $(2); \
else $(1)/bin/python -m pip install -q --disable-pip-version-check $(2); fi
endef

demo: $(VENV)/.run
	@PYTHONPATH=src $(BIN)/python demo/run.py

test: lint unit compiled

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

unit: $(VENV)/.dev
	$(BIN)/python -m pytest $(T)

# The compiled engine lives in an environment of its own, so that the tests meet the installed package and not src.
$(COMPILED)/.made: pyproject.toml setup.py $(shell find src -name '*.py')
	@rm -rf $(COMPILED) build
	@if command -v uv >/dev/null 2>&1; then uv venv -q -p $(PYTHON) $(COMPILED); else $(PYTHON) -m venv $(COMPILED); fi
	@$(call install,$(COMPILED),'setuptools>=77' 'mypy>=1.11' 'pytest>=8.2' 'hypothesis>=6.100')
	@export LASTACK_COMPILE=1; $(call install,$(COMPILED),--no-build-isolation .)
	@touch $@

compiled: $(COMPILED)/.made
	@if $(COMPILED)/bin/lastack --version | grep -q compiled; then $(COMPILED)/bin/python -m pytest $(ENGINE) \
	&& $(COMPILED)/bin/python -m pytest tests/scripts -k on_the_engine; \
	elif command -v cc >/dev/null 2>&1; then echo "the engine did not compile"; exit 1; \
	else echo "compiled engine not tested: no C compiler here"; fi

explore: $(VENV)/.dev
	$(BIN)/python -m tests.explorer --minutes 30 --processes 2

soak: $(VENV)/.dev
	$(BIN)/python -m tests.live.peers.soak --seconds 240
	$(BIN)/python -m tests.live.peers.soak --seconds 90 --bad

fuzz: $(VENV)/.dev
	$(BIN)/python fuzz/captures.py --minutes 10
	$(BIN)/python fuzz/scripts.py --minutes 10

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/host.py
	$(BIN)/python benchmarks/ending.py
	$(BIN)/python benchmarks/recordings.py
	$(BIN)/python benchmarks/owners.py
	$(BIN)/python benchmarks/watch.py
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/capture.py
	$(BIN)/python benchmarks/wire.py
	$(BIN)/python benchmarks/scripts.py

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) $(COMPILED) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache demo-report.html
