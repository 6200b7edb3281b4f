# Two commands for a fresh machine: `make demo` and `make test`. Only Python >= 3.11 and PyPI are needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help demo test check format bench rel-fast rel-deep rel-replay lock clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/run.stamp: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned packages into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	@echo "installing what the tests need ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/run.stamp  ## a live index over a real change stream, at http://127.0.0.1:7400
	@exec $(BIN)/tailrace demo $(ARGS)

test: $(VENV)/dev.stamp  ## the whole test suite; what lacks an optional part is skipped with its reason
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/dev.stamp  ## format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=.:clients/python $(BIN)/lint-imports

format: $(VENV)/dev.stamp  ## rewrite the sources in the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/dev.stamp  ## benchmark tables, side by side with the peer; ARGS="--docs 50000" for a short run
	@$(BIN)/python -m bench.run $(ARGS)

rel-fast: $(VENV)/dev.stamp  ## search for broken promises (docs/resiliency.md), a minute; part of `make test`
	@$(BIN)/python -m tests.reliability.run fast $(ARGS)

rel-deep: $(VENV)/dev.stamp  ## the same programs with larger figures, half an hour
	@$(BIN)/python -m tests.reliability.run deep $(ARGS)

rel-replay: $(VENV)/dev.stamp  ## one case again: ARGS="PROGRAM CASE", as a violation printed it
	@$(BIN)/python -m tests.reliability.run replay $(ARGS)

lock: $(VENV)/dev.stamp  ## pin the newest allowed versions again
	@$(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal pyproject.toml deploy/build.in -o requirements.lock
	@$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal --extra dev --extra bench pyproject.toml deploy/build.in -o requirements-dev.lock

clean:  ## remove the environment and what tools left
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	rm -rf index/kernels/compiled
	find . -name __pycache__ -prune -exec rm -rf {} +
