"""What the benches share: where their figures go, and how to wait. Each writes its tables into docs/performance.md between its own markers, and notes
the figures that have a target, of which scripts/bench-figures makes the one table."""

import json
import os
import pathlib
import platform
import re
import socket
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE = TARGET / os.environ["CARGO_BUILD_TARGET"] / "release"
PAGE = ROOT / "docs/performance.md"
NOTES = TARGET / "figures.json"


def machine():
    model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} cores ({model[1] if model else 'of a kind that is not told'}), Linux {platform.release()}, {platform.machine()}"


def write(marker, text):
    """Puts a text between its markers, and prints it."""
    start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, rest = PAGE.read_text().split(start)
    PAGE.write_text(f"{before}{start}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}")
    print(text.strip(), flush=True)


def note(name, value, shown):
    """Notes a figure that has a target."""
    notes = json.loads(NOTES.read_text()) if NOTES.exists() else {}
    notes[name] = {"value": value, "shown": shown}
    NOTES.parent.mkdir(parents=True, exist_ok=True)
    NOTES.write_text(json.dumps(notes, indent=1))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, state, patience=60):
    """Waits for a state, and returns it."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if value := state():
            return value
        time.sleep(0.0005)
    sys.exit(f"bench: {what}: not within {patience} s")
