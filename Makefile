# porogauge: `make demo` and `make test` set up whatever they need.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMPS := build/stamps

# A Python without ensurepip cannot make the environment before system packages are there.
VENV_NEEDS := $(shell $(PYTHON) -c "import ensurepip, venv" 2>/dev/null || echo $(STAMPS)/tools)

.DEFAULT_GOAL := help
.PHONY: help setup setup-all image demo test soak bench fuzz lint format clean distclean

help:  ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup  ## run a roll with defects on the emulated board, live in the terminal
	@$(BIN)/porogauge demo $(ARGS)

test: setup lint  ## check style and run every test (about 8 minutes on 2 cores)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

soak: setup  ## long fault campaigns and 8 h of line time; can be interrupted, goes on
	@POROGAUGE_KILLS=$${POROGAUGE_KILLS:-200} $(BIN)/python -m pytest -q hil_tests/test_host_killed.py
	@POROGAUGE_CUTS=all $(BIN)/python -m pytest -q hil_tests/test_config_cuts.py \
	    hil_tests/test_journal_rp2040.py hil_tests/test_update.py
	@$(BIN)/porogauge bench soak --out build/soak $(ARGS)

bench: setup  ## count what the firmware costs on the emulated board, in cycles
	@$(BIN)/python firmware/tests/bench.py

fuzz: setup  ## feed a million inputs to every parser of board and host; may be interrupted
	@$(BIN)/python hil_tests/fuzz $(ARGS)

lint: $(STAMPS)/packages  ## check style only
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; exit 1; }

format: $(STAMPS)/packages  ## put the source into the house style
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

setup:  ## get everything the other targets need; quick when it is there
	@$(MAKE) --no-print-directory -j4 setup-all

setup-all: $(STAMPS)/packages $(STAMPS)/accelerator $(STAMPS)/page image

image: $(STAMPS)/tools  ## build the MicroPython images (RP2040 and 32-bit unix)
	@$(PYTHON) boards/image.py

clean:  ## delete what was made here
	@rm -rf build .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

distclean: clean  ## and the environment, and the cache of sources and images
	@rm -rf $(VENV) porogauge.egg-info "$${XDG_CACHE_HOME:-$$HOME/.cache}/porogauge"

# -- the steps of setup, each done once ----------------------------------------------------------

$(STAMPS)/python: Makefile
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	    echo "[set-up] $(PYTHON) is not Python 3.11 or later; name one: make PYTHON=python3.12 ..."; \
	    exit 1; }
	@mkdir -p $(@D) && touch $@

$(STAMPS)/tools: boards/builder/toolchain.py | $(STAMPS)/python
	@$(PYTHON) boards/image.py tools
	@touch $@

$(STAMPS)/packages: pyproject.toml | $(STAMPS)/python $(VENV_NEEDS)
	@echo "[set-up] Python packages into $(VENV), about 20 s"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --no-compile --editable '.[dev]'
	@touch $@

$(STAMPS)/accelerator: hil_tests/accelerate.py hil_tests/emulator_edits.py $(STAMPS)/packages $(STAMPS)/tools
	@$(BIN)/python hil_tests/accelerate.py
	@touch $@

# The page's chart library, and what its tests check accessibility with. Without npm, or offline,
# the page shows its numbers without curves.
$(STAMPS)/page: host/porogauge/page/package.json
	@mkdir -p $(@D) build/page && cp $< build/page/
	@if ! command -v npm >/dev/null; then \
	    echo "[set-up] npm is missing: 'porogauge serve' will show numbers without curves; install npm, then 'make setup'"; \
	elif npm install --prefix build/page --no-fund --no-audit --loglevel=error >build/page/npm.log 2>&1; then \
	    touch $@; \
	else \
	    echo "[set-up] npm could not get the page's chart library (build/page/npm.log): curves are missing until 'make setup' can"; \
	fi
