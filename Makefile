# Two commands for a new user, each needing only python3 (3.11 or newer, with venv) and make:
#   make conformance   the conformance suite against the emulated gateway
#   make test          the project's own tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

BASE_IMAGE ?= python:3.12-slim
IMAGE      ?= kong-metering-gateway

.PHONY: conformance self-check test check bench docs wheel image base-image clean

conformance: $(STAMP)
	$(BIN)/kong-metering conformance

# Does the suite notice a broken gateway? Each known defect is planted in the emulator in turn.
self-check: $(STAMP)
	$(BIN)/kong-metering conformance --self-check

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(STAMP)
	$(BIN)/python -m loadtests.benchmarks

docs: $(STAMP)
	$(BIN)/python -m harness.plugin_config.handbook docs/config.md

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

# The emulated gateway as a container image, for where Kong's is used.
image:
	docker build --target gateway --build-arg BASE_IMAGE=$(BASE_IMAGE) --tag $(IMAGE) .

# Where no registry can be reached: a base made of this machine's Python. make image BASE_IMAGE=$$(make -s base-image)
base-image: $(STAMP)
	@$(BIN)/python tests/base_image.py

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "python3 is %d.%d: 3.11 or newer is needed; set PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "python3 lacks venv: install your system's python3-venv package" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dist build reports
