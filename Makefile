# Everything here works on a fresh machine with Python 3.11 or later and make; nothing else need be installed.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
CODE := downloader tests benchmarks examples

.PHONY: demo test test-transports check fmt lint type arch crash corpus bench bench-peers clean

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## run the whole pipeline against a local server
	$(BIN)/downloader demo

test: $(INSTALLED)  ## the test suite
	$(BIN)/python -m pytest -n auto --dist worksteal

test-transports: $(INSTALLED)  ## heavier: all that downloads, over each transport
	for transport in httpcore httptools; do \
		DOWNLOADER_DOWNLOAD__TRANSPORT=$$transport $(BIN)/python -m pytest -n auto tests/download tests/test_net.py tests/whole || exit 1; \
	done

check: $(INSTALLED) lint type arch test  ## what CI runs: format, lint, types, layers, tests

fmt: $(INSTALLED)
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lint: $(INSTALLED)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)

type: $(INSTALLED)
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

arch: $(INSTALLED)
	$(BIN)/lint-imports --no-cache

crash: $(INSTALLED)  ## heavier: kills real processes many times
	$(BIN)/python -m pytest -m crash

corpus: $(INSTALLED)  ## needs DOWNLOADER_CORPUS=FOLDER: every file in it gets a sensible outcome
	$(BIN)/python -m pytest -s tests/transform/test_corpus.py

bench: $(INSTALLED)  ## heavier: this program beside its peers, a table; BENCH='--write' or '--scale 0.1 web' or '--profile'
	$(BIN)/python -m benchmarks $(BENCH)

bench-peers: $(INSTALLED)  ## what `make bench` compares with and pip has; the others are looked for on the PATH
	$(PYTHON) -m venv .venv-bench/img2dataset
	.venv-bench/img2dataset/bin/python -m pip install --quiet --disable-pip-version-check img2dataset==1.47.0
	$(PYTHON) -m venv .venv-bench/reference
	.venv-bench/reference/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . pycurl py-spy

clean:
	rm -rf .venv .venv-bench demo-output build dist
