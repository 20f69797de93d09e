# Two commands on a fresh machine: `make demo` and `make test`. Each makes the environment it needs first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRA ?= hub,parquet,sheet

.PHONY: help install demo test lint types clean
.DEFAULT_GOAL := help

help:
	@echo "make install  the environment of a run, in $(VENV)"
	@echo "make demo     draw two domains, pre-train on one, adapt to the other; about 5 minutes on two cores"
	@echo "              of a rented server with nothing else to do; the first steps tell how long it takes here"
	@echo "make test     lint, format check, type check, tests (about twice as long)"
	@echo "make clean    remove the environment, the demo's data and its run; compiled programs stay, in"
	@echo "              ~/.cache/man_jax (JAX_COMPILATION_CACHE_DIR names another folder, or none if it is empty)"

install: $(VENV)/complete

$(VENV)/complete: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, \
	this is %d.%d; try: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt -e ".[$(EXTRA)]"
	@touch $@

# Tests compare with PyTorch, which a run does not need.
$(VENV)/complete-dev: $(VENV)/complete
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	@touch $@

demo: $(VENV)/complete
	$(BIN)/python -m data_pipelines.synthetic --out data/synthetic
	$(BIN)/python -m man_jax.train --config configs/demo.py

# A process that crashes is not started again: pytest-xdist would give its tests to nobody, and wait for them for ever.
test: lint types
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --max-worker-restart=0

lint: $(VENV)/complete-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/complete-dev
	$(BIN)/basedpyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) .jax_cache data/synthetic runs/demo
