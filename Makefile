# `make demo` and `make test` work from a clean clone with nothing but Python (3.11 or later) and make.
.DEFAULT_GOAL := help
.PHONY: help demo test test-faults test-crash coverage check docs site changelog bench bench-postgres bench-scale clean
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
TEST_ARGS ?=

# The newest Python that runs: a name on the PATH may be a shim for a version that is not installed.
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, sqlite3, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

demo: $(VENV)/.core ## the order workflow, killed three times, with the right result
	@$(BIN)/redrive demo

test: $(VENV)/.dev ## all tests (TEST_ARGS='-k name' for some)
	@$(BIN)/python -m pytest -n auto --dist worksteal -q $(TEST_ARGS)

check: $(VENV)/.dev ## lint, types, layers: what CI checks besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python tests/typing/completeness.py
	$(BIN)/lint-imports

docs: $(VENV)/.dev ## the reference page, made from the docstrings
	@$(BIN)/python docs/reference.py

bench: $(VENV)/.dev ## speed, as ratios to baselines timed in the same run
	@$(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

bench-postgres: $(VENV)/.dev ## the same on PostgreSQL, on a server of its own
	@$(BIN)/python -m tests.benchmarks.postgres $(BENCH_ARGS)

bench-scale: $(VENV)/.dev ## how cost grows with what there is: exponents, four sizes each (BENCH_ARGS=--postgres for a server of its own)
	@$(BIN)/python -m tests.benchmarks.scale $(BENCH_ARGS)

test-faults: $(VENV)/.dev ## what may befall a database server: crashes, full disks, lost answers; some minutes
	@$(BIN)/python -m pytest -q -m faults tests/faults $(TEST_ARGS)

test-crash: $(VENV)/.dev ## kill the process at thousands of points, for CRASH_SECONDS (600) at most
	@CRASH_SECONDS=$${CRASH_SECONDS:-$(or $(CRASH_SECONDS),600)} $(BIN)/python -m pytest -q -m crash_full tests/crash $(TEST_ARGS)

coverage: $(VENV)/.dev ## the suite with its coverage of lines and branches, which must not fall below the bound
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m pytest -n auto --dist worksteal -q --cov --cov-report= $(TEST_ARGS)
	@$(BIN)/python -m coverage report

site: $(VENV)/.docs docs ## the documentation as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

changelog: $(VENV)/.dev ## gather the change notes into CHANGELOG.md: make changelog VERSION=0.2.0
	@test -n "$(VERSION)" || { echo "say which: make changelog VERSION=0.2.0" >&2; exit 1; }
	@$(BIN)/python -m towncrier build --yes --version $(VERSION)

clean: ## forget the environment and every cache
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "redrive needs Python 3.11 or later with sqlite3 and venv; none was found. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@rm -rf $(VENV)
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment (on Debian: apt install python3-venv)" >&2; exit 1; }
	@touch $@

# Two stamps, so that the demo does not wait for the type checkers.
$(VENV)/.core: $(VENV)/.made pyproject.toml
	@echo "installing redrive into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "installing what tests and checks need into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.core
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@
