# make test      everything that has to hold: style, types, floors, the tests on the other Pythons and on this one
# make demo      Population Based Training of a small network on handwritten digits, with a report
# make bench     the commands that measure warren
# make lint      style, types and floors only;  make unit: the tests on this Python only
# make format    mend the style
# make clean     remove what was built, the virtual environments too
#
# All of it happens in .venv, which is made where it is missing and brought up to date where pyproject.toml changed.

# The versions besides .venv's own on which the tests run, the oldest supported first; none: make test OTHER_PYTHONS=
OTHER_PYTHONS ?= 3.10 3.13
# Test processes at once: one more than two cores, since many tests wait for processes of their own.
JOBS ?= 3
export JOBS
# Small matrices multiplied by all cores in several test processes at once wait for each other.
export OPENBLAS_NUM_THREADS ?= 1

BIN := .venv/bin
CANDIDATES := python3.11 python3 python3.12 python3.13 python3.10

.NOTPARALLEL:
.PHONY: test lint unit others demo bench format clean environment digits

test: lint others unit

lint: environment
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "some files are not formatted: make format" >&2; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

others: environment
	@tools/other_pythons.sh $(OTHER_PYTHONS)

unit: environment
	@$(BIN)/python -m pytest -n $(JOBS) </dev/null

demo: digits
	@$(BIN)/warren demo digits

bench: environment
	@$(BIN)/python tools/list_benchmarks.py

format: environment
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

clean:
	rm -rf .venv .venv-* build dist runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make PYTHON=... chooses the interpreter that .venv is made with.
ifeq ($(origin PYTHON),command line)
FIND = echo $(PYTHON)
else
FIND = tools/find_python.sh $(CANDIDATES)
endif

environment digits:
	@python=$$($(FIND)) || { \
	    echo "warren: no Python 3.10 or newer with venv and ensurepip is on the path" \
	         "(tried: $(CANDIDATES); on Debian the package python3-venv may be missing)" >&2; exit 1; }; \
	tools/environment.sh .venv "$$python" $(if $(filter digits,$@),digits,dev,zoo,test-jax)
