# What one types to work on fdsearch; `make help` lists it. Every target makes its own environment in .venv.
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check bench docs system clean wheelhouse drill-load drill-kill drill-parents \
	drill-hand-over drill-registry drill-promote drill-serve drill-airgap

PYTHON ?= python3
# A version alone, as in `make wheelhouse PYTHON=3.12`, is that of the box the wheels are for.
INTERPRETER := $(if $(filter 3.%,$(PYTHON)),python3,$(PYTHON))
BIN := .venv/bin
INSTALLED := .venv/.installed

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Made again when a dependency changes; an interrupted install leaves no stamp and is repeated.
$(INSTALLED): pyproject.toml
	@$(INTERPRETER) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; choose one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(INTERPRETER) -m venv .venv || { echo "try 'sudo make system' first" >&2; exit 7; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(INSTALLED) ## generate pictures and run the whole pipeline on them (minutes)
	$(BIN)/fdsearch demo

test: $(INSTALLED) ## run the tests and the examples in the documentation (minutes)
	$(BIN)/python -m pytest

test-slow: $(INSTALLED) ## run the tests that take long (all but those that need a GPU)
	$(BIN)/python -m pytest -m 'slow and not gpu'

check: $(INSTALLED) ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Those with a short form on generated pictures; the others need data or arguments.
BENCHMARKS := input first_pass epoch_overhead scaling complete_run versus_plain versus_keras_tuner \
	parts shortcuts selection_bias null escapes exports serving_footprint refit
bench: $(INSTALLED) ## run the short forms of the benchmarks; each prints one JSON line last
	@set -e; for name in $(BENCHMARKS); do echo "== $$name" >&2; $(BIN)/python "benchmarks/$$name.py" --quick; done

# A drill exits non-zero where a guarantee fails; its last line is the figure, as JSON.
DRILL = cd tests && PYTHONPATH=. ../$(BIN)/python -m drills.
drill-load: $(INSTALLED) ## 16,000 trials over 8 workers on both storages, beside bare Optuna (hours)
	$(DRILL)load

drill-kill: $(INSTALLED) ## 20 searches whose processes are killed at random (half an hour)
	$(DRILL)kill

drill-parents: $(INSTALLED) ## two parents on one PostgreSQL study, its server restarted twice (minutes)
	$(DRILL)two_parents

drill-promote: $(INSTALLED) ## 8 processes promote versions of one model 250 times each, at once (minutes)
	$(DRILL)promoters

drill-serve: $(INSTALLED) ## the service under 16 clients for a minute while its champion changes 20 times (minutes)
	$(DRILL)service

drill-registry: $(INSTALLED) ## writers of a registry are killed at 500 random moments (minutes)
	$(DRILL)registry_kill

drill-hand-over: $(INSTALLED) ## a real search with one worker and with two, and what its parent costs (half an hour)
	$(DRILL)hand_over

drill-airgap: $(INSTALLED) ## pack a wheelhouse and use it where there is no network: install, demo, pages, predict (minutes)
	$(DRILL)airgap

EXTRA ?= train,export,serve,sign
WEIGHTS ?= efficientnet_lite0
WHEELHOUSE ?= dist/wheelhouse
wheelhouse: $(INSTALLED) ## pack all that a box without a network needs (EXTRA=gpu, PYTHON=3.12, WEIGHTS="NAME NAME")
	$(BIN)/python packaging/wheelhouse.py $(WHEELHOUSE) --extra '$(EXTRA)' --weights $(WEIGHTS) \
		$(addprefix --python ,$(filter 3.%,$(PYTHON)))

docs: $(INSTALLED) ## write docs/commands.md from the help of the commands
	$(BIN)/typer fdsearch.cli.app utils docs --name fdsearch --title Commands --output docs/commands.md

system: ## install the Debian packages that a bare machine lacks (as root)
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
		chromium git make postgresql python3-venv strace

clean: ## remove the environment and what tools left behind
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
