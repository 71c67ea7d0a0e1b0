# The two commands: "make up" starts a meeting server on this machine, "make test" runs every test.

CARGO ?= cargo
NPM ?= npm
NPM_FLAGS := --no-audit --no-fund --loglevel=error
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Options for the server: make up ARGS="--https 9443"
ARGS ?=

.PHONY: help up build test check web lint deny unit fuzz siege bench sim storms mixed e2e e2e-media e2e-scale cuts deb deb-test clean
.NOTPARALLEL:

help:
	@echo 'make up      install what is missing, build, and start the server (ARGS="--https 9443" for options)'
	@echo 'make build   the same without starting: $(TARGET)/release/pontoon'
	@echo 'make test    install what the tests need and run every test'
	@echo 'make cuts    cuts of the network of up to five minutes, with real browsers; needs root'
	@echo 'make check   formatting, lints and rules only'
	@echo 'make fuzz    every fuzz target for ten minutes (FUZZ_SECONDS=60 for one)'
	@echo 'make bench   what forwarding and joining cost on this machine (FULL=1 measures longer); ends with one line of JSON'
	@echo 'make sim     the estimate over simulated paths: all tables, of which "make test" runs a part'
	@echo 'make e2e-media  what browsers get over narrow and lossy lines (needs root); ends with one line of JSON'
	@echo 'make e2e-scale  the reference installation from packages, and what people miss when its parts fail (needs root; FULL=1 measures longer); ends with one line of JSON'
	@echo 'make storms  simulated worlds in which everything fails at random (SEEDS=0..1000, or one seed)'
	@echo 'make mixed   a former version beside this one (FORMER=binary or revision; else the last tag)'
	@echo 'make deb     Debian packages: $(TARGET)/deb'
	@echo 'make deb-test  installs the packages in roots of their own and runs the reference installation there; needs root'
	@echo 'make siege   a server under attack for twenty minutes, while two meetings go on'

# Debian packages of a release build, in $(TARGET)/deb.
deb: build
	./scripts/install.sh deb
	./scripts/deb.sh $(TARGET)/release/pontoon

# The packages, of the tests' build, in machines made for it: installed by preseeding, run, upgraded, removed. Needs root.
deb-test: web
	./scripts/install.sh deb-test
	$(CARGO) build --locked --package pontoon
	./scripts/deb-test.sh $(TARGET)/debug/pontoon

up: build
	exec $(TARGET)/release/pontoon up $(ARGS)

build: web
	$(CARGO) build --release --locked --package pontoon

# The web client is part of the binary.
web: web/dist/index.html

web/node_modules/.package-lock.json: web/package-lock.json
	./scripts/install.sh build
	cd web && $(NPM) ci $(NPM_FLAGS)
	@touch $@

WEB_SOURCES := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' -not -path 'web/tests/*' 2> /dev/null)
web/dist/index.html: web/node_modules/.package-lock.json $(WEB_SOURCES)
	cd web && $(NPM) run --silent build
	@touch $@

# One build profile for all: the tests, and the binary that the browsers drive.
test:
	./scripts/install.sh test
	$(MAKE) web
	$(MAKE) check
	cd web && $(NPM) test --silent
	$(MAKE) unit
	FUZZ_SEED=1 ./scripts/fuzz.sh 4
	$(MAKE) e2e

check: web/node_modules/.package-lock.json
	cd web && $(NPM) run --silent check
	$(CARGO) fmt --all --check
	$(CARGO) xtask tidy
	$(MAKE) lint
	$(MAKE) deny

lint:
	$(CARGO) clippy --locked --workspace --all-targets --quiet -- --deny warnings

# Licences, bans and sources of all libraries. Advisories need the network: cargo deny check advisories.
deny:
	$(CARGO) deny --locked --log-level error check bans licenses sources

# The last line: no more instructions for a forwarded packet than were written down.
unit: web
	$(CARGO) test --locked --workspace --quiet --no-fail-fast
	$(CARGO) bench --locked --workspace --profile dev --quiet --bench instructions -- --check

FUZZ_SECONDS ?= 600
fuzz:
	./scripts/fuzz.sh $(FUZZ_SECONDS)

siege: web
	SIEGE_SECONDS=1200 $(CARGO) test --locked --workspace --test siege -- --nocapture

# Needs nothing of the web client.
bench:
	./scripts/bench.sh

# Tables over simulated paths, every row with its bounds.
sim:
	SIM=full $(CARGO) test --locked --workspace --test paths --test lines --test crowd -- --nocapture --test-threads 1

# Worlds in which everything fails at random; each seed is one course of events. Optimised, most take less than a second.
SEEDS ?= 0..1000
storms:
	SEEDS=$(SEEDS) $(CARGO) test --locked --release --workspace --test storms -- --nocapture

# A rolling upgrade from a former version, in a meeting.
mixed: web
	./scripts/mixed.sh "$(FORMER)"

# The tests' build has made the binary: another selection of packages would build most libraries again.
e2e: web
	$(CARGO) test --locked --workspace --quiet --no-run
	cd tests/e2e && $(NPM) ci $(NPM_FLAGS) && $(NPM) test --silent

# What browsers get over narrow, changing and lossy lines; the last line is one JSON object.
MEDIA ?= all
e2e-media: web
	$(CARGO) build --locked --package pontoon --package wire
	cd tests/e2e && $(NPM) ci $(NPM_FLAGS) && MEDIA="$(MEDIA)" node media.test.mjs

# The reference installation from packages, and what happens to people when parts of it fail; the last line is one JSON object.
e2e-scale: web
	./scripts/install.sh deb-test
	$(CARGO) build --locked --package pontoon
	cd tests/e2e && $(NPM) ci $(NPM_FLAGS) && SCALE=packages node scale.test.mjs

# Cuts of the network of all lengths, silent and told; the short ones of them are also in e2e.
CUTS ?= drop:5 drop:30 drop:60 drop:90 drop:300 link:5 link:30 link:60 link:90 link:300
cuts: web
	$(CARGO) build --locked --package pontoon
	cd tests/e2e && $(NPM) ci $(NPM_FLAGS) && CUTS="$(CUTS)" node --test --test-timeout=3600000 cuts.test.mjs

clean:
	$(CARGO) clean
	rm -rf web/dist web/node_modules tests/e2e/node_modules
