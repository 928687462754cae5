# Each target first makes the virtual environment if it is missing, or older than its requirements,
# and makes it anew if it is of no use: its folder was moved or copied, its Python is gone or another.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --no-user --quiet --disable-pip-version-check

# With it `python -m` would not find what is in this folder.
unexport PYTHONSAFEPATH

# pip names the folder that it is in, unless its Python is gone or does not find it.
is_usable = $(findstring from $(abspath $(1))/,$(shell $(1)/bin/pip --version 2>/dev/null))
UNUSABLE := $(foreach venv,$(VENV) benchmarks/.venv,$(if $(call is_usable,$(venv)),,$(venv)/ready))

.PHONY: run call test later faults lint bench mutants $(UNUSABLE)

run: $(VENV)/ready
	$(BIN)/python app.py

call: $(VENV)/ready
	$(BIN)/python simulator.py

# Most tests wait more than they work, so more run at once than a small machine has processors.
test: $(VENV)/dev
	$(BIN)/python -m pytest -n 4

# The same tests four years later and in another zone: none may depend on the day it runs on.
later: $(VENV)/dev $(VENV)/later.so
	CLOCK_AHEAD_S=126230400 TZ='<+14>-14' LD_PRELOAD=$(abspath $(VENV)/later.so) \
	$(BIN)/python -m pytest -n 4

$(VENV)/later.so: tests/support/later.c $(VENV)/dev
	$(CC) -shared -fPIC -O1 -o $@ $< -ldl

faults: $(VENV)/dev
	$(BIN)/python -m pytest -m faults -n 4
	$(BIN)/python -m pytest -m load

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

bench: $(VENV)/dev benchmarks/.venv/ready
	$(BIN)/python -m benchmarks.run_all

# From the beginning each time: what was found with other tests says nothing about these.
mutants: $(VENV)/dev
	$(BIN)/python $(PIP_INSTALL) -r requirements-mutants.txt
	rm -rf mutants
	$(BIN)/mutmut run --max-children 1
	$(BIN)/mutmut results

$(VENV)/ready: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(if $(filter $@,$(UNUSABLE)),$(PYTHON) -m venv --clear $(VENV))
	$(BIN)/python $(PIP_INSTALL) -r requirements.txt
	touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/ready
	$(BIN)/python $(PIP_INSTALL) -r requirements-dev.txt
	touch $@

# What cannot be installed here is left out of the measurement, which says so.
benchmarks/.venv/ready: benchmarks/requirements.txt benchmarks/peers/package.json
	$(if $(filter $@,$(UNUSABLE)),$(PYTHON) -m venv --clear benchmarks/.venv)
	-benchmarks/.venv/bin/python $(PIP_INSTALL) -r $<
	-npm install --prefix benchmarks/peers --no-package-lock --silent
	touch $@
