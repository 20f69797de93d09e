# Commands of a fresh machine: `make demo`, `make check` and `make test`. Each makes the environment it needs first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRA ?= hub,parquet,sheet
# Python compiles a module when it is first imported: to compile all of them takes half of the installation's time. Who
# forbids Python to keep what it compiled would wait for it at every start.
PIP := --quiet $(if $(PYTHONDONTWRITEBYTECODE),,--no-compile)

# glibc asks for huge pages, as our commands do by themselves (man_jax/huge_pages.py). This gives them to the tests, too.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

# What `make check` runs: formulas against their oracles, parsers of data, configuration and flags, and the rules of the
# house. What compiles whole steps, draws data or starts other processes is left to `make test`.
FORMULAS := tests/clustering tests/losses tests/memories tests/retrieval tests/test_array_math.py tests/test_frame.py
PARSERS := tests/data_pipelines/reading tests/data_pipelines/session/test_command_line.py tests/reporting/test_result_tables.py
CONFIGURATION := tests/test_config.py tests/test_config_counts.py tests/test_config_limits.py tests/test_experiment_flags.py \
	tests/test_keys.py tests/test_variants.py tests/runs/test_past_config.py
RULES := tests/test_architecture.py tests/test_docstrings.py tests/test_documents.py tests/test_equations.py \
	tests/test_mutations.py tests/test_readings.py
# Eight files of these folders take half of the time; whoever changes what they test runs them by name.
SLOW := tests/losses/test_domain.py tests/losses/test_modality.py tests/losses/test_reid.py \
	tests/clustering/test_cluster_tables.py tests/clustering/test_kmeans.py tests/clustering/test_kmeans_steps.py \
	tests/memories/test_prototypes.py tests/data_pipelines/reading/test_drawn_faults.py
QUICK := $(FORMULAS) $(PARSERS) $(CONFIGURATION) $(RULES) $(SLOW:%=--ignore=%)

# A process that crashes is not started again: pytest-xdist would give its tests to nobody, and wait for them for ever.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --max-worker-restart=0

.PHONY: help install demo start-weights check test every-test bench lint types clean
.DEFAULT_GOAL := help

help:
	@echo "make install  the environment of a run, in $(VENV)"
	@echo "make demo     draw two domains, pre-train on one, adapt to the other by the preset plus, and by true"
	@echo "              labels, to show the share of the gap that is closed; about 7 minutes on two cores"
	@echo "              of a rented server with nothing else to do; the first steps tell how long it takes here"
	@echo "make start-weights  learn the weights that the demo starts from once more; under an hour, likewise"
	@echo "make check    lint, format check, type check, tests of formulas and parsers; under 2 minutes, likewise"
	@echo "make test     lint, format check, type check, all tests (about twice as long as the demo)"
	@echo "make bench    the short benchmarks, at most 10 minutes on two cores with nothing else to do; each appends"
	@echo "              a line to benchmarks/results.jsonl (benchmarks/README.md has the longer ones)"
	@echo "make clean    remove the environment, the demo's data and its run; compiled programs stay, in"
	@echo "              ~/.cache/man_jax (JAX_COMPILATION_CACHE_DIR names another folder, or none if it is empty)"

install: $(VENV)/complete

$(VENV)/complete: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, \
	this is %d.%d; try: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install $(PIP) -r requirements.txt -e ".[$(EXTRA)]"
	@touch $@

# Tests compare with PyTorch, which a run does not need. They use jax2onnx without what it requires, because it would
# bring an older orbax than a run has. The TPU's compiler is in a folder of its own: where it is installed, every command
# looks for TPUs.
$(VENV)/complete-dev: $(VENV)/complete
	$(BIN)/python -m pip install $(PIP) -e ".[dev]"
	$(BIN)/python -m pip install $(PIP) --no-deps "jax2onnx>=0.17,<0.18"
	@touch $@

$(VENV)/complete-tpu-plan: $(VENV)/complete
	$(BIN)/python -m pip install $(PIP) --no-deps --target $(VENV)/tpu-plan "libtpu>=0.0.42,<0.1"
	@touch $@

# Half of the epochs of the experiment, whose figures are in docs/RESULTS.md.
SHORT := --config.pretrain.epochs=12 --config.adapt.epochs=3

demo: $(VENV)/complete
	$(BIN)/python -m data_pipelines.synthetic --out data/synthetic
	$(BIN)/python -m man_jax.reproduce --config configs/demo.py:plus --seeds 0 --out runs/demo_plus $(SHORT)

# The weights that the demonstration starts from; they are in the repository, so nobody has to run this.
start-weights: $(VENV)/complete
	$(BIN)/python -m data_pipelines.synthetic.corpus --out data/corpus
	$(BIN)/python -m man_jax.train --config configs/demo_start.py
	$(BIN)/python -m man_jax.export --run runs/demo_start --half --out configs/demo_start.safetensors

check: lint types
	$(PYTEST) $(QUICK)

# By `make -j 2 test` the types are checked beside the first tests, and packages installed beside one another.
test: lint types every-test

every-test: $(VENV)/complete-dev $(VENV)/complete-tpu-plan
	$(PYTEST)

# Sizes of the demonstration or smaller; benchmarks/README.md says how the full sizes are asked for.
bench: $(VENV)/complete-dev
	$(BIN)/python -m benchmarks.step_speed --config demo --triples 32
	$(BIN)/python -m benchmarks.extraction_speed --config demo --triples 64
	$(BIN)/python -m benchmarks.kmeans_speed
	$(BIN)/python -m benchmarks.clusterings_speed
	$(BIN)/python -m benchmarks.ranking_speed
	$(BIN)/python -m benchmarks.loader_speed --rounds 3
	$(BIN)/python -m benchmarks.epoch_parts
	$(BIN)/python -m benchmarks.first_step --rounds 1

lint: $(VENV)/complete-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/complete-dev
	$(BIN)/basedpyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) .jax_cache data/synthetic data/corpus runs/demo runs/demo_plus runs/demo_start
