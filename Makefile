# The commands of this repository; each sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin
EVENTS ?= 1000000
DAYS ?= 30
# Tests sync files thousands of times: in memory where there are 4 GB of it, in a folder of this checkout's own.
IN_MEMORY := $(shell test "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4000000 2>/dev/null && \
  echo "--basetemp=/dev/shm/remint-$$(pwd | cksum | cut -d' ' -f1)")

.PHONY: help setup interop demo example-tradex example-enterprise test test-fast test-faults lint fmt bench requirements clean
.DEFAULT_GOAL := help

help: ## Show this list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/ready ## Make .venv with everything that development needs.

.venv/ready: pyproject.toml requirements/dev.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## Play the plan-limit scenario on a generated history (EVENTS=, DAYS= scale it).
	@EVENTS=$(EVENTS) DAYS=$(DAYS) $(BIN)/python examples/api_entitlements/demo.py

example-tradex: setup ## Play the backfill norm of TradeX against an API on this machine (POSTS= a day scale it).
	@$(BIN)/python examples/tradex/demo.py

example-enterprise: setup ## Play the replay strategy of an enterprise platform on Iceberg tables (ORDERS= a day scale it).
	@$(BIN)/python examples/enterprise_platform/demo.py

interop: setup ## Fetch Spark and DuckDB with their readers of tables into .interop, for tests/interop (once, 1 GB).
	@$(BIN)/python tests/interop/fetch.py

test: lint interop ## Lint, then every test.
	$(BIN)/python -m pytest -n 2 $(IN_MEMORY)

test-fast: setup ## The tests that take no more than seconds.
	$(BIN)/python -m pytest -m 'not slow'

test-faults: setup ## The proofs at full size (hours on two cores); their figures go into docs/reliability.md.
	rm -rf .proof
	REMINT_PROOF=full $(BIN)/python -m pytest -m proof -n 2
	$(BIN)/python docs/figures.py

lint: setup ## ruff and mypy; the layering and size tests run with the tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: setup ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Measure against hand-written scripts, side by side: rebuilds, commits, Spark; and plans over a million units.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/publish.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/spark.py

requirements: setup ## Lock the dependencies, with hashes and without registry hosts.
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --universal --python-version 3.11 \
	  --group dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --universal --python-version 3.11 \
	  --group bench -c requirements/dev.txt -o requirements/bench.txt
	for name in spark duckdb; do $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-deps \
	  --universal --python-version 3.11 --group pyproject.toml:interop-$$name -o requirements/interop-$$name.txt; done

clean: ## Remove what the commands made, .venv too.
	rm -rf .venv .interop .demo .bench .proof .mypy_cache .ruff_cache .pytest_cache dist
