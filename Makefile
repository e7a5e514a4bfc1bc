# Two commands: `make demo` shows the whole job, `make test` checks the project. Both set themselves up.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
EXTRAS := detr,roads,fid,onnx,tensorboard,dev

.PHONY: demo test test-slow lint format bench clean

demo: $(VENV)/.ready
	$(BIN)/chipwright demo --out demo --overwrite

test: $(VENV)/.ready lint
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist loadfile

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow --timeout 3600

lint: $(VENV)/.ready
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff check --fix src tests benchmarks examples
	$(BIN)/ruff format src tests benchmarks examples

OPENMMLAB := src/chipwright/openmmlab/requirements.txt

$(VENV)/.ready: pyproject.toml constraints.txt $(OPENMMLAB)
	$(PYTHON) -c "import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else 'chipwright needs Python 3.11 to 3.13; name one with make PYTHON=...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt --requirement $(OPENMMLAB) || echo "Without OpenMMLab's packages its tests are skipped."
	touch $@

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache
