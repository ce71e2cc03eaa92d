# make demo | test | lint | bench | docs: each sets up .venv first if it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench docs clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'torch==$(shell sed -n 's/^torch==//p' constraints.txt)'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/probrun grad examples/bernoulli.prob

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/performance.py

docs: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[notebook,docs]'
	$(BIN)/python docs/site/pages.py build/pages
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html -c docs/site build/pages build/docs

clean:
	rm -rf $(VENV) build dist *.egg-info
