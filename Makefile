# make demo    set up, fetch a real clip, run the main job on it
# make test    set up and run the tests (no GPU and no ../shared needed)
# make check   everything CI looks at: format, lint, types, import rules, tests
# make bench   the side-by-side speed measurements
# make docs    write docs/cli.md anew from the commands themselves
# make clean   remove what these made (the environment too)
#
# The environment lives in .venv. Another Python: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help venv demo test lint check bench docs clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p;/^#$$/q' Makefile

venv: $(STAMP)

$(STAMP): pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo "No '$(PYTHON)' here. Install Python 3.11 or newer, or name yours: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "'$(PYTHON)' is $$("$(PYTHON)" --version 2>&1 | head -n 1), and streamdet needs Python 3.11 or newer." \
	         "Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "'$(PYTHON)' cannot make an environment: its venv or ensurepip module is missing." \
	         "On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV) (PyTorch is large: a few minutes)"
	@"$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@# What our tracking is compared with. Without what they ask for: their opencv-python would overwrite the headless one.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    trackers==2.6.1 supervision==0.31.2 trackeval==1.3.0
	@touch $@

demo: venv
	@mkdir -p demo
	$(BIN)/python samples/get_bikes.py demo/bikes.mp4
	$(BIN)/streamdet run demo/bikes.mp4 --out demo/bikes.annotated.mp4 \
	    --jsonl demo/bikes.jsonl --report demo/bikes.run.json --overwrite
	$(BIN)/streamdet run samples/parking.mp4 --out demo/parking.annotated.mp4 \
	    --jsonl demo/parking.jsonl --report demo/parking.run.json --overwrite
	@echo
	@echo "Look at:   demo/bikes.annotated.mp4     demo/parking.annotated.mp4"
	@echo "Boxes:     demo/bikes.jsonl             demo/parking.jsonl"
	@echo "Receipts:  demo/bikes.run.json          demo/parking.run.json"

test: venv
	$(BIN)/python -m pytest

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

bench: venv
	$(BIN)/python benchmarks/end_to_end.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

docs: venv
	$(BIN)/python -m typer streamdet.cli.app utils docs --name streamdet --output docs/cli.md
