# Every target works from a fresh checkout: the first one run makes .venv from requirements.lock.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
ARGS ?=
SERVE ?=
KILLS ?= 2000
FUZZ_SECONDS ?= 3600

.DEFAULT_GOAL := help
.PHONY: help demo test chaos soak lint bench package warmup clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## run the demonstration (SERVE=1: keep serving afterwards)
	$(BIN)/tidegate demo $(if $(SERVE),--serve) $(ARGS)

test: $(STAMP) ## compile the kernels once, then run the tests (ARGS="-k name" goes to pytest)
	$(BIN)/tidegate warmup --capacity small
	$(BIN)/python -m pytest -n 4 --dist worksteal --reruns 1 --only-rerun TimeoutError -r fER -q $(ARGS)

chaos: $(STAMP) ## kill the gateway under load and see that it knows the truth after (KILLS=2000 times)
	KILLS=$(KILLS) $(BIN)/python -m pytest -q -m soak -o tmp_path_retention_policy=failed tests/chaos $(ARGS)

soak: $(STAMP) ## send broken messages to a running gateway for an hour (FUZZ_SECONDS=3600), then the long outages
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -q tests/end_to_end/test_wire_fuzz.py $(ARGS)
	$(BIN)/python -m pytest -q -m soak tests/end_to_end $(ARGS)

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy gateway tidegate_tools tools

bench: $(STAMP) ## run the benchmarks (ARGS go to tools.bench)
	$(BIN)/python -m tools.bench $(ARGS)

package: $(STAMP) ## build the wheel and the image's environment by the steps of the Dockerfile, and run the demo from it
	rm -rf build/image
	$(BIN)/python -m tools.build.image build/image

warmup: $(STAMP) ## compile the kernels into the cache (ARGS go to tidegate warmup)
	$(BIN)/tidegate warmup $(ARGS)

clean: ## remove build products and tool caches; .venv and compiled kernels stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find gateway tidegate_tools tools tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock requirements-uv.lock pyproject.toml
	@python=; if ! $(BIN)/python -c '$(USABLE)' 2>/dev/null; then \
	    for candidate in python3.11 python3.12 python3.13 python3.14 python3; do \
	        if $$candidate -c '$(USABLE)' 2>/dev/null; then python=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then \
	        echo "error: Python 3.11 or later with its venv module is needed, and none was found on PATH" >&2; exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$($$python --version)"; \
	    $$python -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "Installing the pinned packages into $(VENV): once for each change of the lock file"
	$(PIP) install -q --require-hashes --only-binary :all: -r requirements-uv.lock
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes --only-binary :all: -r requirements.lock || { \
	    echo "uv could not install them: it does not read pip's configuration. With pip, a minute or two:"; \
	    $(PIP) install --require-hashes --only-binary :all: -r requirements.lock; \
	}
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
