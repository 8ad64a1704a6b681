# Everything sets itself up on a fresh machine: `make demo` and `make test` need Python 3.11 or later and a
# package index, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := demo
DEMO_OPTIONS :=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-thorough test-processors lint format docs docs-links clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(INSTALLED) ## Make the virtual environment with pinned dependencies

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "AIMS needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(INSTALLED) ## Convert, train, evaluate and report on two small sets (minutes; DEMO_OPTIONS=--quick: one)
	$(BIN)/aims demo --out $(DEMO) $(DEMO_OPTIONS)

test: $(INSTALLED) ## Run the tests, one process a core
	$(BIN)/python -m pytest -n logical --dist worksteal

test-thorough: $(INSTALLED) ## Run the tests that take about ten seconds and more: the README's commands, killed runs, several processes
	$(BIN)/python -m pytest -n logical --dist worksteal -m thorough

test-processors: $(INSTALLED) ## Run what compares models with the kernels of MKL for Intel's processors and for others
	$(BIN)/python tests/processors.py $(BIN)/python -m pytest -n logical tests/parity tests/property/test_models_property.py

lint: $(INSTALLED) ## Ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $@

docs: $(VENV)/.docs ## Build the documentation site in docs/_build/html (strict: a link that leads nowhere is an error)
	$(BIN)/python -m sphinx -n -W --keep-going -q -E -d docs/_build/doctrees docs docs/_build/html

docs-links: $(VENV)/.docs ## Follow the links of the documentation that leave it (needs a network)
	$(BIN)/python -m sphinx -b linkcheck -q -d docs/_build/doctrees docs docs/_build/links

clean: ## Remove the virtual environment, caches and the demo
	rm -rf $(VENV) $(DEMO) docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
