"""BUILDS segue, its examples and its tests for aarch64: by Debian's compiler and its standard library for that architecture, which
are unpacked and not installed. Linked statically, as for x86-64."""

import json
import os
import pathlib
import subprocess

import packages
from machine import PROJECT

TARGET = "aarch64-unknown-linux-gnu"
# `rustc-web` is the newest compiler that Debian has for a release.
RELEASE = "bookworm"


def compiler(base):
    """The compiler, with the standard libraries for both architectures."""
    here = packages.Archive(base, RELEASE, "amd64")
    there = packages.Archive(base, RELEASE, "arm64")
    files = here.fetch("rustc-web", needed=True)
    files = [file for file in files if not file.name.startswith(("gcc", "cpp", "binutils", "libc6", "linux-libc", "libc-dev"))]
    place = packages.unpack(files + there.fetch("libstd-rust-web-dev"), pathlib.Path(base) / "rust")
    wrapper = place / "rustc"
    libraries = place / "usr/lib/x86_64-linux-gnu"
    wrapper.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{libraries}" exec "{place}/usr/bin/rustc" "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def build(base, *what):
    """Builds; the paths of all executables, by the name of their target."""
    environment = {
        **os.environ,
        "RUSTC": str(compiler(base)),
        "CARGO_TARGET_DIR": str(pathlib.Path(base) / "cross"),
        "CARGO_BUILD_TARGET": TARGET,
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": "aarch64-linux-gnu-gcc",
        "RUSTFLAGS": "-C target-feature=+crt-static -C relocation-model=static",
    }
    command = ["cargo", "build", "--locked", "--message-format=json-render-diagnostics", *what]
    built = subprocess.run(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        raise SystemExit("vm: it does not compile for aarch64")
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    return {it["target"]["name"]: it["executable"] for it in messages if it.get("executable")}
