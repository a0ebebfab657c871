# The two commands: `make up` gives a running cell with the example tenants, `make test` runs every test.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# With it set, every command that is started would compile what it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help up down test unit check format lock bench clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "needs Python 3.11 or later as $(PYTHON) (set PYTHON=…)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

up: $(READY) ## a local cell with the example tenants
	$(BIN)/tenantry local up
	$(BIN)/tenantry tenant up tenant_templates/examples

down: $(READY) ## stop the local cell, keep its data
	$(BIN)/tenantry local down

test: check ## every test, setting up by itself what it needs
	$(BIN)/python -m pytest tests -n 4 --dist loadgroup --no-loadscope-reorder

unit: $(READY) ## the tests that need only Python
	$(BIN)/python -m pytest tests/unit tests/mocks

check: $(READY) ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## rewrite to the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## figures, against a peer in the same run
	$(BIN)/python -m bench
	$(BIN)/python -m bench.operating --tenants 10 50 --new 10

lock: ## compile requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra local --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.lock

clean: ## remove what make made here (the cells and the tool cache stay)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
