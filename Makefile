# Two commands on a fresh machine: `make demo` and `make test`. Each makes its own environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRA ?= dev

# XLA's compiled programs are kept, so that a second run of the same thing starts at once.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache

.PHONY: demo test lint types clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   draw two domains, pre-train on one, adapt to the other (about 5 minutes on 2 cores)"
	@echo "make test   lint, format check, type check, tests (about as long)"
	@echo "make clean  remove the environment, the demo's data and its run"

$(VENV)/complete: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, \
	this is %d.%d; try: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt -e ".[$(EXTRA)]"
	@touch $@

demo: $(VENV)/complete
	$(BIN)/python -m data_pipelines.synthetic --out data/synthetic
	$(BIN)/python -m man_jax.train --config configs/demo.py

test: lint types
	$(BIN)/python -m pytest -n 2 --dist loadscope

lint: $(VENV)/complete
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/complete
	$(BIN)/basedpyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) .jax_cache data/synthetic data/prepared runs/demo
