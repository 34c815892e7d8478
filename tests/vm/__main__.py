"""RUNS `make vm`: tries segue on kernels and architectures that this machine does not have, and writes docs/platforms.md."""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import cross
import machine
import plan
import report
import roots

PROJECT = machine.PROJECT
BASE = PROJECT / "target/vm"
DEADLINE = 2400


def built_here():
    """Executables for this machine, as `make test` builds them, by the name of their target."""
    environment = {**os.environ, "RUSTFLAGS": "-C target-feature=+crt-static -C relocation-model=static"}
    host = next(line[6:] for line in machine.packages.run("rustc", "-vV").splitlines() if line.startswith("host: "))
    environment["CARGO_BUILD_TARGET"] = host
    found = {}
    for command in [["build", "--examples"], ["test", "--no-run", "--test", "e2e", "--test", "conformance"]]:
        command = ["cargo", *command, "--locked", "--message-format=json-render-diagnostics"]
        built = subprocess.run(command, cwd=PROJECT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
        found |= {it["target"]["name"]: it["executable"] for it in messages if it.get("executable")}
    return found


def filled(step, binaries):
    values = {name: binaries.get(name, "") for name in ["segue", "e2e", "conformance", "hello"]}
    cache = os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")
    venv = os.environ.get("TESTS_COMPAT_VENV", f"{cache}/segue-compat/venv")
    return step.command.format(**values, scripts=machine.HERE, programs=PROJECT / "tests/e2e/programs", venv=venv)


def prepared(guests, given):
    """What each guest needs: kernel, files, busybox, executables. One after another, as they share what is fetched and built."""
    kernels = {guest: machine.Kernel(BASE, guest.release, guest.architecture) for guest in guests}
    files = {}
    for architecture in dict.fromkeys(guest.architecture for guest in guests):
        if architecture == "arm64":
            root = roots.lay_out(BASE, architecture)
            binaries = cross.build(BASE, "--bin", "segue", "--examples", "--test", "e2e", "--test", "conformance")
            files[architecture] = root, root / "usr/bin/busybox", binaries
        else:
            files[architecture] = pathlib.Path("/"), shutil.which("busybox"), given or built_here()
    return {guest: (kernels[guest], *files[guest.architecture]) for guest in guests}


def run(guest, steps, needs, label):
    """Boots a guest, and prints what became of each step."""
    kernel, root, busybox, binaries = needs
    steps = [step for step in steps if step.only in ("", guest.architecture) and (not guest.steps or step.name in guest.steps)]
    rows, any_hung, said = [], False, []
    for first in dict.fromkeys(step.first for step in steps):
        own = [step for step in steps if step.first == first]
        commands = [(step.name, step.seconds, filled(step, binaries)) for step in own]
        limit = min(DEADLINE, 120 + sum(step.seconds for step in own))
        at = BASE / "boots" / "-".join(filter(None, [label, first]))
        outcomes, seconds, hung, console = machine.boot(kernel, root, busybox, commands, at, limit, first)
        said.append(f"{kernel.version}, {guest.architecture} {first}: {seconds:.0f} s" + (", hung" if hung else ""))
        for step, outcome in zip(own, outcomes):
            verdict = "ok" if outcome.went_well() else "not run" if outcome.code is None else f"failed ({outcome.code})"
            rows.append((step, verdict, report.told(outcome.text)))
            said.append(f"  {step.title} ({outcome.seconds:.0f} s): {verdict}: {report.told(outcome.text)}")
            if not outcome.went_well():
                said += ["    " + line for line in outcome.text.splitlines()[-40:]]
        if hung or not any(outcome.went_well() for outcome in outcomes):
            said += ["    " + line for line in console.splitlines()[-40:]]
        any_hung = any_hung or hung
    print("\n".join(said), flush=True)
    return kernel, rows, any_hung


def main():
    parser = argparse.ArgumentParser(prog="make vm", description=__doc__)
    parser.add_argument("--kernel", default="", help="only kernels whose version begins so: 6.1")
    parser.add_argument("--arch", default="", help="only this architecture: x86_64 or aarch64")
    parser.add_argument("--test", default="", help="only this step")
    parser.add_argument("--quick", nargs=2, metavar=("SEGUE", "CONFORMANCE"), help="one small guest, with these executables")
    wanted = parser.parse_args()
    # As Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(wanted.arch, wanted.arch)
    steps = [it for it in plan.STEPS if wanted.test in ("", it.name)]
    if not steps:
        raise SystemExit(f"vm: there is no step {wanted.test}; there are: {', '.join(it.name for it in plan.STEPS)}")
    guests = [it for it in plan.GUESTS if architecture in ("", it.architecture)]
    given = None
    if wanted.quick:
        guests, given = [plan.QUICK], dict(zip(["segue", "conformance"], wanted.quick))
    if wanted.test:
        guests = [dataclasses.replace(it, steps=(wanted.test,)) for it in guests]
    if wanted.kernel:
        version = lambda guest: machine.Kernel(BASE, guest.release, guest.architecture).version
        guests = [guest for guest in guests if version(guest).startswith(wanted.kernel + ".")]
    if not guests:
        raise SystemExit("vm: no such kernel; there are 5.10, 6.1 and 6.12")
    needs = prepared(guests, given)
    label = lambda guest: f"{guest.release}-{guest.architecture}" + ("-quick" if given else "")
    # Most steps keep one processor busy.
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        try:
            results = list(pool.map(lambda guest: run(guest, steps, needs[guest], label(guest)), guests))
        except BaseException:
            machine.end_all()
            raise
    if not (wanted.quick or wanted.kernel or wanted.arch or wanted.test):
        (PROJECT / "docs/platforms.md").write_text(report.page(results, plan.STEPS))
    well = all(verdict == "ok" for _, rows, hung in results for _, verdict, _ in rows) and not any(hung for _, _, hung in results)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
