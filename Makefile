# Everything here needs Python 3.11 or newer, make, and PyPI; the virtual environment makes itself.
# Another interpreter: make run PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run test test-long torture lint docs benchmarks

run: $(VENV)/.installed  ## the whole system on built-in photographs, in a few minutes
	$(BIN)/alexnet quickstart

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m ""

torture: $(VENV)/.installed-dev  ## every promise of docs/reliability.md tested in full and recorded
	$(BIN)/python -m pytest -m "" tests/torture --record docs/reliability.json
	$(BIN)/python docs/build.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed  ## the generated pages and tables: docs/build.py says of what
	$(BIN)/python docs/build.py

benchmarks: $(VENV)/.installed  ## record results/benchmarks/*.json on this machine, otherwise idle
	for verb in train infer lrn data prepare; do \
	  $(BIN)/alexnet benchmark $$verb --save results/benchmarks/$$verb-cpu.json || exit; done
	$(BIN)/python docs/build.py

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: choose another with make PYTHON=..."; exit 5; }
	@echo "Installing into $(VENV): a few minutes, once."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) -e '.[dev]'
	@touch $@
