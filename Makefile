# The one set of scripts, used alike by people and CI. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000

DURATION ?= 600
THROUGH_PGBOUNCER_TESTS := tests/chats/test_turns.py tests/retrieval/test_search.py -k "key or a_large_one"
.PHONY: help install up test test-faults test-rest e2e nodes chaos check audit protections bench pin messages
help:  ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## Make .venv with everything Mundap needs to run
$(VENV)/.installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Mundap needs Python 3.11 or newer; run: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

up: $(VENV)/.installed  ## Start everything and serve on http://127.0.0.1:8000 until stopped
	$(BIN)/mundap up --port $(PORT)

test: $(VENV)/.installed-dev  ## Run all tests that need neither a browser nor Node
	@.ci/beside "test-faults $(BESIDE)" test-rest
	@echo "Left out: the tests with a browser and with the AI SDK (make e2e), and those with nginx and PgBouncer (make nodes)"

# They mostly wait, so they run beside the others, and BESIDE after them; by themselves, as no other server may reap what
# the broken ones leave.
test-faults:
	$(BIN)/python -m pytest -m "not e2e" tests/faults

test-rest:
	$(BIN)/python -m pytest -m "not e2e and not nodes" -n 3 --dist loadfile --ignore tests/faults

e2e: $(VENV)/.installed-dev  ## Run the tests with a browser (Chromium must be installed) and with the AI SDK (Node 20 or newer)
	$(BIN)/python -m pytest -m e2e -n 2 --dist loadfile tests/e2e

nodes: $(VENV)/.installed-dev  ## Run the tests of several machines (needs Debian's nginx-light and pgbouncer; as root, a worker has a network of its own)
	$(BIN)/python -m pytest -m nodes -n 2 --dist loadfile tests/nodes
	THROUGH_PGBOUNCER=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(THROUGH_PGBOUNCER_TESTS)

chaos: $(VENV)/.installed-dev  ## Let three servers and everything around them fail for DURATION seconds (and SEED), and judge what people saw
	@$(BIN)/python -m tests.faults.chaos --seconds $(DURATION) $(if $(SEED),--seed $(SEED))

check: $(VENV)/.installed-dev  ## Format, lint, types and templates
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	SECRET_KEY=for-the-checks-only $(BIN)/mypy
	$(BIN)/djlint --lint --quiet src

# Not part of the checks: what is known of weaknesses is asked of the package index, which takes a network, and changes
# without a change of ours.
audit: $(VENV)/.installed-dev  ## Ask the package index for known weaknesses of everything that is pinned (needs a network)
	$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements.txt -r requirements-dev.txt

protections: $(VENV)/.installed-dev  ## Take each protection out in a copy, and see that its test fails (some minutes; ARGS="-k word" for some)
	@$(BIN)/python -m tests.security.protections $(ARGS)

SCRIPTS ?= $(wildcard bench/run_*.py)
bench: $(VENV)/.installed-dev  ## Run the benchmarks, or those in SCRIPTS; each prints JSON
	for script in $(SCRIPTS); do $(BIN)/python $$script || exit 1; done

pin: $(VENV)/.installed-dev  ## Pin the requirements again, with hashes
	for name in requirements requirements-dev; do $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 --custom-compile-command "make pin" $$name.in -o $$name.txt; done

messages: $(VENV)/.installed  ## Collect and compile the translations (needs gettext's tools)
	cd src/mundap && ../../$(BIN)/mundap makemessages -l ko --no-obsolete --no-wrap --add-location file && ../../$(BIN)/mundap compilemessages
