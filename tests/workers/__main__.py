"""Restarts real queue workers with a full queue, and writes what became of their jobs into docs/workers.md: make workers."""
import collections
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))
SEGUE = TARGET / os.environ["CARGO_BUILD_TARGET"] / "release/segue"
VENV = PROJECT / "target/workers"
BIN = VENV / "bin"
RESTARTS, PATIENCE = 10, 60
PACKAGES = {"celery": "5.7.0", "redis": "8.1.0", "packaging": "26.4", "rq": "3.0.0", "huey": "3.5.4", "dramatiq": "2.2.1"}

# Name, kind, command, settings, how many jobs in all.
ROWS = [
    ("Celery, prefork", "celery", [BIN / "celery", "-A", "jobs", "worker", "-c", "2", "-l", "warning"], {}, 1500),
    ("Celery, solo", "celery", [BIN / "celery", "-A", "jobs", "worker", "-P", "solo", "-l", "warning"], {}, 600),
    ("RQ", "rq", [BIN / "rq", "worker", "--url", "{redis}", "--quiet"], {}, 300),
    ("Dramatiq", "dramatiq", [BIN / "dramatiq", "jobs", "-p", "1", "-t", "2"], {}, 1500),
    ("Huey", "huey", [BIN / "huey_consumer", "jobs.app", "-w", "2", "-q"], {}, 1500),
    ("Huey, INT", "huey", [BIN / "huey_consumer", "jobs.app", "-w", "2", "-q"], {"SEGUE_STOP_SIGNAL": "INT"}, 1500),
]


def until(what, state):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if (found := state()) not in (None, False):
            return found
        time.sleep(0.05)
    raise SystemExit(f"workers: {what}: not within {PATIENCE} s")


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def read(notes):
    """Numbers of jobs that were begun and done, and when any was begun."""
    begun, done, times = collections.Counter(), collections.Counter(), []
    for line in notes.read_text().splitlines() if notes.exists() else []:
        word, number, moment = line.split()
        (begun if word == "begun" else done)[number] += 1
        if word == "begun":
            times.append(float(moment))
    return begun, done, sorted(times)


def run(name, kind, command, settings, count):
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        notes = place / "notes"
        redis = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", place], stdout=subprocess.DEVNULL
        )
        environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(PROJECT / "tests/workers"), "PYTHONDONTWRITEBYTECODE": "1",
            "KIND": kind, "REDIS": url, "NOTES": str(notes), "HOME": str(place), "SEGUE_CONTROL": str(place / "control"),
            "SEGUE_LOG_FORMAT": "json", "SEGUE_STABLE_DELAY": "1s", **settings,
        }
        segue = None
        try:
            until("redis", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            subprocess.run([BIN / "python", "-c", f"import jobs; jobs.enqueue({count})"], env=environment, check=True)
            words = [str(word).replace("{redis}", url) for word in command]
            with open(place / "log", "w") as log:
                segue = subprocess.Popen([SEGUE, "--", *words], env=environment, cwd=place, stdout=log, stderr=log)
            until("the first job", lambda: bool(read(notes)[0]))
            outcomes = collections.Counter()
            for _ in range(RESTARTS):
                time.sleep(1.2)
                said = subprocess.run([SEGUE, "restart"], env=environment, capture_output=True, text=True, timeout=PATIENCE)
                outcomes["replaced" if said.returncode == 0 else said.stdout + said.stderr] += 1
            working = read(notes)[1]
            segue.send_signal(signal.SIGTERM)
            code = segue.wait(PATIENCE)
            begun, done, times = read(notes)
            lost = [number for number in begun if number not in done]
            twice = [number for number, times_done in done.items() if times_done > 1]
            pause = max((after - before for before, after in zip(times, times[1:])), default=0)
            shown = ", ".join(f"{how}: {many}" for how, many in outcomes.items())
            print(f"{name}: {shown}; {len(begun)} begun, {len(done)} done, exit {code}, {len(working)} before the stop", file=sys.stderr)
            stop = settings.get("SEGUE_STOP_SIGNAL", "TERM")
            return f"| {name} | {stop} | {shown} | {count} | {len(begun)} | {len(done)} | {len(twice)} | {len(lost)} | {pause:.1f} s |"
        except BaseException:
            print((place / "log").read_text()[-3000:] if (place / "log").exists() else "", file=sys.stderr)
            raise
        finally:
            for process in (segue, redis):
                if process and process.poll() is None:
                    process.terminate()
                    process.wait(PATIENCE)


def main():
    if not (BIN / "celery").exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([BIN / "pip", "--quiet", "install", *(f"{name}=={version}" for name, version in PACKAGES.items())], check=True)
    if not shutil.which("redis-server"):
        raise SystemExit("workers: there is no redis-server, run scripts/setup --compat")
    wanted = sys.argv[1:]
    rows = [run(*row) for row in ROWS if not wanted or any(word in row[0] for word in wanted)]
    versions = ", ".join(f"{name} {version}" for name, version in PACKAGES.items())
    table = (
        "| worker | stop signal | restarts | queued | begun | done | done twice | begun, not done | longest time without a new job |\n"
        "|---|---|---|---:|---:|---:|---:|---:|---:|\n" + "\n".join(rows) + f"\n\n(With {versions}.)"
    )
    print(table)
    if not wanted:
        page = PROJECT / "docs/workers.md"
        before, rest = page.read_text().split("<!-- workers -->\n", 1)
        _, after = rest.split("<!-- /workers -->", 1)
        page.write_text(f"{before}<!-- workers -->\n{table}\n<!-- /workers -->{after}")


main()
