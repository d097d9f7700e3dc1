# Two commands: `make demo` shows the main job, `make test` runs every check.
# Paths are relative throughout, so the checkout may lie under a path with spaces.

PYTHON ?= python3
PIP = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint types pytest clean

demo: .venv/installed
	.venv/bin/python -m flukeprint demo --out demo

test: lint types pytest

lint: .venv-dev/installed
	.venv-dev/bin/python -m ruff check .
	.venv-dev/bin/python -m ruff format --check .

types: .venv-dev/installed
	.venv-dev/bin/python -m mypy

pytest: .venv-dev/installed
	.venv-dev/bin/python -m pytest

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) --editable .
	touch .venv/installed

.venv-dev/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-dev
	.venv-dev/bin/python $(PIP) --editable '.[all]'
	touch .venv-dev/installed

clean:
	rm -rf .venv .venv-dev demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
