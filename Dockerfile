# The image of segue: one static binary, nothing else. Works with the classic builder and with BuildKit.
#
#   docker build -t segue .                             the entrypoint alone (the default, last stage)
#   docker build -t segue-example --target example .    the entrypoint with a small web server
#
# In an image of your own:
#
#   COPY --from=segue /segue /segue
#   ENTRYPOINT ["/segue", "--"]
#   CMD ["your-program", "its", "arguments"]
#
# The classic builder runs every stage above the wanted one; `--target segue` spares it the example.

ARG RUST_IMAGE=rust:1-bookworm

# ---- Dependencies: a layer that changes only with the manifest and the lock file.
FROM ${RUST_IMAGE} AS dependencies
WORKDIR /src
# The target is spelled out so that the flags spare proc-macros and build scripts, which cannot be static. The Makefile says why
# the program is not position independent.
ENV RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" CARGO_TERM_COLOR=never
COPY Cargo.toml Cargo.lock ./
COPY src/http/Cargo.toml src/http/
RUN mkdir examples \
 && touch src/lib.rs src/http/lib.rs \
 && for file in src/main examples/axum examples/census examples/drains examples/hello; do \
      echo 'fn main() {}' > "$file.rs"; done \
 && cargo build --release --locked --bin segue --target "$(rustc -vV | sed -n 's/^host: //p')"

# ---- The binary, alone: the example's dependencies must not switch features on in it.
FROM dependencies AS build
COPY src src
# Sources that were copied keep their age, and cargo would take them for older than the stand-ins it has just built.
RUN find src -name '*.rs' -exec touch {} + \
 && host="$(rustc -vV | sed -n 's/^host: //p')" \
 && cargo build --release --locked --bin segue --target "$host" \
 && mkdir /out && cp "target/$host/release/segue" /out/segue

# ---- The image.
FROM scratch AS segue
ARG VERSION=dev
ARG REVISION=unknown
ARG SOURCE=https://example.org/segue
LABEL org.opencontainers.image.title="segue" \
      org.opencontainers.image.description="A container entrypoint that restarts any program without dropping a connection" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/segue /segue
# By number: the image has no /etc/passwd, and Kubernetes checks runAsNonRoot only against numbers.
USER 65532:65532
ENTRYPOINT ["/segue", "--"]

# ---- The example's program, its dependencies first.
FROM dependencies AS build-example
RUN cargo build --release --locked --example hello --target "$(rustc -vV | sed -n 's/^host: //p')"
COPY src src
COPY examples examples
RUN find src examples -name '*.rs' -exec touch {} + \
 && host="$(rustc -vV | sed -n 's/^host: //p')" \
 && cargo build --release --locked --example hello --target "$host" \
 && mkdir /out && cp "target/$host/release/examples/hello" /out/hello

# ---- The example image: what an image of your own looks like.
FROM segue AS example
COPY --from=build-example /out/hello /hello
ENV SEGUE_LISTEN=:8080
EXPOSE 8080
CMD ["/hello"]

# ---- The default target.
FROM segue
