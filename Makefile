# Everything a clone needs: Python 3.11+ and make. Each target makes .venv and installs the versions
# pinned in constraints.txt; a second call finds its stamp and starts at once.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: train ocr test lint check mutants bench docs notebooks constraints clean
.DELETE_ON_ERROR:

train: $(STAMP)-lab
	$(BIN)/manual-bp train $(ARGS)

ocr: $(STAMP)-lab
	$(BIN)/manual-bp ocr train $(ARGS)
	$(BIN)/manual-bp ocr train-pipeline runs/pipeline.npz

check: $(STAMP)-lab
	$(BIN)/manual-bp check $(ARGS)

mutants: $(STAMP)-lab
	$(BIN)/manual-bp mutants $(ARGS)

bench: $(STAMP)-bench
	$(BIN)/manual-bp bench $(ARGS)

test: $(STAMP)-test
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(STAMP)-test
	$(BIN)/python -m bp_lab.pages
	$(BIN)/python tests/claims/table.py
	$(BIN)/python tests/corpora/table.py

notebooks: $(STAMP)-notebooks
	$(BIN)/python -m bp_lab.pages.notebooks notebooks

# The stamps. A change of constraints.txt or pyproject.toml rebuilds .venv from nothing.
$(VENV)/.base: constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed, and none was found (set PYTHON=...)" >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt hatchling editables
	touch $@

$(STAMP)-%: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[$*]'
	touch $@

# Needs uv: pip install uv
constraints:
	printf 'hatchling\neditables\npip\n' | uv pip compile --universal --fork-strategy fewest --python-version 3.11 \
		--all-extras --no-header --no-annotate pyproject.toml - --output-file constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
