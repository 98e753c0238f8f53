# Two commands do all the set-up: `make lab` and `make test`. Another Python: `make test PYTHON=python3.13`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LAB_FLAGS ?= $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test demo notebooks badges colab lock
.DELETE_ON_ERROR:

lab: $(VENV)/.ready
	$(BIN)/jupyter lab $(LAB_FLAGS) README.md

test: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

demo: $(VENV)/.ready
	$(BIN)/ndic demo demo.png

# Run the notebooks and keep what they show: all, or `make notebooks NOTEBOOKS=notebooks/01_topic.ipynb`.
notebooks: $(VENV)/.ready
	$(BIN)/python notebooks/build.py run $(NOTEBOOKS)

# Where the notebooks' Colab badges lead: `make badges REPO=owner/name`.
badges: $(VENV)/.ready
	$(BIN)/python notebooks/build.py badges $(REPO)

# Run the last commit's notebooks as Colab would, in a runtime of this PYTHON; by hand, it downloads some 3 GB.
colab: $(VENV)/.ready
	$(BIN)/python notebooks/colab.py --python $(PYTHON) $(NOTEBOOKS)

# requirements.lock names every package, so nothing is left to resolve; uv installs it in half a minute.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 10) and "Python 3.10 or later is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements.lock -e .
	touch $@

# Resolve anew, for all supported Pythons at once.
lock: $(VENV)/.ready
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.10 --all-extras --upgrade \
		--no-header --no-annotate --output-file requirements.lock
