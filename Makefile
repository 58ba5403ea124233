# `make demo` and `make test` are all a fresh machine needs; both set up their own environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint type bench docs check clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/robustill demo

test: setup
	$(BIN)/pytest -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup
	$(BIN)/mypy

bench: setup
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/training.py --model resnet18 --batch 64 --rounds 2 --threads 2
	$(BIN)/python benchmarks/memory.py --methods rslad

docs: setup
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Exactly what CI runs after the installation.
check: lint type test

clean:
	rm -rf $(VENV) site .mypy_cache .pytest_cache .ruff_cache
