# Bare make lists the targets. Everything is driven by the go command; nothing
# here needs more than Go, git and make, except where the target says so.

GO             ?= go
GO_MINIMUM     := 1.26
STATICCHECK    := honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION        := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS        := -s -w -X main.version=$(VERSION)
# The tags whose files no plain build compiles; the linters look at them too.
TAGS           := invariants,plant,fault,older

SEEDS          ?= 200
PLANTS         ?= all
MUTANTS        ?=
FROM           ?= 1
SIM            ?=
SOAK           ?= 10m
TRIALS         ?= 100
GAP            ?= all
SENDS          ?= 1000000
SEED           ?= 1
FUZZTIME       ?= 10s
BENCHTIME      ?= 1s
BENCH          ?= .
PKG            ?= ./...
LOCKS          ?= 1000000
SESSIONS       ?= 100000
PERF           ?=
BUDGET         ?= 45m

# go run with a version builds a tool outside this module: it never enters go.mod.
TOOL           := $(GO) run
NESTED         := $(patsubst %/go.mod,%,$(wildcard perf/go.mod client/fence/sqltest/go.mod))

.DEFAULT_GOAL := help
.PHONY: help
help: ## list the targets
	@echo "lockd $(VERSION): make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: go-present
go-present:
	@command -v $(GO) >/dev/null 2>&1 || { \
	  echo "make: the go command is not on PATH. lockd needs Go $(GO_MINIMUM) or newer:" >&2; \
	  echo "  Debian: apt-get install golang-go, if 'apt-cache policy golang-go' offers it," >&2; \
	  echo "  else the archive from go.dev, unpacked to /usr/local/go, with" >&2; \
	  echo "  PATH=\$$PATH:/usr/local/go/bin; or make GO=/path/to/go TARGET" >&2; \
	  exit 1; }

.PHONY: build
build: go-present ## build the static binary bin/lockd
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/lockd ./lockd

.PHONY: run
run: build ## run a three-node cluster in one process on loopback
	bin/lockd dev

.PHONY: demo
demo: build ## kill a real node while a client holds a lock, and see that it is still held
	$(GO) run ./lockd/faulttest/demo

.PHONY: test
test: go-present ## run every test of this module and of those nested in it (a minute, warm)
	$(GO) test ./...
	@set -e; for m in $(NESTED); do echo "cd $$m && go test ./..."; \
	  (cd $$m && $(GO) test ./...); done

.PHONY: test-invariants
test-invariants: go-present ## run the tests with the costly invariant checks compiled in
	$(GO) test -tags invariants ./...

.PHONY: race
race: go-present ## run the tests under the race detector, invariants on (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -tags invariants ./...
	@set -e; for m in $(NESTED); do (cd $$m && CGO_ENABLED=1 $(GO) test -race ./...); done

.PHONY: lint
lint: go-present ## gofmt, go vet, staticcheck and the house test
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	  if [ -n "$$bad" ]; then echo "not gofmt-clean; run gofmt -w on:" >&2; echo "$$bad" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags $(TAGS) ./...
	$(TOOL) $(STATICCHECK) ./...
	$(TOOL) $(STATICCHECK) -tags $(TAGS) ./...
	@set -e; for m in $(NESTED); do echo "cd $$m && go vet, staticcheck"; \
	  (cd $$m && $(GO) vet ./... && $(TOOL) $(STATICCHECK) ./...); done
	$(GO) test ./lockd/house

.PHONY: sim
sim: go-present ## run the simulator: SEEDS=2000 worlds from seed FROM=1; SIM=-cover: by row
	$(GO) run -tags invariants ./lockd/sim/run -seeds $(SEEDS) -from $(FROM) $(SIM)

.PHONY: capacity
capacity: go-present ## show what a cluster carries by how many nodes it has, on modelled machines
	$(GO) run ./lockd/sim/capacity

.PHONY: spec
spec: go-present ## search the models of lockd/spec, wrong variants included (apt-get install spin gcc)
	$(GO) run ./lockd/spec/run

.PHONY: plant
plant: go-present ## plant each bug, PLANTS=all, and print in how many worlds it is found
	$(GO) test -tags plant,invariants -run Plant ./...
	$(GO) test -tags plant -run Planted ./lockd/verify # whom no invariant stops before
	$(GO) run -tags plant,invariants ./lockd/sim/run -plants $(PLANTS) -seeds 1000

.PHONY: mutants
mutants: go-present ## take rules out one by one and see their tests fail: MUTANTS='-row F-D1,F-D2'
	$(GO) run ./lockd/mutants/run $(MUTANTS)

.PHONY: fault
fault: build ## kill, pause, partition, garble and fill real processes (Linux; some tests need root)
	$(GO) test -count=1 -p 1 -v -timeout 2h -tags fault ./lockd/faulttest/...

.PHONY: gap
gap: build ## measure how long clients wait: TRIALS=100 of GAP=crash,pause,partition,…
	$(GO) run ./lockd/faulttest/gap -kind $(GAP) -trials $(TRIALS)

.PHONY: scale
scale: build ## measure what a lot of state costs: LOCKS=1000000 SESSIONS=100000 (1 KB a lock)
	$(GO) run ./lockd/faulttest/scale -lockd bin/lockd -locks $(LOCKS) -sessions $(SESSIONS)

.PHONY: history
history: build ## judge what clients saw in a run of SENDS=1000000 under faults, from SEED=1
	LOCKD_HISTORY_SENDS=$(SENDS) LOCKD_HISTORY_SEED=$(SEED) $(GO) test -count=1 -tags fault \
	  -timeout 4h -v -run TestFK1HistoryUnderFaults ./lockd/faulttest

.PHONY: soak
soak: build ## crashes, pauses, partitions, power cuts of real processes for SOAK=10m from SEED=1
	$(GO) run ./lockd/faulttest/soak -for $(SOAK) -seed $(SEED)

.PHONY: fuzz
fuzz: go-present ## fuzz every Fuzz target of PKG=./... for FUZZTIME=10s each
	@set -e; for p in $$($(GO) list $(PKG)); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; done; done

.PHONY: bench
bench: go-present ## run the benchmarks BENCH=. of PKG=./... with allocations
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) $(PKG)

.PHONY: perf
perf: build ## measure everything in BUDGET=45m and rewrite performance.md; or PERF='--target …'
	cd perf && $(GO) build -o ../bin/perf .
	cd perf && ../bin/perf $(if $(PERF),run --lockd ../bin/lockd $(PERF),all --budget $(BUDGET))

.PHONY: perf-smoke
perf-smoke: build ## a minute: lockd beside Redis and beside the published figures (redis-server)
	cd perf && $(GO) build -o ../bin/perf .
	cd perf && ../bin/perf smoke

.PHONY: golden
golden: go-present ## rewrite golden files and scripts of PKG (tests with a -rewrite flag); read the diff
	@set -e; for d in $$($(GO) list -f '{{.Dir}}' $(PKG)); do \
	  if grep -lqE 'cockroachdb/datadriven|flag\.Bool\("rewrite"' $$d/*_test.go 2>/dev/null; then \
	    $(GO) test -count=1 $$d -args -rewrite; fi; done
	git --no-pager diff --stat -- testdata

.PHONY: cover
cover: go-present ## write the coverage of all packages to bin/cover.html
	@mkdir -p bin
	$(GO) test -coverpkg=./... -coverprofile=bin/cover.out ./...
	$(GO) tool cover -html=bin/cover.out -o bin/cover.html

.PHONY: ci
ci: ## what must be green before a change lands
	bash .ci/run

.PHONY: clean
clean: ## remove what make built and what fuzzing cached
	rm -rf bin perf/results
	-$(GO) clean -fuzzcache
