# Every target sets up what it needs, once: `.venv` from the lock with hashes, natlb in it as an editable install.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Some of these build namespaces of fixed names: never two at once.
.NOTPARALLEL:

PYTHON ?= python3
BIN := .venv/bin
# Twice quiet: errors are printed, warnings are not.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet --quiet

# Branch coverage, in percent, that natlb/wire and natlb/core must reach interpreted.
COVERAGE_GATE ?= 100
PURE := natlb/wire natlb/core
# What calls kernels runs a second time interpreted, and is measured there; of whole conversations only
# what looks between two stores, which compiled code does not let anybody do.
OF_KERNELS := $(addprefix tests/unit/,wire core io testing control/compile control/policy simulation) \
  $(wildcard tests/unit/test_engine*.py) tests/unit/test_jit.py
PLAIN_ALONE := $(addprefix tests/property/test_,flow_table.py parse.py windows.py)
OF_COMPILED := tests/property tests/sim tests/conformance
PROCESSES := $(addprefix tests/netns/,test_commands.py test_policies.py) \
  $(wildcard tests/netns/test_lab*.py tests/netns/test_processes_*.py)
PYTEST_FLAGS ?=
CACHES := .pytest_cache
INSTALL := tests/install-packages
BENCH_FLAGS ?=
FUZZ_RUNS ?= 100000

.PHONY: help demo test check bench soak conformance pictures fuzz lint format setup lock clean
.PHONY: packages warm interpreted compiled processes others types architecture

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: setup ## a lab, real traffic through natlb, and who got what
	@$(BIN)/natlb lab demo

## ---- set up: a stamp for each step, so that the second time takes no time

VENV := .venv/.made
RUNTIME := .venv/.runtime
TESTING := .venv/.testing
FUZZING := .venv/.fuzzing

setup: $(RUNTIME) ## .venv with natlb in it

$(VENV):
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: no $(PYTHON) here" >&2; \
	  echo "fix: apt-get install python3 python3-venv, or make PYTHON=/path/to/python" >&2; exit 69; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: natlb needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)" >&2; \
	  echo "fix: make PYTHON=/path/to/a/newer/python" >&2; exit 69; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) cannot make a virtual environment" >&2; \
	  echo "fix: apt-get install python3-venv" >&2; exit 69; }
	@echo "making .venv with $$($(PYTHON) -V)" >&2
	@rm -rf .venv && $(PYTHON) -m venv .venv && touch $@

$(RUNTIME): requirements.lock pyproject.toml | $(VENV)
	@echo "installing natlb into .venv (once, about a minute)" >&2
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(TESTING): requirements-dev.lock | $(RUNTIME)
	@echo "installing what the tests and checks need into .venv (once, half a minute)" >&2
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(FUZZING): requirements-fuzz.lock | $(TESTING)
	@$(PIP) install --require-hashes -r requirements-fuzz.lock
	@touch $@

## ---- tests

packages: # what Debian has to give: installed as root, named otherwise (those tests then skip)
	@$(INSTALL)

# Two lanes, one a core. Beside: kernels as plain Python, where coverage sees them, and then what has
# none. Before: kernels compiled, and then whole natlbs. What failed of real processes is run again
# alone, and said (docs/decisions/0055). The last line is pytest's own.
test: $(TESTING) packages ## all tests, kernels twice; about 20 minutes on two cores
	@log=$$(mktemp); \
	setsid env --default-signal=INT $(SHELL) -c 'for run in warm interpreted others; do \
	  $(MAKE) --no-print-directory $$run || echo $$run >>"$$0.failed"; \
	done' "$$log" >"$$log" 2>&1 & beside=$$!; \
	trap 'kill -- -$$beside 2>/dev/null || :; rm -f "$$log"*' EXIT; \
	$(MAKE) --no-print-directory compiled || echo compiled >>"$$log.failed"; \
	$(MAKE) --no-print-directory processes >"$$log.processes" 2>&1 || echo processes >>"$$log.failed"; \
	wait $$beside || echo beside >>"$$log.failed"; \
	cat "$$log" "$$log.processes"; \
	if [ -e "$$log.failed" ]; then $(BIN)/python -m tests.again $$(cat "$$log.failed"); fi

warm: $(RUNTIME) # a worker's loop in the cache, while tests need no core for it yet
	@$(BIN)/python -c 'from natlb.io.loop import PacketLoop; PacketLoop().prepare(print)'

interpreted: $(TESTING)
	@echo "tests with the kernels as plain Python (NATLB_JIT=0), branches of $(PURE) counted" >&2
	@NATLB_JIT=0 $(BIN)/python -m pytest $(PYTEST_FLAGS) $(OF_KERNELS) $(PLAIN_ALONE) --no-cov-on-fail \
	  $(addprefix --cov=,$(PURE)) --cov-branch --cov-fail-under=$(COVERAGE_GATE)

compiled: $(TESTING)
	@echo "tests with the kernels compiled" >&2
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) $(OF_KERNELS) $(OF_COMPILED)

processes: $(TESTING)
	@echo "tests of whole natlbs" >&2
	@rm -rf $(CACHES)/$@
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) -o cache_dir=$(CACHES)/$@ $(PROCESSES)

# tests/unit/test_core_interpreted.py does what `interpreted` does, for who runs pytest alone
others: $(TESTING)
	@echo "tests of the rest" >&2
	@rm -rf $(CACHES)/$@
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) -o cache_dir=$(CACHES)/$@ \
	  $(addprefix --ignore=,$(OF_KERNELS) $(OF_COMPILED) $(PROCESSES) tests/unit/test_core_interpreted.py)

## ---- checks: what CI asks for before the tests

check: lint types architecture ## format, lint, types, architecture

lint: $(TESTING) ## ruff, changing nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: $(TESTING) ## ruff, mending what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(TESTING)
	@$(BIN)/mypy

architecture: $(TESTING)
	@$(BIN)/python -m pytest --quiet tests/test_architecture.py tests/test_mirror.py

## ---- the long ones

bench: setup ## natlb beside its peers, in one run; BENCH_FLAGS="--quick" for less
	@bench/install-packages
	@$(BIN)/natlb bench $(BENCH_FLAGS)

soak: $(TESTING) packages ## the tests that take minutes each, which `make test` leaves out
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) -m soak --timeout=3600

conformance: $(TESTING) packages ## what RFCs ask of a NAT, each row tested; writes docs/conformance.md
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) -m conformance -p tests.conformance.report \
	  --conformance-report docs/conformance.md

pictures: $(TESTING) ## the pictures of the documents, by the code as it is
	@$(BIN)/python -m tests.pictures

fuzz: $(FUZZING) ## guided by coverage (FUZZ_RUNS=100000), then ten million mutations compiled
	@$(BIN)/python -m tests.fuzz $(FUZZ_RUNS)
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest $(PYTEST_FLAGS) --timeout=3600 \
	  tests/property/test_hostile.py tests/property/test_any_octets.py

clean: ## everything these targets made
	@rm -rf .venv .venv-lock .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

## ---- the lock: the public index's files alone, whatever this machine's pip is set to

COMPILE := env -u PIP_FIND_LINKS -u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null \
  .venv-lock/bin/pip-compile --quiet --generate-hashes --strip-extras --no-header --no-emit-options \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: ## requirements.lock and requirements-dev.lock from pyproject.toml (UPGRADE=1: newest that fit)
	@test -x .venv-lock/bin/pip-compile || { \
	  $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet 'pip-tools>=7.6,<8'; }
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --build-deps-for=editable --extra=pictures --extra=tui \
	  --output-file=requirements.lock pyproject.toml
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --build-deps-for=editable --extra=pictures --extra=tui --extra=test \
	  --constraint=requirements.lock --output-file=requirements-dev.lock pyproject.toml
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --extra=fuzz \
	  --output-file=- pyproject.toml | sed -n '/^atheris/,/^[^ ]/p' | sed '/^[b-z]/d' >requirements-fuzz.lock
	@! grep -nE '://|^-|file:' requirements.lock requirements-dev.lock requirements-fuzz.lock
