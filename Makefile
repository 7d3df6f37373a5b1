# Everything a fresh machine needs: Python 3.10 or newer with pip and venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What is installed is compiled when it is first imported, because compiling all of it takes a minute, most of it for
# what nobody imports; so Python must be allowed to keep that, whatever the machine's settings say.
export PYTHONDONTWRITEBYTECODE :=

# Tests that say most of the versions that they run with; those of figures need more than the package does.
FAST := tests/sets tests/overlap/test_overlap.py tests/test_checkpoints.py tests/tracking/test_autolog.py tests/models
VERSIONS := $(FAST) tests/figures

.PHONY: help demo demo-server test test-shared soak test-edges test-oldest test-newest test-python test-peer \
	fuzz audit lint bench bench-full bench-scale gallery docs release-check clean

help:  ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(VENV)/.installed  ## Train six small GRADIENDs, log them, compare them, say how to open the UI
	$(BIN)/python examples/quickstart.py

demo-server: $(VENV)/.installed  ## Start PostgreSQL, S3 and an MLflow server with accounts, use them, keep them until Ctrl-C
	PYTHONPATH=examples $(BIN)/python -m shared_server $(DEMO_OPTIONS)

test: $(VENV)/.installed  ## Run all tests, or those that TESTS selects: TESTS='-m "not long"' takes a quarter less
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(TESTS)

test-shared: $(VENV)/.installed  ## Run all tests of PostgreSQL, S3 and accounts
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/shared_server $(TESTS)

soak: $(VENV)/.installed  ## Train 40 at once for SOAK_SECONDS (600) while network, database and object store fail
	PYTHONPATH=examples OMP_NUM_THREADS=1 $(BIN)/python -m tests.support.soak

test-oldest:  ## Run VERSIONS tests (or TESTS=...) with the oldest versions that pyproject.toml allows, in an environment of its own
	$(call environment,oldest,--resolution lowest-direct)

test-newest:  ## Run VERSIONS tests (or TESTS=...) with the newest versions that pyproject.toml allows, in an environment of its own
	$(call environment,newest,--upgrade)

test-python:  ## Run VERSIONS tests (or TESTS=...) with the versions of constraints.txt and with PYTHON, in an environment of its own
	$(call environment,python-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'),--constraint constraints.txt)

test-edges: $(VENV)/.installed  ## Run a few tests with the oldest and the newest of all but torch, laid over the environment
	$(BIN)/python -m tests.support.edges

# An environment with versions of its own; what its tests say is kept for docs/compatibility.md.
define environment
	$(PYTHON) -m venv $(VENV)/$(1)
	$(VENV)/$(1)/bin/python -m pip install --quiet uv
	$(VENV)/$(1)/bin/uv pip install --quiet --python $(VENV)/$(1)/bin/python $(2) --editable ".[dev]"
	mkdir -p build
	OMP_NUM_THREADS=1 $(VENV)/$(1)/bin/python -m pytest --junitxml=build/$(1).xml $(if $(TESTS),$(TESTS),$(VERSIONS) -m "not long"); \
		failed=$$?; $(VENV)/$(1)/bin/python docs/make_compatibility.py record $(1) build/$(1).xml; exit $$failed
endef

test-peer: $(VENV)/.installed  ## Run gradiend's own tests (or PEER_TESTS) plain and tracked, and compare the two test by test
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.peer $(PEER_TESTS)

fuzz: $(VENV)/.installed  ## Feed every reader of foreign data with FUZZ_RUNS mutated inputs each (1,000,000 by default)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[fuzz]"
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz $(if $(FUZZ_RUNS),--runs $(FUZZ_RUNS)) $(FUZZ_TARGETS)

audit:  ## Ask PyPI for known vulnerabilities of the versions in constraints.txt; fails if it cannot be asked
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet pip-audit
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

lint: $(VENV)/.installed  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed  ## Measure speed and memory against gradiend, MLflow and the machine's limit
	$(BIN)/python -m benchmarks --quick

bench-full: $(VENV)/.installed  ## The same at true sizes, and the curves of docs/scale.md; half an hour, 10 GB of disk
	$(BIN)/python -m benchmarks

bench-scale: $(VENV)/.installed  ## Compare each two of RUNS (100,000) synthetic runs on two processes, killed and resumed; 10 GB of disk
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.scale --runs $(or $(RUNS),100000)

gallery: $(VENV)/.installed  ## Draw docs/gallery.md anew; needs chromium
	$(BIN)/python docs/make_gallery.py --ui

docs: $(VENV)/.installed  ## Build the pages in docs/ and the reference of every public name as a site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --clean

release-check:  ## Build the package, check it, install it in an empty environment and run the tests that need no repository
	rm -rf build/dist build/release build/outside
	$(PYTHON) -m venv build/release
	build/release/bin/python -m pip install --quiet build twine
	build/release/bin/python -m build --quiet --outdir build/dist .
	build/release/bin/twine check --strict build/dist/*
	$(PYTHON) -m venv --clear build/release
	build/release/bin/python -m pip install --quiet --constraint constraints.txt build/dist/*.whl
	cd build && release/bin/gradiend-mlflow --help > /dev/null
	build/release/bin/python -m pip install --quiet --constraint constraints.txt pytest pytest-timeout hypothesis
	cd build && release/bin/python -m pytest -q -p no:cacheprovider --pyargs gradiend_mlflow --doctest-modules
	mkdir build/outside && cp -r tests examples docs pyproject.toml build/outside
	cd build/outside && ../release/bin/python -m pytest -q -p no:cacheprovider -m "not long" $(FAST)
	$(PYTHON) docs/check_release.py

clean:  ## Remove the environment and what the demo made
	rm -rf $(VENV) demo
