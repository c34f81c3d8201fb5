# make run    set up and run the main job      make test   set up and run all tests
# make lint   what CI checks before the tests  make bench  the benchmarks of every back end
# make test-ray   a sweep on a Ray cluster of this machine, as CI does it
# make bench-train   one training step of every engine, and its memory
# make bench-circuit CIRCUIT=FILE   a circuit in every form, and what compiling costs
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin

.PHONY: run test test-ray lint bench bench-train bench-circuit clean

run: $(VENV)/installed
	$(BIN)/python harness.py method=dlgn task=life timing.force=true

test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

# Ray's launcher wants an older cloudpickle than joblib takes, so both have a folder of their own.
test-ray: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --target $(VENV)/ray 'hydra-ray-launcher>=1.2.2,<1.3'
	PYTHONPATH=$(abspath $(VENV)/ray) $(BIN)/python -m pytest tests/test_isolation.py -k ray

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only

bench-train: $(VENV)/installed
	$(BIN)/python -m tests.benchmarks.train_step

bench-circuit: $(VENV)/installed
	$(BIN)/python -m tests.benchmarks.circuit $(CIRCUIT) --random 10000 100000 1000000

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Gatebench needs Python 3.11 or newer; name one with make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) runs
