# Everything that can be done with the tree. `make demo` and `make test` need nothing but make and a shell: each target
# first installs what it misses (see provision/).
#
# Recipes name paths relative to this directory, so the directory's own name may hold spaces and any other character.

PYTHON ?= python3
VENV := .venv/bin/python
# Further arguments: make test ARGS="-k whitelist", make demo ARGS="--keep".
ARGS ?=
# More workers than this only cost memory: the suite is short.
TEST_WORKERS ?= auto --maxprocesses 8

# A Python from the environment must not find another project's modules.
unexport PYTHONPATH PYTHONHOME
export PYTHON

provide = python=$$(sh provision/python) && "$$python" -m provision

.DEFAULT_GOAL := help
.PHONY: help demo demo-ladder test fault fuzz lint format docs bench pins clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: ## Build, publish, mount and run a small stack, end to end
	@$(provide) demo
	@$(VENV) -m outcrop demo $(ARGS)

demo-ladder: ## Run a program of a repository with FUSE, without it, and without namespaces too
	@$(provide) demo
	@$(VENV) -m outcrop demo ladder $(ARGS)

test: ## Run every test
	@$(provide) test
	@$(VENV) -m pytest -n $(TEST_WORKERS) --dist loadgroup $(ARGS)

fault: ## Run only the tests that break something on purpose, at every point where it can break
	@$(provide) fault
	@OUTCROP_TEST_SWEEP=all $(VENV) -m pytest -m fault -n $(TEST_WORKERS) --dist loadgroup $(ARGS)

fuzz: ## Feed rubbish to the parsers for a minute each, guided by coverage
	@$(provide) fuzz
	@$(VENV) -m tests.fuzz $(ARGS)

lint: ## Check style, types and the direction of imports
	@$(provide) lint
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(VENV) -m mypy
	@$(VENV) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

format: ## Put the code into the one format
	@$(provide) lint
	@$(VENV) -m ruff check --fix-only .
	@$(VENV) -m ruff format .

docs: ## Build the documentation into build/docs
	@$(provide) docs
	@NO_MKDOCS_2_WARNING=1 $(VENV) -m mkdocs build --strict
	@echo "docs: build/docs/index.html"

bench: ## Run the benchmarks
	@$(provide) bench
	@$(VENV) -m benchmarks $(ARGS)

pins: ## Resolve the pinned Python packages anew
	@$(provide) pins
	@sh requirements/pin $(ARGS)

clean: ## Remove what the other targets made, the virtual environment included
	rm -rf .venv .provision.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
