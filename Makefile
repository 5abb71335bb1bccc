# Everything runs from .venv, which is made and filled on first use.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-slow lint types graph clean

demo: .venv/installed  ## generate a small annotated set with the bundled model
	$(BIN)/mosaicfusion generate --categories "avocado, teapot, giant_panda, strawberry, trophy, tractor" \
		--canvases-per-category 3 --out runs/demo

test: .venv/installed-dev  ## the fast tests
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: .venv/installed-dev  ## all tests; the report is opened in a browser: needs chromium on the PATH
	$(BIN)/python -m pytest

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/installed-dev
	$(BIN)/mypy

graph: .venv/installed-dev  ## print the imports between the packages, in Graphviz' DOT
	@$(BIN)/import-linter drawgraph mosaicfusion

clean:  ## remove the virtual environment and caches; runs/ stays
	rm -rf .venv build .pytest_cache .ruff_cache .mypy_cache

.venv/installed: pyproject.toml
	@echo "installing into .venv (PyTorch is large: this takes minutes)"
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(PIP) --editable ".[dev]"
	@touch $@
