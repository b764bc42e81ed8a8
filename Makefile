# make demo: install and run the main job.  make test: install and run the tests.  make check: lint, types, imports.
# make test-all: the slow tests too.
.DELETE_ON_ERROR:
.PHONY: demo test test-all check setup lock

UV := $(or $(shell command -v uv),.tools/bin/uv)
export UV_PYTHON_DOWNLOADS = never
PYTHONS = '>=3.11,<3.14'
PYTEST_OPTIONS ?=
# a process per core, so that each needs one thread
PYTEST = OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses auto --dist loadfile

demo: setup
	.venv/bin/vidbench demo

test: setup
	$(PYTEST) $(PYTEST_OPTIONS)

test-all: setup
	$(PYTEST) -m "" $(PYTEST_OPTIONS)

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

setup: .venv/.installed

# the stamp is newer than lock and project only after a whole installation
.venv/.installed: requirements.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHONS) .venv
	$(UV) pip sync --quiet --require-hashes --python .venv requirements.lock
	$(UV) pip install --quiet --no-deps --python .venv --editable .
	@touch $@

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv

# versions and hashes for every platform, no addresses
lock: | $(UV)
	$(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra all --extra dev \
		--no-annotate --no-header --no-emit-index-url --upgrade --output-file requirements.lock pyproject.toml
