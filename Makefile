# make demo / make test are all the set-up there is: Python 3.11 (venv, pip), make and git.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-units test-embedded test-cluster test-commands test-faults test-browser check format wheel bench-quick soak storm clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 18

$(VENV)/.run: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(PIP) install -c constraints.txt -e '.[agents,mcp,web]' --group dev
	@touch $@

demo: $(VENV)/.run ## Run the main job: a fleet over the standard library, one worker killed
	@$(BIN)/lash demo

test: $(VENV)/.dev ## Run all tests (at most 15 minutes on 2 cores)
	@$(MAKE) --no-print-directory test-units test-embedded test-cluster test-commands test-faults test-browser

# Six stages import the same tests, with some hundred programs beside them: compiled once, whatever the machine says.
export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest --dist worksteal
# Threads, servers and deadlines: the few tests that fail beside others are judged by a run alone.
JUDGED := $(BIN)/python tools/judged_alone.py 3 -- $(PYTEST)
UNITS := tests/model tests/protocols tests/runtime tests/app tests/tools tests/memory_store tests/web
COMMANDS := tests/cli tests/deploy
# The stages that take a few tests of many name the files: to collect all of them costs more than the tests.
CLUSTERED := tests/conformance tests/connections
FAULTS = $(filter-out $(COMMANDS:=/%),$(shell grep -rl --include='test_*.py' 'mark\.faults' tests))

# Three at a time on two cores where much of the time is waiting.
test-units: $(VENV)/.dev ## Pure rules, runtime and app; the contracts in memory
	@$(BIN)/python tools/within.py 150 units -- $(JUDGED) -n 3 $(UNITS) tests/conformance -m "not faults and not cluster and not stores"

test-embedded: $(VENV)/.dev ## Everything over a real embedded server
	@$(BIN)/python tools/within.py 240 embedded -- $(JUDGED) -n 4 tests $(addprefix --ignore=,$(UNITS) $(COMMANDS) tests/browser) -m "not faults and not cluster and not in_memory"

test-cluster: $(VENV)/.dev ## The contracts over a three-node cluster
	@$(BIN)/python tools/within.py 90 cluster -- $(JUDGED) -n 2 $(CLUSTERED) -m "cluster and not faults"

test-commands: $(VENV)/.dev ## What people type: the README, the CLI, the deploy files
	@$(BIN)/python tools/within.py 105 commands -- $(JUDGED) -n 3 $(COMMANDS)

test-faults: $(VENV)/.dev ## Real processes, killed, stopped and cut off
	@$(BIN)/python tools/within.py 165 faults -- $(JUDGED) -n 3 $(FAULTS) -m faults

test-browser: $(VENV)/.dev ## The page in a headless Chromium; skipped, loudly, where there is none
	@$(BIN)/python tools/within.py 150 browser -- $(JUDGED) -n 3 tests/browser

check: $(VENV)/.dev ## Format, lint, types, imports, script headers, file sizes
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/python tools/check_lua_headers.py
	@$(BIN)/python tools/check_file_sizes.py
	@$(BIN)/pyright

format: $(VENV)/.dev ## Format and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

wheel: $(VENV)/.dev ## Build the wheel and the source archive into dist/
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist .

bench-quick: $(VENV)/.dev ## 20,000 no-ops with one worker, beside arq on the same server
	@$(BIN)/python -m benchmarks.bench_quick

soak: $(VENV)/.dev ## A storm of kills over real workers; SOAK_SECONDS=600
	@$(BIN)/python -m benchmarks.soak --seconds $(or $(SOAK_SECONDS),600)

storm: $(VENV)/.dev ## Kill workers of the chat example in the middle of turns; compare with a calm run
	@$(BIN)/python -m examples.chat.storm

clean: ## Remove what make made
	@rm -rf $(VENV) dist build .pytest_cache .ruff_cache .hypothesis .lash
