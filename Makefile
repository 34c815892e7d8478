# Two commands are enough: `make demo` and `make test`. Both set up what they need first (Debian or Ubuntu, root or sudo).

.DEFAULT_GOAL := help
.PHONY: help setup demo build test check compat workers vm bench soak fuzz mutants docs image clean

# Static, without a musl toolchain. The target is spelled out so that the flag spares proc-macros and build scripts, and
# every command below uses the same flags, so that none of them throws away what another has built. Not position independent,
# as other static inits are: 40 pages would be written, and be private memory of each container, before main begins.
export CARGO_BUILD_TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS := -C target-feature=+crt-static -C relocation-model=static

# A run that proves things for others must not skip what it cannot reach.
ifeq ($(CI),true)
export TESTS_REQUIRE_DOCKER := 1
export TESTS_REQUIRE_SERVERS := 1
SETUP_FLAGS := --docker
endif

help:
	@echo 'make demo    restart an unmodified server under load, in a container, and print what happened'
	@echo 'make test    every check and every test'
	@echo 'make workers real queue workers restarted with a full queue, and the table of docs/workers.md'
	@echo 'make compat  every server of the compatibility matrix, and the table of docs/compatibility.md'
	@echo 'make vm      other kernels, and aarch64, in QEMU: KERNEL=6.1 ARCH=aarch64 TEST=name for one; docs/platforms.md'
	@echo 'make build   the static binary: target/$(CARGO_BUILD_TARGET)/release/segue'
	@echo 'make bench   every figure of docs/performance.md, beside other programs, and its plots'
	@echo 'make soak    all of it at once and at random for MINUTES=30, counted'
	@echo 'make fuzz    odd input for every parser, open-ended; TARGET=control SECONDS=60 for one and for so long'
	@echo 'make mutants small changes of the state machine, each of which its tests must notice'
	@echo 'make docs    write anew the pages that tests print'
	@echo 'make image   the container images segue and segue-example'
	@echo 'make clean   remove what was built'

setup:
	@scripts/setup $(SETUP_FLAGS)

demo: setup build
	scripts/demo

build:
	cargo build --locked --release --bin segue

test: setup check
	RUSTDOCFLAGS="$(RUSTFLAGS)" cargo test --locked --workspace --doc
	cargo build --locked --examples
	cargo nextest run --locked --workspace --lib --tests

check:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --no-default-features --lib -- -D warnings
	cargo clippy --locked --no-default-features --features serve --lib -- -D warnings
	@echo 'the library needs nothing of the entrypoint'
	@! cargo tree --locked --edges normal --prefix none --no-default-features --features serve \
	  | grep -E '^(clap|serde|tracing-subscriber|prometheus|signal-hook|netlink|envy|axum)'
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --no-default-features --features serve

# The table is written in any case: it tells what was measured, also what went wrong.
compat:
	@scripts/setup --compat
	rm -rf target/compat
	TESTS_REQUIRE_SERVERS=1 TESTS_KEEP_CONNECTIONS=1 \
	  cargo nextest run --locked --test compat --run-ignored all --no-fail-fast; \
	status=$$?; scripts/compat-table && exit $$status

workers:
	@scripts/setup --compat
	cargo build --locked --release
	python3 tests/workers

vm:
	@scripts/setup --vm
	@python3 tests/vm $(if $(KERNEL),--kernel $(KERNEL)) $(if $(ARCH),--arch $(ARCH)) $(if $(TEST),--test $(TEST))

bench: setup build
	scripts/bench
	cargo build --locked --release --example hello --example census --example drains
	scripts/bench-restarts
	scripts/bench-handover
	@scripts/setup --languages
	scripts/bench-languages
	scripts/bench-proxy
	scripts/bench-library
	@command -v watchexec > /dev/null || CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	  cargo install --locked --quiet --root target/tools watchexec-cli
	PATH="$$PATH:$(CURDIR)/target/tools/bin" scripts/bench-watch
	scripts/bench-growth
	scripts/bench-figures

soak: setup build
	cargo build --locked --release --example hello
	scripts/soak $(MINUTES)

fuzz:
	@scripts/fuzz $(or $(TARGET),all) $(SECONDS)

mutants:
	@scripts/mutants

docs:
	UPDATE_DOCS=1 cargo test --locked --lib --test promises -- --test-threads=1
	UPDATE_DOCS=1 cargo test --locked --test injection printed

image: LABELS = --build-arg VERSION=$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1) \
  --build-arg REVISION=$(shell git rev-parse HEAD 2> /dev/null || echo unknown)
image:
	scripts/stand-in-image
	docker build $(LABELS) --tag segue --target segue .
	docker build $(LABELS) --tag segue-example --target example .

clean:
	cargo clean
