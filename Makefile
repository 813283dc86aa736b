# Two commands do everything on a fresh machine with Python 3.11 or later:
#   make demo    decides the addresses example (EXAMPLE=names for the other one)
#   make test    checks style, types and layers, and runs the tests (not those marked slow)

PYTHON  ?= python3
EXAMPLE ?= addresses
# Test processes, each on one core; a file's tests stay together.
WORKERS ?= 2
VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint clean

demo: $(VENV)/.local
	$(BIN)/python examples/prepare.py $(EXAMPLE)
	$(BIN)/trimtab decide examples/$(EXAMPLE)

test: $(VENV)/.dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py
	$(BIN)/mypy -p benchmarks.truth
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV)

$(VENV)/.local: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Trimtab and what it runs on into $(VENV) (a minute or two, once)"
	$(PIP) -e '.[local,parquet]'
	touch $@

$(VENV)/.dev: $(VENV)/.local
	$(PIP) -e '.[local,parquet,dev]'
	touch $@
