# Two commands matter: `make run` and `make test`. `make check` is everything a reviewer would run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test check cover crash soak mutate stubs format clean

run: $(VENV)/.run
	$(BIN)/trimtab up $(ARGS)

test: $(VENV)/.dev
	$(BIN)/pytest $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/stubs.py --check

# Every line and branch of the guard, by its tables: the long lives would cover it by chance.
cover: $(VENV)/.dev
	$(BIN)/pytest tests/guard --quiet --cov=trimtab_guard --cov-branch --cov-fail-under=100 \
	  $(addprefix --ignore=tests/guard/test_,machine.py properties.py guard_bench.py) $(ARGS)

# The daemon, killed 200 times on the real stage: about a quarter of an hour.
crash: $(VENV)/.dev
	TRIMTAB_KILLS=200 $(BIN)/pytest tests/crash --log-cli-level=INFO $(ARGS)

# The daemon for ten minutes at 80 % of what it can do, with clients of every bad kind; then all drills.
soak: $(VENV)/.dev
	TRIMTAB_SOAK_S=600 $(BIN)/pytest tests/controller/soak --log-cli-level=INFO $(ARGS)

# Every small change of the guard, one at a time: do the tests notice? ARGS="series trust" for some.
mutate: $(VENV)/.dev
	$(BIN)/python tools/mutate.py $(ARGS)

stubs: $(VENV)/.dev
	$(BIN)/python tools/stubs.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .run dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[train,dev]'
	touch $@ $(VENV)/.run
