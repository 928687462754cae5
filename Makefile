# Each target makes the virtual environment first, when it is missing or requirements.txt is newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run call test faults lint

run: $(VENV)/ready
	$(BIN)/python app.py

call: $(VENV)/ready
	$(BIN)/python simulator.py

test: $(VENV)/ready
	$(BIN)/python -m pytest

faults: $(VENV)/ready
	$(BIN)/python -m pytest -m faults

lint: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

$(VENV)/ready: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@
