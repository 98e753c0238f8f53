# `make lab` and `make test` set everything up first. Another Python: `make test PYTHON=python3.13`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LAB_FLAGS ?= $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab check test demo notebooks book editions badges colab lock
.DELETE_ON_ERROR:

lab: $(VENV)/.ready
	$(BIN)/jupyter lab $(LAB_FLAGS) notebooks/00_start_here.ipynb

# Code style and the tests without the mark `slow` (see pyproject.toml): less than two minutes on two cores.
check: TESTS := -m "not slow"

# Code style and all tests.
check test: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest $(TESTS)

demo: $(VENV)/.ready
	$(BIN)/ndic demo demo.png

# Execute the notebooks and save their outputs: all, or `make notebooks NOTEBOOKS=notebooks/01_topic.ipynb`.
notebooks: $(VENV)/.ready
	$(BIN)/python notebooks/build.py run $(NOTEBOOKS)

# Build the web book in build/book from the committed notebooks and documents.
book: $(VENV)/.ready
	$(BIN)/python docs/book/book.py

# Write a student and an instructor edition of every notebook to build/editions.
editions: $(VENV)/.ready
	$(BIN)/python notebooks/editions.py

# Set the repository of the notebooks' Colab badges: `make badges REPO=owner/name`.
badges: $(VENV)/.ready
	$(BIN)/python notebooks/build.py badges $(REPO)

# Execute the last commit's notebooks in an imitated Colab runtime of this PYTHON; downloads about 3 GB.
colab: $(VENV)/.ready
	$(BIN)/python notebooks/colab.py --python $(PYTHON) $(NOTEBOOKS)

# requirements.lock names every package, so that uv resolves nothing and installs it in half a minute.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 10) and "Python 3.10 or later is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements.lock -e .
	touch $@

# Resolve requirements.lock again, for all supported Pythons.
lock: $(VENV)/.ready
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.10 --all-extras --upgrade \
		--no-header --no-annotate --output-file requirements.lock
