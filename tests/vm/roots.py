"""LAYS OUT the files that a guest of another architecture sees: packages that are unpacked, and the few links and lists that their
installation would have made."""

import pathlib
import shutil

import packages

RELEASE = "trixie"
PACKAGES = [
    "base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "findutils", "gawk", "gcc", "gdb", "grep", "hostname",
    "iproute2", "kmod", "libc-bin", "libc6-dev", "mount", "nginx-light", "nodejs", "procps", "python3", "sed", "strace", "util-linux",
]  # fmt: skip
LINKS = {"usr/bin/awk": "gawk", "usr/bin/cc": "gcc"}


def lay_out(base, architecture):
    """The directory."""
    files = packages.Archive(base, RELEASE, architecture).fetch(*PACKAGES, needed=True)
    root = packages.unpack(files, pathlib.Path(base) / "roots" / f"{RELEASE}-{architecture}")
    for name, to in LINKS.items():
        if not (root / name).is_symlink():
            (root / name).symlink_to(to)
    for name in ["passwd", "group"]:
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / f"etc/{name}")
    (root / "etc/hostname").write_text("guest\n")
    (root / "job").mkdir(exist_ok=True)
    return root
