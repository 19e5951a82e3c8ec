# cxr14. `make repro` runs the pipeline, `make test` its tests; both set up .venv first.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PYTEST := OMP_NUM_THREADS=1 pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
# Compiled modules are kept: without them importing torch takes 14 s instead of 5, twenty times.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup repro verify verify-cpus test test-graph check bench ablation ui app register clean lock

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/stamp  ## fill .venv from requirements.lock (done by every other target when stale)

# uv is installed by pip from the same lock, hashes checked, and then installs the rest.
.venv/stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"error: cxr14 needs Python 3.11, 3.12 or 3.13, and {sys.executable} is {v[0]}.{v[1]}; name another one: make PYTHON=python3.12 ...")'
	@echo "setting up .venv (about 6 GB, a minute or two)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@awk '/^[^ #]/ {ours = /^uv==/} ours' requirements.lock > .venv/uv.lock
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@cd / && "$(CURDIR)/$(BIN)/python" -m cxr14.figures.plots_template "$(CURDIR)/.dvc/plots_template.html"
	@touch $@

repro: .venv/stamp  ## run what has changed of the pipeline (RECIPE="folder smoke": cxr14 use them first)
	@$(if $(RECIPE),cxr14 use $(RECIPE))
	@$(BIN)/python -m stages.check_run
	@dvc repro
	@cat report/summary.txt

verify: .venv/stamp  ## after repro: are dvc.lock, metrics and plots the committed ones?
	@$(BIN)/python -m verify

verify-cpus: .venv/stamp  ## a tiny graph on emulated processors too, are the bits equal? (ARGS=--help)
	@$(BIN)/python -m verify.cpus $(ARGS)

test: .venv/stamp  ## run the tests but the long ones of test-graph
	@$(PYTEST) -m "not graph"

test-graph: .venv/stamp  ## the long tests: both pipelines at a tiny scale, several processes, killed runs
	@$(PYTEST) -m graph

check: .venv/stamp  ## lint, formatting, types
	@ruff check .
	@ruff format --check .
	@mypy

# By name only: scale.py and dvc_cost.py (long, much disk), chexnext.py (three quarters of an hour),
# kernel.py (wants real files), boxes.py, train.py, loop_cost.py, train_gpu.py (wants a GPU).
bench: .venv/stamp  ## measure: learning targets, speed against peers
	@failed=0; for name in learning memory_format preprocess batches metrics localize; do \
	  echo "== $$name"; $(BIN)/python benchmarks/$$name.py || failed=1; done; exit $$failed

ablation: .venv/stamp  ## weightings and poolings compared, 40 minutes (ARGS=--quick)
	@$(BIN)/python -m ablation $(ARGS)

ui: .venv/stamp  ## MLflow's pages on http://127.0.0.1:5000 (ARGS="--port 5001")
	@$(BIN)/python -m cxr14.cli ui $(ARGS)

app: .venv/stamp  ## predictions in the browser on http://127.0.0.1:8501 (ARGS="--port 8502")
	@$(BIN)/python -m cxr14.cli app $(ARGS)

register: .venv/stamp  ## sync MLflow's runs and registry with the artifacts (ARGS="--promote NAME")
	@$(BIN)/python -m stages.register $(ARGS)

lock: .venv/stamp  ## resolve requirements.lock from pyproject.toml
	@uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
	  --no-emit-index-url --no-header --output-file requirements.lock pyproject.toml

clean:  ## remove .venv and caches of tools; data, models and DVC's cache stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
