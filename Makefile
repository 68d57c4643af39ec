# `make demo` shows the whole job on real images; `make test` runs the default tests.
# Both make .venv and install the project into it when that is missing or older than pyproject.toml.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
DEMO_DIR ?= edgenas-demo

.DEFAULT_GOAL := help
.PHONY: help demo test lint slow clean

help:
	@echo "make demo   profile, train, search, compare, export and verify on real images (about 4 minutes on 2 cores)"
	@echo "make test   lint, and run the default tests (about 6 minutes on 2 cores)"
	@echo "make lint   ruff and mypy"
	@echo "make slow   the tests that take minutes each"

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "edgenas needs Python 3.11 or later with venv; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed-demo: pyproject.toml | .venv/bin/python
	@echo "installing PyTorch and what else edgenas needs into .venv: 6.4 GB on disk, most of it PyTorch's libraries for GPUs."
	@echo "This is the long part, once: at 100 Mbit/s about 5 minutes. pip shows each download; the demo itself takes 4 minutes."
	@began=$$(date +%s); \
	$(BIN)/python -m pip install --progress-bar on --disable-pip-version-check --editable '.[trt-rtx]' && \
	echo "installed in $$(( ($$(date +%s) - began + 59) / 60 )) min, $$(du -sh .venv | cut -f1) in .venv"
	@touch $@

.venv/installed-test: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,trt-rtx]'
	@touch $@ .venv/installed-demo

demo: .venv/installed-demo
	$(BIN)/edgenas demo --run $(DEMO_DIR)

# One more than the cores of a small machine: two workers wait for processes a quarter of their time.
TEST_WORKERS ?= 3

test: .venv/installed-test lint
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup --no-loadscope-reorder --reruns 1 --rerun-except 'from pytest-timeout' --max-suite-reruns 5 \
		--rerun-show-tracebacks

slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow

lint: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv build *.egg-info edgenas-demo
