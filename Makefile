# The project's verbs. `make` alone explains them. Environments are made when a verb first needs them, and again only when
# what they are made from has changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# The Python that the environments are made with: the first of these that starts and is new enough.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find src -name __pycache__ -prune -o -print)

VERSION = $(shell sed -n 's/^version = "\([^"]*\)".*/\1/p' pyproject.toml)
BUILDER ?= docker build
BUILD_ARGS ?=
IMAGE_PREFIX ?=
IMAGE_TAG ?= $(VERSION)
BUILD_IMAGE = $(BUILDER) --build-arg VERSION=$(VERSION) \
	--build-arg REVISION=$(shell git rev-parse --verify --quiet HEAD || echo unknown) \
	--build-arg CREATED=$(shell git log -1 --format=%cI 2>/dev/null) $(BUILD_ARGS)
WORKER_IMAGE = $(IMAGE_PREFIX)qda-worker:$(IMAGE_TAG)
WARMER_IMAGE = $(IMAGE_PREFIX)qda-cache-warmer:$(IMAGE_TAG)

BENCHES ?= warm paraphrase_search

ENGINE ?= podman
COMPOSE ?= podman-compose
HUB_HOST ?= host.containers.internal

.PHONY: help demo test check fix proto pins images test-compose test-cluster test-faults soak bench verify-real clean

help: ## this list
	@printf 'make VERB  [PYTHON=python3.11]\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: .venv/.installed ## warm a cache from a hub, serve it, and analyse a German interview over gRPC
	$(if $(wildcard demo/__main__.py),,$(call absent,the demo))
	@.venv/bin/python -m demo

test: .venv/.installed .venv-floor/.installed ## unit and service tests; the client also as installed from the wheel, on the oldest packages
	.venv/bin/python -m pytest
	.venv-floor/bin/python -m pytest tests/client tests/base

check: .venv/.installed .venv-proto/.installed ## format, lint, types, who imports whom, and the proto; changes nothing
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	scripts/check-proto

fix: .venv/.installed ## what ruff can mend by itself
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

proto: .venv-proto/.installed ## write src/qda again from proto/, with the oldest tools that we support
	scripts/generate-stubs src

pins: ## resolve every dependency afresh and write constraints/pinned.txt
	scripts/pin '$(PYTHON)'

images: ## both container images; BUILDER takes docker build's arguments, BUILD_ARGS adds some, IMAGE_PREFIX and IMAGE_TAG name them
	$(if $(wildcard images/*/Dockerfile),,$(call absent,images/))
	$(BUILD_IMAGE) --file images/warmer/Dockerfile --tag $(WARMER_IMAGE) .
	$(BUILD_IMAGE) --file images/worker/Dockerfile --tag $(WORKER_IMAGE) .

test-compose: .venv/.installed ## the images, and the compose files with them; COMPOSE, ENGINE, BUILDER and the images' names as made
	$(if $(wildcard tests/compose),,$(call absent,tests/compose))
	COMPOSE='$(COMPOSE)' ENGINE='$(ENGINE)' BUILDER='$(BUILDER)' HUB_HOST='$(HUB_HOST)' \
		WORKER_IMAGE='$(WORKER_IMAGE)' WARMER_IMAGE='$(WARMER_IMAGE)' .venv/bin/python -m pytest tests/compose

test-cluster: .venv/.installed ## lint and render the chart, then install it on the cluster of the current KUBECONFIG; see docs/kubernetes.md
	helm lint --strict charts/qda-worker
	.venv/bin/python -m pytest tests/chart
	.venv/bin/python -m pytest tests/cluster

test-faults: .venv/.installed ## the long fault campaign against the warmer: kills, full disks, odd contents; as root on Linux, else it leaves out what it must mount
	.venv/bin/python -m pytest tests/faults

soak: .venv/.installed ## a million documents through one worker: their order, and its memory (half an hour)
	.venv/bin/python -m benchmarks.documents_soak --documents 1000000

bench: .venv/.installed ## what is fast, beside what a user would pick instead; BENCHES names some, see benchmarks/README.md
	$(if $(wildcard benchmarks/*.py),,$(call absent,benchmarks/))
	@for name in $(BENCHES); do echo "== $$name"; .venv/bin/python -m "benchmarks.$$name"; done

verify-real: .venv/.installed ## compare the four real models, where the cache (QDA_CACHE) holds them, with their published values
	.venv/bin/cache-check --load

clean: ## remove all that make made: environments, builds, caches, and the demo's models
	rm -rf .venv .venv-floor .venv-proto build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A verb whose part is not built ends with one line and, as make's errors do, with status 2.
absent = $(error make $@: $(1) does not exist yet)

# --- environments ----------------------------------------------------------------------------------------------------

.venv/.installed: pyproject.toml constraints/pinned.txt | .venv/bin/python
	@echo 'Installing the development environment into .venv (some minutes the first time)'
	@.venv/bin/python $(PIP_INSTALL) --constraint constraints/pinned.txt --editable '.[dev]'
	@.venv/bin/python -m compileall -q src # pip compiles what it installs, and an editable install is not compiled
	@touch $@

# The client's tests run against the wheel, not against src/: what a user installs is what is tested, and nothing but the
# base dependencies, at their oldest, is there.
.venv-floor/.installed: .venv-floor/.packages $(wildcard README.md) LICENSE $(SOURCES) | .venv/.installed
	@rm -rf build/wheel
	@.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/wheel .
	@.venv-floor/bin/python $(PIP_INSTALL) --constraint constraints/floor.txt --force-reinstall --no-deps build/wheel/*.whl
	@.venv-floor/bin/python -m pip check
	@touch $@

.venv-floor/.packages: pyproject.toml constraints/floor.txt | .venv-floor/bin/python
	@echo 'Installing the oldest supported packages into .venv-floor'
	@.venv-floor/bin/python $(PIP_INSTALL) --requirement constraints/floor.txt
	@touch $@

.venv-proto/.installed: constraints/proto.txt | .venv-proto/bin/python
	@echo 'Installing the stub generators into .venv-proto'
	@.venv-proto/bin/python $(PIP_INSTALL) --requirement constraints/proto.txt
	@touch $@

.venv/bin/python .venv-floor/bin/python .venv-proto/bin/python:
	@test -n '$(PYTHON)' || { echo 'No Python 3.11 or newer was found. Install one, or name it: make PYTHON=/path/to/python3.11' >&2; exit 2; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is not. Name another: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@'$(PYTHON)' -m venv $(patsubst %/bin/python,%,$@)
