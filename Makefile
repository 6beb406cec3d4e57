# Keywarden's commands. `make help` lists them.

GO         ?= go
FUZZTIME   ?= 60s
PKGS       ?= ./...
# What `make race` runs: everything. CI leaves out the packages that link all
# of Caddy, whose second, instrumented build takes longer than their tests.
RACE_PKGS  ?= $(PKGS)
# More of `make compare`: -scale for large cases, -postgres ADDRESS for one of them.
COMPARE    ?=
# Where make vuln looks vulnerabilities up: https:// or file://.
VULNDB     ?= https://vuln.go.dev
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# One set of flags for everything but -race: with two, Caddy is compiled twice.
# The tags leave out old database drivers that Caddy's certificate authority
# could use, as Caddy's own releases do.
FLAGS   := -trimpath -tags nobadger,nomysql,nopgx
LDFLAGS := -s -w \
	-X github.com/caddyserver/caddy/v2.CustomVersion=$(VERSION) \
	-X github.com/caddyserver/caddy/v2.CustomBinaryName=keywarden
export CGO_ENABLED := 0

BIN      := bin/keywarden
UPSTREAM := bin/upstream
GOLANGCI := $(GO) tool -modfile=tools/go.mod golangci-lint
VULN     := $(GO) tool -modfile=tools/go.mod govulncheck

.DEFAULT_GOAL := help
.PHONY: help run build test race lint vuln format browser bench compare costs baseline overhead fuzz corpus check deps programs assets clean FORCE

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## build, then start keywarden in front of the example API (Ctrl-C stops both)
	@$(GO) build $(FLAGS) -o bin/run ./examples/run
	@exec bin/run

build: ## build bin/keywarden, and bin/upstream, the example API
	@$(GO) build $(FLAGS) -ldflags "$(LDFLAGS)" -o $(BIN) ./cmd/keywarden
	@$(GO) build $(FLAGS) -o $(UPSTREAM) ./examples/upstream

test: build programs ## run all tests; a skipped test is a failed one
	@KEYWARDEN_BUILT=1 $(GO) run $(FLAGS) ./scripts/gotest $(FLAGS) -timeout 20m $(PKGS)

bin/keywarden: build

# The gateway under test, itself under the race detector: the tests ask for it.
bin/keywarden-race: FORCE
	@CGO_ENABLED=1 $(GO) build -race -tags nobadger,nomysql,nopgx -o $@ ./cmd/keywarden

race: build programs ## run the tests under the race detector (needs a C compiler)
	@KEYWARDEN_BUILT=1 CGO_ENABLED=1 $(GO) test -race -tags nobadger,nomysql,nopgx -timeout 30m $(RACE_PKGS)

browser: build programs ## run the console's tests in Chromium alone, which leave pictures
	@KEYWARDEN_BUILT=1 $(GO) run $(FLAGS) ./scripts/gotest $(FLAGS) -p 1 -timeout 20m ./internal/consoletest

lint: ## run the linters and check the formatting
	@$(GOLANGCI) run ./...

vuln: ## look for known vulnerabilities in what the program calls; says so where their database can't be reached
	@$(GO) run $(FLAGS) ./scripts/vuln $(VULNDB) $(VULN) -db $(VULNDB) -tags nobadger,nomysql,nopgx ./cmd/...

format: ## format the code as lint wants it
	@$(GOLANGCI) fmt ./...

bench: programs ## run the benchmarks, allocations reported
	@$(GO) test $(FLAGS) -run '^$$' -bench . -benchmem -timeout 60m $(PKGS)

compare: build ## measure this gateway beside others that are installed (wrk makes the load); writes docs/compare.md
	@$(GO) build $(FLAGS) -ldflags "-s -w" -o bin/caddy github.com/caddyserver/caddy/v2/cmd/caddy
	@$(GO) build $(FLAGS) -o bin/compare ./scripts/compare
	@bin/compare -docs docs $(COMPARE)

costs: ## compare what requests cost (allocations, instructions) with bench/baseline.txt
	@scripts/deps.sh valgrind
	@$(GO) run $(FLAGS) ./scripts/baseline $(FLAGS)

baseline: ## write bench/baseline.txt anew
	@scripts/deps.sh valgrind
	@$(GO) run $(FLAGS) ./scripts/baseline -write $(FLAGS)

overhead: build ## measure what is added to bare Caddy a request: CPU time, allocations
	@$(GO) run $(FLAGS) ./scripts/overhead

fuzz: programs ## run every fuzz target for FUZZTIME (60s) each
	@set -e; grep -rlE --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]*' "$$file" | cut -c6- | while read -r target; do \
			echo "== $$(dirname "$$file") $$target"; \
			$(GO) test $(FLAGS) -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
		done; \
	done

corpus: ## keep in testdata/fuzz, of what fuzzing has found, what reaches code that nothing else there does
	@$(GO) run $(FLAGS) ./scripts/corpus $(FLAGS)

check: lint costs test race ## everything that must pass before a change is sent

deps: programs ## fetch the modules that building, testing and linting need, Postgres and Chromium
	$(GO) mod download
	$(GO) mod download -modfile=tools/go.mod

assets: ## copy the console's libraries from npm anew (what it writes is committed)
	@admin/console/vendored/update.sh

programs:
	@scripts/deps.sh

clean: ## remove what was built; ./data stays
	rm -rf bin
