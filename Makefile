# One place for everything that is run on this project. `make ci` is what continuous integration
# runs, and nothing else. `SEED`, `COMMANDS`, `ROUNDS`, `TRANSCRIPT` and `BLESS` are passed on.

CARGO ?= cargo
# One set of features for every step, so that nothing is compiled twice.
FEATURES := --all-features

.PHONY: run test differential crash simulate kill interop fuzz miri bench guard sweep fmt lint deny ci peers clients

run:
	$(CARGO) run --release -- serve

# Everything but the long runs. Brings the real servers to compare with, once.
test: peers clients
	$(CARGO) test $(FEATURES)

differential: peers
	COMMANDS=$${COMMANDS:-50000} $(CARGO) test $(FEATURES) --test commands -- differential --nocapture

# Simulated power cuts and failing disks. SEED and ROUNDS look further, or at one seed again.
crash:
	$(CARGO) test $(FEATURES) --test crash -- --nocapture

# So many seeds of the whole simulated server on one core, and how many that is in an hour.
simulate:
	@$(CARGO) test $(FEATURES) --test crash --no-run
	@began=$$(date +%s); ROUNDS=$${SEEDS:-1000} SEED=$${SEED:-0x100000} \
	  $(CARGO) test $(FEATURES) --test crash -- seeds --exact --nocapture || exit 1; \
	  took=$$(($$(date +%s) - began)); took=$$((took > 0 ? took : 1)); \
	  echo "$${SEEDS:-1000} seeds in $$took s: $$(($${SEEDS:-1000} * 3600 / took)) per core and hour"

# Real processes, kill -9.
kill: peers
	ROUNDS=$${ROUNDS:-30} $(CARGO) test $(FEATURES) --test kill -- --nocapture

# Data directories of Redis and Valkey, theirs under us and ours under them; client libraries and
# applications at work on us.
interop: peers clients
	$(CARGO) test $(FEATURES) --test interop -- --nocapture

# Every fuzz target for FUZZ_SECONDS (30) each.
fuzz:
	@scripts/fuzz.sh

# The unsafe code of the smallest entries, interpreted. Needs a nightly compiler with the components miri and rust-src.
miri:
	CARGO_TARGET_DIR=target/miri-own MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --no-default-features \
	  --lib -- types::thin types::blob

bench:
	$(CARGO) bench

# Instructions of fixed workloads, at most 5 % above benches/guard.baseline; BLESS=1 writes a new one.
guard:
	@scripts/guard.sh

# Every family of commands beside Redis 8: CPU time per request. Minutes.
sweep: peers
	$(CARGO) build --release
	benches/sweep.py $${FASTNESS_PEERS:-$(HOME)/.cache/fastness-peers}/redis-server target/release/fastness

fmt:
	$(CARGO) fmt

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets $(FEATURES) -- -D warnings

# Licences and duplicate crates. The advisory database needs the network: `cargo deny check`.
deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
	else echo "cargo-deny is not installed: licences not checked"; fi

ci: export CI = true
ci: peers clients lint deny
	$(CARGO) test $(FEATURES) --lib --test tidy --test cli --test format
	$(CARGO) test $(FEATURES) --test crash
	ROUNDS=15 $(CARGO) test $(FEATURES) --test kill --test interop
	# A fixed seed: what is built does not fail for what a fresh one finds. `make differential` looks on.
	SEED=20261122 COMMANDS=50000 $(CARGO) test $(FEATURES) --test commands
	@scripts/guard.sh
	@scripts/fuzz.sh

peers:
	@scripts/peers.sh

# The client libraries and applications of tests/interop/clients, and the object stores, once.
clients:
	@scripts/clients.sh
	@scripts/stores.sh
