# Everything needs only make and Python; what else is missing is installed by the target that needs it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# The virtual environment's own node, npm and python come first.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Without compiled modules every start of the edge would take three times as long.
unexport PYTHONDONTWRITEBYTECODE

STACK := python supabase/local/stack.py
HOUSES := python supabase/local/houses.py
PYTEST := python -m pytest

.PHONY: help
help:
	@sed -nE 's/^([a-z-]+):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name note; do \
	  printf '  make %-14s %s\n' "$$name" "$$note"; done

.PHONY: install
install: ## install what is missing: PostgreSQL and nginx (apt), .venv, the Supabase CLI and PostgREST
	@supabase/local/setup.sh

.PHONY: run
run: install ## start the whole of CHAS here, and show how to call it
	@$(STACK) up

.PHONY: stop
stop: ## stop it; what was declared stays
	@if [ -d .local/run ]; then supabase/local/setup.sh && $(STACK) stop; else echo "Nothing runs."; fi

.PHONY: status
status: install ## say what runs, on which port
	@$(STACK) status

.PHONY: reset
reset: install ## throw the local database away and start again from the seed
	@$(STACK) reset

.PHONY: token
token: install ## a fresh token: WHO=asha; for somebody new WHO=zoe@example.org NEW=yes
	@[ -n "$(WHO)" ] || { echo "Whose? make token WHO=asha" >&2; exit 1; }
	@$(STACK) token "$(WHO)" $(if $(NEW),--sign-up)

.PHONY: test
test: lint db-diff db-test edge-test contract-test ## everything CI asks for

.PHONY: db-test
db-test: install ## the rooms, on both houses, in the server of PGHOST or one of our own
	@$(PYTEST) sql_tests -m "not contract" $(if $(PGHOST),,-n auto) $(ARGS)

.PHONY: edge-test
edge-test: install ## the edge, before the real house
	@$(PYTEST) edge/tests -m "not contract" $(ARGS)

.PHONY: contract-test
contract-test: install ## supabase-py and supabase-js, through the gateway
	@$(PYTEST) -m contract $(ARGS)

.PHONY: lint
lint: py-lint db-lint ## every linter

.PHONY: py-lint
py-lint: install ## ruff and mypy
	@ruff format --check --quiet . || { ruff format --diff --quiet .; exit 1; }
	@ruff check --quiet .
	@mypy --no-error-summary .

.PHONY: db-lint
db-lint: install ## sqlfluff, plpgsql_check, the Supabase linter and its advisors
	@$(HOUSES) lint

.PHONY: db-diff
db-diff: install ## the house from schemas/ and the house from migrations/ are the same
	@$(HOUSES) diff

.PHONY: db-draft
db-draft: install ## what the next migration must bring: the draft of it, to be read line by line
	@$(HOUSES) draft

.PHONY: lock
lock: install ## choose and lock newer packages: Python and npm
	@uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url pyproject.toml --output-file edge/requirements.txt
	@uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --constraint edge/requirements.txt --group dev pyproject.toml \
	  --output-file sql_tests/requirements.txt
	@npm update --prefix supabase --silent
