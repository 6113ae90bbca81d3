# Everything needs only make and Python; what else is missing is installed by the target that needs it.
SHELL := bash
comma := ,
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# The virtual environment's own node, npm and python come first.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Without compiled modules every start of the edge would take three times as long.
unexport PYTHONDONTWRITEBYTECODE
# What node and pytest keep, they keep here.
export NODE_COMPILE_CACHE := $(CURDIR)/.local/node
export PYTEST_DEBUG_TEMPROOT := $(CURDIR)/.local
# The one playwright brings wants a library that a bare Debian 12 has not.
export PLAYWRIGHT_NODEJS_PATH := $(CURDIR)/.venv/bin/node
# What runs here is asked directly, whatever proxy leads to the rest of the world.
export NO_PROXY := 127.0.0.1,localhost$(addprefix $(comma),$(NO_PROXY))
export no_proxy := $(NO_PROXY)

STACK := python supabase/local/stack.py
HOUSES := python supabase/local/houses.py
PYTEST := python -m pytest
BENCH := PYTHONPATH=supabase/local:sql_tests:sql_tests/soak python sql_tests/bench/bench.py

.PHONY: help
help:
	@sed -nE 's/^([a-z0-9-]+):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name note; do \
	  printf '  make %-14s %s\n' "$$name" "$$note"; done

.PHONY: install
install: ## install what is missing: PostgreSQL, nginx, curl and Chromium, .venv, the Supabase CLI and PostgREST
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

.PHONY: clock
clock: install ## move the local house's clock and do what is due: AT='tomorrow 00:05' (sunday 00:05, …); BACK=yes
	@[ -n "$(AT)$(BACK)" ] || { echo "To when? make clock AT='tomorrow 00:05', or BACK=yes" >&2; exit 1; }
	@$(STACK) clock "$(if $(BACK),now,$(AT))"

.PHONY: inspect
inspect: install ## ask the local database the ten questions of supabase/inspect, or WHAT=lock alone; DATABASE_URL=… another
	@python supabase/local/look.py $(WHAT)

.PHONY: steward
steward: install ## what a steward does, on the local stack: DO="mint --max-uses 5", DO="people --help"
	@$(STACK) steward $(or $(DO),--help)

.PHONY: test
test: lint db-diff db-test edge-test contract-test ## everything CI asks for

.PHONY: db-test
db-test: install ## the rooms and the house, in the server of PGHOST or one of our own
	@$(PYTEST) sql_tests -m "not contract" $(if $(PGHOST),,-n auto) $(ARGS)

.PHONY: db-test-17
db-test-17: install ## the same on PostgreSQL 17, as hosted; skipped where Debian 13 is out of reach
	@if server=$$(supabase/local/postgres17.sh); then \
	  CHAS_POSTGRES=$$server $(PYTEST) sql_tests -m "not contract" -n auto $(ARGS); \
	else echo "Skipped: PostgreSQL 17 cannot be had here, for the reason above."; fi

.PHONY: edge-test
edge-test: install ## the edge, before the real house
	@$(PYTEST) edge/tests -m "not contract" -n auto $(ARGS)

.PHONY: contract-test
contract-test: install ## supabase-py, supabase-js and a browser, through the gateway
	@$(PYTEST) -m contract -n auto $(ARGS)

.PHONY: soak
soak: install ## the long proofs, minutes of them: random histories, a storm of loans, crashes, attacks, outages (ARGS=outages), nonsense
	@PYTHONPATH=supabase/local:sql_tests python sql_tests/soak/soak.py $(ARGS)
	@$(if $(ARGS),,$(MAKE) soak-input)

.PHONY: soak-input
soak-input: install ## more than 20,000 calls of nonsense through PostgREST
	@CHAS_CALLS=$${CHAS_CALLS:-25000} $(PYTEST) sql_tests/house/test_bad_input.py -n auto $(ARGS)

.PHONY: demo
demo: install ## a week in the life of a community, told in seconds
	@PYTHONPATH=supabase/local:sql_tests python sql_tests/soak/demo.py

.PHONY: bench
bench: install ## measure CHAS against what this machine allows: half an hour and 40 GB of disk, .local/bench
	@$(BENCH) full $(ARGS)

.PHONY: bench-quick
bench-quick: install ## the same, shorter: three minutes, no growth series
	@$(BENCH) quick $(ARGS)

.PHONY: bench-17
bench-17: install ## bench-quick on PostgreSQL 17, as hosted
	@server=$$(supabase/local/postgres17.sh) && CHAS_POSTGRES=$$server $(BENCH) quick $(ARGS)

.PHONY: bench-instructions
bench-instructions: ## count the instructions of every member RPC, or of ARGS="declare_joy --top 30"; ARGS=--accept keeps them
	@supabase/local/setup.sh valgrind
	@PYTHONPATH=supabase/local:sql_tests python sql_tests/bench/instructions.py $(ARGS)

.PHONY: bench-machines
bench-machines: install ## two servers against one, how far a standby is behind, and a community's move
	@PYTHONPATH=supabase/local:sql_tests:sql_tests/soak python sql_tests/bench/machines.py $(ARGS)

.PHONY: move
move: install ## move a community from CHAS_FROM to CHAS_TO, two databases: COMMUNITY=<id>; FORGET=yes after a kill
	@[ -n "$(COMMUNITY)" ] || { echo "Which? make move COMMUNITY=<id>" >&2; exit 1; }
	@python supabase/local/move.py $(if $(FORGET),--forget) "$(COMMUNITY)"

.PHONY: lint
lint: py-lint leaks db-lint ## every linter

.PHONY: py-lint
py-lint: install ## ruff and mypy
	@ruff format --check --quiet . || { ruff format --diff --quiet .; exit 1; }
	@ruff check --quiet .
	@mypy --no-error-summary .

.PHONY: leaks
leaks: install ## no key, token or password in what git has or would be given
	@python supabase/local/leaks.py

.PHONY: audit
audit: install ## known vulnerabilities of what is locked, where the registries tell
	@python supabase/local/audit.py

.PHONY: db-lint
db-lint: install ## sqlfluff, plpgsql_check, the Supabase linter and advisors, stale types and reference
	@$(HOUSES) lint

.PHONY: db-diff
db-diff: install ## the house from schemas/ and the house from migrations/ are the same
	@$(HOUSES) diff

.PHONY: db-draft
db-draft: install ## what the next migration must bring: the draft of it, to be read line by line
	@$(HOUSES) draft

.PHONY: docs
docs: install ## write supabase/types (answers.json, database.ts) and supabase/docs/reference.md anew
	@$(HOUSES) docs

.PHONY: lock
lock: install ## choose and lock newer packages: Python and npm
	@uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url pyproject.toml --output-file edge/requirements.txt
	@uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --constraint edge/requirements.txt --group dev pyproject.toml \
	  --output-file supabase/local/requirements.txt
	@npm update --prefix supabase --silent
