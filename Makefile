# The targets of this project; `make` without arguments lists them. Virtual environments are created when a target first needs
# them, and updated only when their sources change.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# The Python for the virtual environments: the first of these that starts and is new enough.
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

# Two processes share the tests, file by file: more would hold more copies of the models than a laptop's memory does.
TEST_PROCESSES ?= --numprocesses=2 --dist=loadfile

# Tests write thousands of small files, and the programs sync each of them: in memory that takes half the time. The /dev/shm
# of a container is often too small for it.
IN_MEMORY = $(shell [ -w /dev/shm ] && df -Pk /dev/shm | awk 'NR == 2 && $$4 > 4000000 {print "TMPDIR=/dev/shm"}')

# The tests on a cluster wait most of the time, so two processes share them. Each has a namespace, a hub and a
# release of its own. A test that cordons a node would keep the others' pods from starting: it runs after them.
CLUSTER_PROCESSES ?= --numprocesses=2 --dist=loadfile
CLUSTER_OPTIONS ?=
ALONE := tests/cluster/test_drain.py

# They pretend to be on Windows; tests/not_on.toml says which of all tests do not run there.
WINDOWS_TESTS := tests/unit/model_cache/test_windows_paths.py tests/unit/model_cache/test_places_windows.py \
	tests/unit/model_cache/test_file_io_rename.py tests/unit/cache_warmer/disk/test_name_limits.py \
	tests/unit/cache_warmer/gc/test_scan_case.py tests/unit/project/test_portability.py \
	tests/service/warmer/test_without_posix.py tests/service/warmer/test_link_free.py

TABLES ?=

ENVIRONMENTS ?=

ENGINE ?= podman
COMPOSE ?= podman-compose
HUB_HOST ?= host.containers.internal

DASHBOARD ?=

.PHONY: help demo demo-worker test test-examples check fix proto sync-client reference docs pins images test-compose test-cluster test-cluster-faults test-alerts test-openai-clients library-matrix test-windows test-faults test-rollouts soak bench bench-full bench-environments verify-real clean

help: ## list the targets
	@printf 'make TARGET  [PYTHON=python3.11]\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-19s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: .venv/.installed ## warm a cache from a hub, serve it, and analyze a German interview over gRPC
	$(if $(wildcard demo/__main__.py),,$(call absent,the demo))
	@.venv/bin/python -m demo

demo-worker: .venv/.installed ## serve the small models of the demo at 127.0.0.1:50051 and, by HTTP, 127.0.0.1:8080, until Ctrl-C
	@.venv/bin/python -m demo.serve --http-listen 127.0.0.1:8080

# What is in files does not depend on the versions of packages, so its tests run once.
test: .venv/.installed .venv-floor/.installed ## run unit and service tests; the client also from its wheel with the oldest packages
	$(IN_MEMORY) .venv/bin/python -m pytest $(TEST_PROCESSES)
	$(IN_MEMORY) .venv-floor/bin/python -m pytest $(TEST_PROCESSES) --ignore=tests/client/cli/test_output.py tests/client tests/base

# R takes 72 MB and half a minute to install, so CI does without it, and without PHP.
test-examples: .venv/.installed .venv-floor/.installed | examples/node/node_modules ## run the examples and the commands of the pages against a worker with small models; HEAVY=1 adds R and PHP
	.venv/bin/python -m pytest tests/examples $(if $(HEAVY),,--ignore=tests/examples/heavy)

library-matrix: .venv/.installed ## measure which versions of the libraries find the models, and write docs/libraries.md (half an hour); ENVIRONMENTS selects
	.venv/bin/python -m tests.library_matrix $(ENVIRONMENTS)

test-windows: .venv/.installed ## run, on any system, the tests of what is different on Windows: paths, names, no POSIX calls, no links
	.venv/bin/python -m pytest $(TEST_PROCESSES) $(WINDOWS_TESTS)

check: .venv/.installed .venv-proto/.installed docs ## check format, lint, types, import rules, the site and what is generated; changes no source
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python scripts/generate-sync-client --check
	.venv/bin/python scripts/generate-reference --check
	scripts/check-proto

fix: .venv/.installed ## apply the automatic fixes of ruff
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

proto: .venv-proto/.installed ## generate src/qda and the OpenAPI document from proto/, with the oldest supported tools
	scripts/generate-stubs src
	scripts/generate-openapi src/qda_worker/http/openapi/openapi.json

sync-client: .venv/.installed ## write the client's sync_client.py from its async_client.py
	.venv/bin/python scripts/generate-sync-client

reference: .venv/.installed .venv-proto/.installed ## write docs/reference from the programs' help and the proto
	.venv/bin/python scripts/generate-reference

docs: .venv-docs/.installed ## build the site of the documentation into build/site; any warning and any broken link is an error
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --clean

pins: ## resolve all dependencies and write constraints/pinned.txt
	scripts/pin '$(PYTHON)'

images: ## build both container images; BUILDER is the build command, BUILD_ARGS adds arguments, IMAGE_PREFIX and IMAGE_TAG set the names
	$(if $(wildcard images/*/Dockerfile),,$(call absent,images/))
	$(BUILD_IMAGE) --file images/warmer/Dockerfile --tag $(WARMER_IMAGE) .
	$(BUILD_IMAGE) --file images/worker/Dockerfile --tag $(WORKER_IMAGE) .

test-compose: .venv/.installed ## test the images and the compose files; COMPOSE, ENGINE, BUILDER, IMAGE_PREFIX and IMAGE_TAG as for make images
	$(if $(wildcard tests/compose),,$(call absent,tests/compose))
	COMPOSE='$(COMPOSE)' ENGINE='$(ENGINE)' BUILDER='$(BUILDER)' HUB_HOST='$(HUB_HOST)' \
		WORKER_IMAGE='$(WORKER_IMAGE)' WARMER_IMAGE='$(WARMER_IMAGE)' .venv/bin/python -m pytest tests/compose

test-cluster: .venv/.installed ## lint and render the chart, then test it on the cluster of KUBECONFIG; see docs/kubernetes.md
	helm lint --strict charts/qda-worker
	.venv/bin/python -m pytest $(TEST_PROCESSES) tests/chart
	.venv/bin/python -m pytest $(CLUSTER_PROCESSES) tests/cluster $(CLUSTER_OPTIONS) --ignore=$(ALONE)
	.venv/bin/python -m pytest $(ALONE)

test-cluster-faults: .venv/.installed ## run the long fault tests of the cluster tier on the cluster of KUBECONFIG (half an hour); see CONTRIBUTING.md
	.venv/bin/python -m pytest tests/cluster/faults

test-alerts: .venv/.installed ## cause each alert on the cluster of KUBECONFIG with a real Prometheus, and scale; DASHBOARD=FILE.svg draws the dashboard
	QDA_TEST_DASHBOARD_SVG='$(DASHBOARD)' .venv/bin/python -m pytest tests/cluster/campaign

test-openai-clients: .venv/.installed .venv-openai/.installed ## test the embeddings API with LangChain and Haystack, in an environment of their own
	.venv/bin/python -m pytest tests/embedding_clients

test-faults: .venv/.installed ## run the long fault tests of the warmer: kills, full disks, invalid content; without root on Linux, tests that mount are skipped
	.venv/bin/python -m pytest tests/faults

test-rollouts: .venv/.installed ## make 50,000 calls on the cluster of KUBECONFIG while workers are deleted, killed, evicted and rolled out
	.venv/bin/python -m benchmarks.rollouts

soak: .venv/.installed ## send a million documents through one worker and check order and memory (half an hour)
	.venv/bin/python -m benchmarks.documents_soak --documents 1000000

bench: .venv/.installed ## compare the performance with peers in about 5 minutes, once their environments are there; TABLES selects tables
	.venv/bin/python -m benchmarks prepare
	.venv/bin/python -m benchmarks run --quick $(if $(TABLES),--table $(TABLES))
	.venv/bin/python -m benchmarks page

bench-full: .venv/.installed ## the same with all models, peers and sizes (hours); continues where the last run of the day was interrupted
	.venv/bin/python -m benchmarks prepare
	.venv/bin/python -m benchmarks run --resume $(if $(TABLES),--table $(TABLES))
	.venv/bin/python -m benchmarks page

bench-environments: .venv/.installed ## make the environments of the peers, also those that could not be made before
	.venv/bin/python -m benchmarks prepare --retry

verify-real: .venv/.installed ## compare the four real models in the cache (QDA_CACHE) with their published values
	.venv/bin/cache-check --load

clean: ## remove everything that make created: environments, builds, caches and demo models
	rm -rf .venv .venv-docs .venv-floor .venv-openai .venv-proto examples/node/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A target whose files are missing ends with a one-line error and make's exit code 2.
absent = $(error make $@: $(1) does not exist yet)

# --- environments ----------------------------------------------------------------------------------------------------

.venv/.installed: pyproject.toml constraints/pinned.txt | .venv/bin/python
	@echo 'Installing the development environment into .venv (some minutes the first time)'
	@.venv/bin/python $(PIP_INSTALL) --constraint constraints/pinned.txt --editable '.[dev]'
	@.venv/bin/python -m compileall -q src # pip does not compile an editable installation
	@touch $@

# The client's tests run against the wheel, as users install it, with only the base dependencies in their oldest supported
# versions.
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

.venv-docs/.installed: constraints/docs.txt | .venv-docs/bin/python
	@echo 'Installing MkDocs into .venv-docs'
	@.venv-docs/bin/python $(PIP_INSTALL) --requirement constraints/docs.txt
	@touch $@

.venv-openai/.installed: constraints/openai-clients.txt | .venv-openai/bin/python
	@echo 'Installing LangChain and Haystack into .venv-openai'
	@.venv-openai/bin/python $(PIP_INSTALL) --requirement constraints/openai-clients.txt
	@touch $@

# Without npm the test of the example is skipped, which fails in CI.
examples/node/node_modules:
	@if command -v npm >/dev/null; then npm ci --prefix examples/node --ignore-scripts --no-audit --no-fund --loglevel error; fi

.venv/bin/python .venv-docs/bin/python .venv-floor/bin/python .venv-openai/bin/python .venv-proto/bin/python:
	@test -n '$(PYTHON)' || { echo 'No Python 3.11 or newer was found. Install one, or set its path: make PYTHON=/path/to/python3.11' >&2; exit 2; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is required, but $(PYTHON) is older. Set another one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@'$(PYTHON)' -m venv $(patsubst %/bin/python,%,$@)
