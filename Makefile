# Every target sets up what it needs: `make test` works as the first command on a bare Python 3.11.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -qq
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	--quiet pyproject.toml requirements/build.in

.PHONY: demo test check fast slow bench wheel lock clean

demo: .venv/run.stamp  ## a federation of synthetic hospitals, from nothing to its report
	test -f data/phantom/vendor-d/cases.csv || $(BIN)/crisp-client phantom cardiac data/phantom
	$(BIN)/crisp example > demo.toml
	if test -f runs/demo/study.json; then $(BIN)/crisp resume runs/demo; \
	else $(BIN)/crisp simulate demo.toml --run runs/demo; fi

test: check  ## everything that must hold: lint, types, layers, every test that needs no GPU
	$(BIN)/pytest -n auto -m "not gpu and not long"

fast: .venv/dev.stamp  ## the tests that take a second at most
	$(BIN)/pytest

check: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

slow: .venv/dev.stamp  ## the others: kills, full disks, browsers, real federations of minutes
	$(BIN)/pytest -m "(slow or flower or data or long) and not gpu"

bench: .venv/dev.stamp
	$(BIN)/python -m benchmarks.hd95_speed
	$(BIN)/python -m benchmarks.step_cost

wheel: .venv/dev.stamp
	$(BIN)/hatchling build --target wheel --directory dist

lock: .venv/dev.stamp  ## keeps the versions that still fit; `make lock UPGRADE=--upgrade` does not
	$(COMPILE) $(UPGRADE) --all-extras --output-file requirements/dev.txt
	$(COMPILE) --extra smp --extra simulation --constraint requirements/dev.txt \
		--output-file requirements/run.txt

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/run.stamp: requirements/run.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(INSTALL) --require-hashes --requirement requirements/run.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev.stamp: .venv/run.stamp requirements/dev.txt
	$(INSTALL) --require-hashes --requirement requirements/dev.txt
	touch $@
