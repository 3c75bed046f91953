# Each target makes the .venv that it needs; once a stamp is newer than pyproject.toml and constraints.txt, no pip runs.
#   make run         the quickstart: needs the runtime alone
#   make test        all tests but the slow ones: needs everything, torch included
#   make setup       everything, without running it
#   make PYTHON=python3.12 ...   with another interpreter

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
RUNTIME := $(VENV)/.installed-runtime
EVERYTHING := $(VENV)/.installed-everything
FRESH := $(VENV)/.kernels-fresh
BENCHMARKS := $(basename $(notdir $(sort $(shell grep -l __main__ benchmarks/*.py))))

MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.PHONY: setup run test check-slow bench lint clean distclean

setup: $(EVERYTHING)

run: $(RUNTIME) $(FRESH)
	@$(BIN)/spikeline run configs/quickstart.yaml

test: $(EVERYTHING) $(FRESH)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not slow"

check-slow: $(EVERYTHING) $(FRESH)
	@$(BIN)/python -m pytest -m slow

bench: $(EVERYTHING) $(FRESH)
	@for benchmark in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$benchmark || exit 1; echo; done

lint: $(EVERYTHING)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "spikeline needs Python 3.11 or newer, but $(PYTHON) is: $$($(PYTHON) --version 2>&1)." \
	       "Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing the runtime into $(VENV) (a minute or so, once)"
	@$(INSTALL) -e .
	@touch $@

# Numba stores a compiled kernel together with those of other files that it calls, and looks at its own file alone to see
# whether it is stale.
$(FRESH): $(wildcard */kernels/*.py) operators/lanes.py operators/vector_code.py | $(BIN)/python
	@rm -f */kernels/__pycache__/*.nbi */kernels/__pycache__/*.nbc
	@touch $@

$(EVERYTHING): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing runtime, development tools and trainer into $(VENV) (minutes, once: torch is large)"
	@$(INSTALL) torch==2.13.0 -e '.[dev,train]'
	@touch $(RUNTIME) $@
