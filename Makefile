# Every target makes .venv and installs what it needs on its own; the second time that costs nothing.
# Another Python: make test PYTHON=python3.12 (after `make clean`).

PYTHON ?= python3
BIN := .venv/bin
PIP := -m pip --quiet --disable-pip-version-check
INSTALL = $(BIN)/python $(PIP) install -c constraints.txt
NOTEBOOKS = $(wildcard notebooks/*.ipynb)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help reports test certify bench browser data lab lint lock environment clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

reports: .venv/.core  ## run the notebooks, write reports/index.html (NAMES="20_repurchase_retention" for some)
	$(BIN)/shoptoolkit report $(NAMES)

test: .venv/.dev  ## run all tests, two files at a time (ARGS="-k curve" to choose, ARGS="-n 0" one at a time)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

certify: .venv/.dev  ## the tests of cover again, in 1,000 simulated worlds each (takes long)
	CERTIFY=1 $(BIN)/python -m pytest -m certify $(ARGS)

bench: .venv/.dev  ## speed beside the peers, ratios printed (SMOKE=1: does it run at all? ARGS="tests/benchmarks/bench_cox.py")
	$(BIN)/python -m pytest -q -s --benchmark-disable $(or $(ARGS),tests/benchmarks)

browser:  ## fetch axe-core, with npm, for the browser tests; they also need Chromium or Chrome
	@command -v npm >/dev/null || { echo "No npm here. It comes with Node.js: https://nodejs.org"; exit 1; }
	npm install --prefix tests/browser --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error

data: .venv/.core  ## fetch the public data sets into data/
	$(BIN)/python -m shoptoolkit.datasets

lab: .venv/.core  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=notebooks

lint: .venv/.dev  ## ruff, mypy, and no outputs in notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(if $(NOTEBOOKS),$(BIN)/nbstripout --keep-id --verify $(NOTEBOOKS))

# soupsieve 4 refuses Python before 3.11.5; Debian 12 has 3.11.2
LOCK_ALSO = 'soupsieve<3'

lock:  ## resolve all dependencies anew and write constraints.txt
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python $(PIP) install '.[dev,crosscheck,lake,sql]' $(LOCK_ALSO)
	@{ echo "# The exact versions CI runs: core, dev, crosscheck, lake and sql. Made by \`make lock\` on Python $$($(PYTHON) -c \
	'import platform; print(platform.python_version())'); pip reads it with -c."; \
	.venv-lock/bin/python $(PIP) freeze --exclude shoptoolkit | grep -E '^[A-Za-z0-9._-]+=='; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-lock

environment: .venv/.core  ## write environment.yml from pyproject.toml
	$(BIN)/python .ci/environment.py > environment.new
	mv environment.new environment.yml

clean:  ## remove .venv, caches and built reports; data stays
	rm -rf .venv .venv-lock tests/browser/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -path ./data -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +
	find reports -mindepth 1 ! -name README.md ! -name example.png -delete

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "No '$(PYTHON)' here. Name a Python 3.11 or newer: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "shoptoolkit needs Python 3.11 or newer;" \
	"'$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.core: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e .
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[dev,crosscheck,lake,sql]'
	@touch .venv/.core $@
