# Everything here works on a fresh machine with Python 3.11 or later and make; nothing else needs to be installed.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
CODE := downloader tests benchmarks examples
PYTEST := -m pytest -n auto --dist worksteal
export COVERAGE_FILE := $(CURDIR)/.coverage-data/data

.DEFAULT_GOAL := help
.PHONY: help setup hooks demo test check fmt format-check lint type arch coverage matrix constraints \
	test-transports test-shards test-readers test-stores test-img2dataset test-browser crash corpus bench \
	bench-coordinator bench-peers clean

help:  ## list the targets
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  %-16s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(INSTALLED)  ## create .venv with the package and every development tool

hooks: $(INSTALLED)  ## run the checks of .pre-commit-config.yaml before each commit
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pre-commit
	$(BIN)/pre-commit install

demo: $(INSTALLED)  ## run the whole pipeline against a local server
	$(BIN)/downloader demo

test: $(INSTALLED)  ## run the test suite; TESTS='tests/model -k states' runs a part
	$(BIN)/python $(PYTEST) $(TESTS)

check: format-check lint type arch coverage  ## what CI runs: format, lint, types, layers, tests with coverage

fmt: $(INSTALLED)  ## format the code and fix what ruff can fix
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

format-check: $(INSTALLED)  ## check the formatting
	$(BIN)/ruff format --check $(CODE)

lint: $(INSTALLED)  ## lint with every rule of ruff; exceptions and their reasons are in pyproject.toml
	$(BIN)/ruff check $(CODE)

type: $(INSTALLED)  ## check types: mypy everywhere, and pyright for the public API
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

arch: $(INSTALLED)  ## check which module may import which
	$(BIN)/lint-imports --no-cache

coverage: $(INSTALLED)  ## run the test suite, measure branch coverage of all processes, and check the floor
	rm -rf .coverage-data && mkdir .coverage-data
	$(BIN)/coverage run $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

matrix:  ## run the test suite on every Python from 3.11 on that this machine has; TESTS as above
	.ci/matrix $(TESTS)

constraints:  ## renew constraints.txt with the newest versions that pyproject.toml allows
	rm -rf .venv-constraints
	$(PYTHON) -m venv .venv-constraints
	.venv-constraints/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	.venv-constraints/bin/python -m pip freeze --exclude-editable > constraints.txt
	rm -rf .venv-constraints

test-transports: $(INSTALLED)  ## slow: everything that downloads, over each HTTP implementation
	for transport in httpcore httptools; do \
		DOWNLOADER_DOWNLOAD__TRANSPORT=$$transport $(BIN)/python $(PYTEST) \
			tests/download tests/http tests/whole || exit 1; \
	done

test-shards: $(INSTALLED)  ## slow: everything that downloads or runs the command, in two shards
	DOWNLOADER_CONCURRENCY__SHARDS=2 $(BIN)/python $(PYTEST) tests/download tests/whole tests/test_durability.py

test-readers:  ## slow: datasets as webdataset, datasets, duckdb and polars read them; installs 1 GB
	$(PYTHON) -m venv .venv-readers
	.venv-readers/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,readers]'
	HF_HUB_OFFLINE=1 HF_HOME=$(CURDIR)/.venv-readers/cache .venv-readers/bin/python -m pytest -m readers

crash: $(INSTALLED)  ## slow: kill real processes many times, with 1, 2 and 4 shards
	for shards in 1 2 4; do \
		DOWNLOADER_CONCURRENCY__SHARDS=$$shards $(BIN)/python -m pytest -m crash || exit 1; \
	done

test-img2dataset: $(INSTALLED)  ## slow: 2,000 rows as img2dataset makes them; beside it where `make bench-peers` has installed it
	$(BIN)/python -m pytest -m img2dataset tests/peers

test-stores:  ## slow: object stores against a real S3-compatible server, with faults and kills
	$(PYTHON) -m venv .venv-stores
	.venv-stores/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[stores]' \
		pytest hypothesis pytest-httpserver jsonschema
	.venv-stores/bin/python -m pytest -m stores tests/storage

test-browser: $(INSTALLED)  ## open reports in Chromium, which must be installed (apt-get install chromium)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,browser]'
	$(BIN)/python -m pytest -m browser tests/browser

corpus: $(INSTALLED)  ## every file in DOWNLOADER_CORPUS=FOLDER must get a sensible outcome
	$(BIN)/python -m pytest -s tests/transform/test_corpus.py

bench: $(INSTALLED)  ## slow: compare with other programs; BENCH='--write', '--scale 0.1 web' or '--profile'
	$(BIN)/python -m pytest benchmarks  # that they count and compare rightly
	$(BIN)/python -m benchmarks $(BENCH)

bench-coordinator: $(INSTALLED)  ## slow: how many items a second the coordinator of shards can lease and record
	$(BIN)/python -m benchmarks.coordinator $(BENCH)

bench-peers: $(INSTALLED)  ## install what `make bench` compares with and pip has; the others are found on the PATH
	$(PYTHON) -m venv .venv-bench/img2dataset
	.venv-bench/img2dataset/bin/python -m pip install --quiet --disable-pip-version-check img2dataset==1.47.0
	$(PYTHON) -m venv .venv-bench/reference
	.venv-bench/reference/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . pycurl py-spy

clean:  ## remove everything that the other targets create
	rm -rf .venv .venv-bench .venv-constraints .venv-matrix .venv-readers .venv-stores .coverage-data demo-output build dist
