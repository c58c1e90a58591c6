# Everything one does with this repository. `make` alone lists it.

.DEFAULT_GOAL := help
# One static binary each, and tests of what is shipped. The race detector alone needs cgo.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -buildvcs=false

DEMO_FLAGS ?=
ROUNDS ?= 1
DEPTH ?= 2
BENCH ?= .

# What the race detector runs: all but the packages whose tests have no goroutines of ours.
RACE = $(or $(shell go list ./... 2>/dev/null | grep -vE '/internal/(lint|testsum|protocol)$$'),./...)

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

.PHONY: help build demo test race torture bench lint fmt compiler chinook

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

build: ## Build the three programs into bin/
	@mkdir -p bin
	go build -trimpath -o bin/strangler ./cmd/strangler
	go build -trimpath -o bin/legacy-monolith ./legacy-monolith
	go build -trimpath -o bin/delivery ./extracted/delivery

demo: build ## Move a capability out of a running monolith, back, and out again (DEMO_FLAGS="…")
	bin/strangler demo $(DEMO_FLAGS)

test: compiler chinook ## Run all checks and tests, the race detector last
	@$(TESTSUM) \
		'vet: go vet ./...' \
		'format: gofmt -l -e .' \
		'import rules: go test -count=1 -run ^TestImport ./internal/lint' \
		'tests: go test -count=1 -timeout 8m $(LEFT_OUT) ./...' \
		'race detector: env CGO_ENABLED=1 go test -race -count=1 -timeout 8m $(LEFT_OUT) $(RACE)'

race: compiler chinook ## Run the tests under the race detector
	@$(TESTSUM) 'race detector: env CGO_ENABLED=1 go test -race -count=1 -timeout 8m $(LEFT_OUT) $(RACE)'

torture: chinook ## Run the kill, fault, model and soak tests deeper (ROUNDS=n, DEPTH=0..3 of the model)
	@STRANGLER_ROUNDS=$(ROUNDS) STRANGLER_PROTOCOL_DEPTH=$(DEPTH) $(TESTSUM) \
		'model: go test -count=1 -timeout 40m -run ^TestProtocol$$ ./internal/protocol' \
		$(if $(TORTURE),'torture: go test -tags torture -count=1 -timeout 24h -run ^TestTorture $(TORTURE)')

bench: ## Run the benchmarks (BENCH=regexp)
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

lint: ## Vet, format check, import rules, documents
	@$(TESTSUM) 'vet: go vet ./...' 'format: gofmt -l -e .' 'rules and documents: go test -count=1 ./internal/lint'

fmt: ## Format the Go files
	gofmt -w .

# The race detector needs a C compiler. It is installed where that may be done; otherwise one line says what is missing.
compiler:
	@works() { printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | "$$(go env CC)" -x c -o /dev/null - 2>/dev/null; }; \
	as_root() { if [ "$$(id -u)" = 0 ]; then "$$@"; else sudo -n "$$@"; fi </dev/null >/dev/null 2>&1; }; \
	install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev; }; \
	if works; then exit 0; fi; \
	if command -v apt-get >/dev/null && as_root true; then \
		echo 'installing gcc and libc6-dev for the race detector'; \
		install || { as_root apt-get update && install; } || true; \
	fi; \
	if ! works; then echo 'the race detector needs a C compiler: install gcc and libc6-dev, then run make again' >&2; exit 1; fi

chinook:
	@if [ -n "$(LEFT_OUT)" ]; then \
		echo 'left out, since STRANGLER_CHINOOK does not name the folder with Chinook_Sqlite.sql: TestChinook'; fi
