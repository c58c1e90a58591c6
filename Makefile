# Everything one does with this repository. `make` alone lists it.

.DEFAULT_GOAL := help
# One static binary each, and tests of what is shipped. The race detector alone needs cgo.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -buildvcs=false

DEMO_FLAGS ?=
ROUNDS ?= 1
DEPTH ?= 2
BENCH ?= .
BENCH_ROUNDS ?= 5

# `make test` leaves to `make torture` what that runs anyway: servers that die, also under the race detector, and the race detector's
# runs of the engines' own suites and of whole moves; the model has all their goroutines. Nothing of ours is in the other packages' tests that
# the race detector passes over: they have no goroutines, or watch other processes.
DEEP := ./migrations/sqlite ./migrations/postgres ./migrations/mysql ./internal/outage ./internal/rehearse ./internal/e2e
TESTS = $(or $(shell go list ./... 2>/dev/null | grep -vE '/internal/outage$$'),./...)
RACE = $(or $(shell go list ./... 2>/dev/null | grep -vE '/(internal/(lint|testsum|protocol|demo|guides|invariant|localdb|engines|outage|rehearse|e2e)|migrations/(sqlite|postgres|mysql))$$'),./...)

# Packages with tests that `make torture` runs. Such a test is named TestTorture… and stands in a file
# with the line "//go:build torture".
TORTURE = $(shell grep -rl --include='*_test.go' '^func TestTorture' . | xargs -r -n 1 dirname | sort -u)

TESTSUM := go run ./internal/testsum

# The Chinook databases, for the test on real input.
CHINOOK := $(shell cd "$(CURDIR)/../shared/data/chinook" 2>/dev/null && pwd)
ifneq ($(CHINOOK),)
export STRANGLER_CHINOOK := $(CHINOOK)
endif
ifeq ($(or $(STRANGLER_CHINOOK),$(CI)),)
LEFT_OUT := -skip ^TestChinook
endif

# The tests' servers and files are in memory where the machine has enough of it and lets programs run there: on a slow disk they take
# half the time. Nothing is lost by that: what a killed process has written is there in both. What Go builds stays on the disk.
MEMORY := $(shell d=/dev/shm; [ -z "$$TMPDIR" ] && [ -w $$d ] && [ "$$(df -Pk $$d | awk 'END { print $$4 }')" -gt 8000000 ] && \
	[ "$$(awk '/^MemAvailable:/ { print $$2 }' /proc/meminfo)" -gt 12000000 ] && \
	f=$$(mktemp $$d/strangler-XXXXXX) && { echo "#!/bin/sh" >$$f && chmod +x $$f && $$f && echo $$d; rm -f $$f; })
ifneq ($(MEMORY),)
test race torture: export TMPDIR := $(MEMORY)
test race torture: export GOTMPDIR := /tmp
endif

.PHONY: help build demo test race torture bench bench-split bench-proxy h2spec fuzz lint fmt compiler postgres mariadb guides chinook

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

build: ## Build the three programs into bin/
	@mkdir -p bin
	go build -trimpath -o bin/strangler ./cmd/strangler
	go build -trimpath -o bin/legacy-monolith ./legacy-monolith
	go build -trimpath -o bin/delivery ./extracted/delivery

demo: build ## Move a capability out of a running monolith, back, and out again (DEMO_FLAGS="…")
	bin/strangler demo $(DEMO_FLAGS)

test: compiler postgres mariadb guides chinook ## Run all checks and tests, the race detector last
	@$(TESTSUM) \
		'vet: go vet ./...' \
		'format: gofmt -l -e .' \
		'import rules: go test -count=1 -run ^TestImport ./internal/lint' \
		'tests: go test -count=1 -timeout 40m $(LEFT_OUT) $(TESTS)' \
		'race detector: env CGO_ENABLED=1 go test -race -count=1 -timeout 40m $(LEFT_OUT) $(RACE)'

race: compiler postgres mariadb chinook ## Run the tests under the race detector
	@$(TESTSUM) 'race detector: env CGO_ENABLED=1 go test -race -count=1 -timeout 40m $(LEFT_OUT) $(RACE)'

torture: compiler postgres mariadb chinook ## Run the kill, fault, model and soak tests deeper (ROUNDS=n, DEPTH=0..3 of the model)
	@STRANGLER_ROUNDS=$(ROUNDS) STRANGLER_PROTOCOL_DEPTH=$(DEPTH) $(TESTSUM) \
		'model: go test -count=1 -timeout 40m -run ^TestProtocol$$ ./internal/protocol' \
		'capture by the servers own logs: env STRANGLER_CAPTURE=logical go test -count=1 -timeout 30m ./internal/outage ./internal/model' \
		'kills over the servers own logs: env STRANGLER_CAPTURE=logical go test -count=1 -timeout 30m -run Test(Kills|Sleeper|UpstreamsDie|Repair|MariaDBServersCrash|CheckOnTheWay)/(postgres|mysql) ./internal/e2e' \
		'kills with the proxys other engine: env STRANGLER_ENGINE=nethttp go test -count=1 -timeout 20m -run Test(Kills|Sleeper|UpstreamsDie)/sqlite ./internal/e2e' \
		'engines, outages and moves under the race detector: env CGO_ENABLED=1 go test -race -count=1 -timeout 30m $(LEFT_OUT) $(DEEP)' \
		$(if $(TORTURE),'torture: go test -tags torture -count=1 -timeout 24h -run ^TestTorture $(TORTURE)')

bench: ## Run the benchmarks (BENCH=regexp)
	go test -run '^$$' -bench '$(BENCH)' -benchmem $$(go list ./... | grep -v /internal/bench$$)

bench-split: postgres ## Measure a split beside what people use otherwise (BENCH=regexp, BENCH_ROUNDS=n; see docs/FIGURES.md)
	STRANGLER_BENCH_ROUNDS=$(BENCH_ROUNDS) go test -run '^$$' -bench '$(BENCH)' -skip '^BenchmarkProxy' -benchtime 1x -timeout 0 ./internal/bench

bench-proxy: ## Measure the proxy beside nginx and HAProxy (BENCH_ROUNDS=n; see docs/FIGURES-PROXY.md)
	STRANGLER_BENCH_ROUNDS=$(BENCH_ROUNDS) STRANGLER_BENCH_JSON=$${STRANGLER_BENCH_JSON:-bench-proxy.json} go test -run '^$$' -bench '^BenchmarkProxy' -benchtime 1x -timeout 0 ./internal/bench

h2spec: ## Run h2spec against the proxy, beside Go's own server
	GOBIN=$(CURDIR)/bin go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
	go test -tags h2spec -count=1 -v -run '^TestH2Spec$$' ./proxy

FUZZED := ./proxy/h1:FuzzRequest ./proxy/h1:FuzzResponse ./proxy/h1:FuzzChunked ./proxy/h1:FuzzProxyHeader ./proxy:FuzzRouter ./proxy:FuzzTarget
FUZZ_TIME ?= 10m

fuzz: ## Fuzz what reads a client's bytes, each target for FUZZ_TIME
	@for f in $(FUZZED); do echo "$$f"; go test -run '^$$' -fuzz "^$${f##*:}$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 1s "$${f%%:*}" || exit 1; done

lint: ## Vet, format check, import rules, documents
	@$(TESTSUM) 'vet: go vet ./...' 'format: gofmt -l -e .' 'rules and documents: go test -count=1 ./internal/lint'

fmt: ## Format the Go files
	gofmt -w .

# What the tests need is installed where that may be done; otherwise one line says what is missing.
APT = as_root() { if [ "$$(id -u)" = 0 ]; then "$$@"; else sudo -n "$$@"; fi </dev/null >/dev/null 2>&1; }; \
	install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$$@"; }; \
	bring() { install "$$@" || { as_root apt-get update && install "$$@"; } || true; }; \
	may_install() { command -v apt-get >/dev/null && as_root true; }

# The race detector needs a C compiler.
compiler:
	@works() { printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | "$$(go env CC)" -x c -o /dev/null - 2>/dev/null; }; \
	$(APT); \
	if works; then exit 0; fi; \
	if may_install; then \
		echo 'installing gcc and libc6-dev for the race detector'; \
		bring gcc libc6-dev; \
	fi; \
	if ! works; then echo 'the race detector needs a C compiler: install gcc and libc6-dev, then run make again' >&2; exit 1; fi

# The tests on PostgreSQL need its programs, and run servers of their own. Told so beforehand, the package makes no
# system cluster, and so starts none; where a setting made by somebody else would have it start one, nothing is done.
CLUSTERS := /etc/postgresql-common/createcluster.conf
postgres:
	@works() { for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
			"$$(pg_config --bindir 2>/dev/null)" "$$(dirname "$$(realpath "$$(command -v postgres)" 2>/dev/null)" 2>/dev/null)"; do \
		if [ -x "$$bin/initdb" ] && [ -x "$$bin/postgres" ]; then return 0; fi; done; return 1; }; \
	$(APT); \
	without_cluster() { as_root sh -c 'test -e $(CLUSTERS) || { mkdir -p $(dir $(CLUSTERS)) && echo "create_main_cluster = false" >$(CLUSTERS); }' && \
		grep -qs '^create_main_cluster *= *false' $(CLUSTERS); }; \
	if works; then exit 0; fi; \
	if may_install && without_cluster; then \
		echo 'installing postgresql for the tests, without a system cluster'; \
		bring postgresql; \
	fi; \
	if ! works; then echo 'the tests on PostgreSQL need its programs: install postgresql ("create_main_cluster = false" in $(CLUSTERS) keeps it from starting a server), then run make again' >&2; exit 1; fi

# The tests on MariaDB need its programs, and run servers of their own. These packages bring no service.
mariadb:
	@works() { for bin in /usr/sbin /usr/libexec /usr/bin /usr/local/sbin /usr/local/bin /opt/homebrew/opt/mariadb*/bin /usr/local/opt/mariadb*/bin; do \
		if [ -x "$$bin/mariadbd" ]; then return 0; fi; done; command -v mariadbd >/dev/null; }; \
	$(APT); \
	if works; then exit 0; fi; \
	if may_install; then \
		echo 'installing mariadb-server-core and mariadb-client-core for the tests'; \
		bring mariadb-server-core mariadb-client-core; \
	fi; \
	if ! works; then echo 'the tests on MariaDB need its programs: install mariadb-server-core and mariadb-client-core, which start no server, then run make again' >&2; exit 1; fi

# The commands of docs/guides are psql's and curl's, too.
guides:
	@works() { for program in bash psql curl; do command -v $$program >/dev/null || return 1; done; }; \
	$(APT); \
	if works; then exit 0; fi; \
	if may_install; then \
		echo 'installing curl and postgresql-client for the tests of the guides'; \
		bring curl postgresql-client; \
	fi; \
	if ! works; then echo 'the tests of the guides need bash, psql and curl: install curl and postgresql-client, then run make again' >&2; exit 1; fi

chinook:
	@if [ -n "$(LEFT_OUT)" ]; then \
		echo 'left out, since STRANGLER_CHINOOK does not name the folder with Chinook_Sqlite.sql: TestChinook'; fi
