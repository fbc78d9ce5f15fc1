# Everything here works on a fresh machine with Python 3.11 or later and make; nothing else need be installed.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test check fmt lint type arch crash corpus clean

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## run the whole pipeline against a local server
	$(BIN)/downloader demo

test: $(INSTALLED)  ## the test suite
	$(BIN)/python -m pytest

check: $(INSTALLED) lint type arch test  ## what CI runs: format, lint, types, layers, tests

fmt: $(INSTALLED)
	$(BIN)/ruff format downloader tests
	$(BIN)/ruff check --fix downloader tests

lint: $(INSTALLED)
	$(BIN)/ruff format --check downloader tests
	$(BIN)/ruff check downloader tests

type: $(INSTALLED)
	$(BIN)/mypy

arch: $(INSTALLED)
	$(BIN)/lint-imports --no-cache

crash: $(INSTALLED)  ## heavier: kills real processes many times
	$(BIN)/python -m pytest -m crash

corpus: $(INSTALLED)  ## needs DOWNLOADER_CORPUS=FOLDER: every file in it gets a sensible outcome
	$(BIN)/python -m pytest -s tests/transform/test_corpus.py

clean:
	rm -rf .venv demo-output build dist
