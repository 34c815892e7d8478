"""WRITES what was seen, in few words. Pure."""

import json

HEAD = """# Platforms

What was run where. `make vm` boots each kernel in QEMU, in translation and without a network, runs this in it, and writes this page;
`make vm KERNEL=6.1 ARCH=aarch64 TEST=nginx` runs one. Kernels are Debian's. Of the calls that are compared, one case in forty is tried.

"""
TAIL = """
## Engines

Tried by hand on 2026-11-29 with an earlier commit (2989641) on kernel 6.18 with cgroup v1, half of the connections fresh and half kept; no
test repeats it.

| engine | what | failed |
|---|---|---|
| podman 4.3.1 with runc, as root | Python, 20 HUPs; the same with uid 1000, no capabilities, no-new-privileges, read-only | 0 of 3,368; 0 of 3,382 |
| the same | nginx, 20 HUPs, clients that look before they reuse a connection | 0 of 33,685 |
| podman with crun 1.8.1, as root and rootless | hardened, 20 and 10 HUPs | 0 of 3,419; 0 of 1,429 |
| `podman run --init --init-path segue` | 3 HUPs | 0 of 624 |
| containerd 1.6.20, its own seccomp profile | 20 HUPs; read-only without capabilities, 10 HUPs | 0 of 2,782; 0 of 1,488 |
| systemd 252 in nspawn | socket unit, 3 reloads and 3 restarts; transparent with DynamicUser, 3 reloads | 0 of 3,165; 0 of 390 |
| docker-compose 1.29.2 | 5 HUPs | 0 of 6,061 |
| `podman kube play` of k8s/base and prestop-drain, one replica | 5 HUPs and a `segue restart` each | 0 of 3,225; 0 of 3,188 |

Of the manifests' fields `podman kube play` ignores the startup and readiness probes, the Service and the PodDisruptionBudget; a liveness probe on a
named port never succeeds there (an exec probe `segue health live` would), and its stop timeout is 10 s.

What cannot be run so, and was not tried: gVisor, a cluster, Windows and macOS (there it runs through Docker).
"""
ARCHITECTURES = {"amd64": "x86-64", "arm64": "aarch64"}


def told(text):
    """What a step has printed, in a line."""
    begin, end = text.find("\n{\n"), text.rfind("\n}")
    if text.startswith("{\n"):
        begin = 0
    if begin >= 0 and end > begin:
        report = json.loads(text[begin : end + 2])
        outcomes = [it["outcome"] for it in report["restarts"]["outcomes"]]
        return f"{report['failed']} of {report['requests']} failed, {outcomes.count('replaced')} of {len(outcomes)} replaced"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    results = [line for line in lines if line.startswith("test result:")]
    if results:
        return results[-1].split("; 0 ignored")[0].removeprefix("test result: ok. ").removesuffix("; 0 failed")
    return "; ".join(lines[-30:])


def page(results, steps):
    """The page: a column for each guest."""
    heads = [f"{kernel.number}, {ARCHITECTURES[kernel.architecture]}" for kernel, _, _ in results]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for step in steps:
        cells = []
        for _, rows, _ in results:
            found = [(verdict, text) for it, verdict, text in rows if it is step]
            verdict, text = found[0] if found else ("ok", "")
            text = text.replace("|", "\\|")
            cells.append(text if verdict == "ok" else f"**{verdict}**: {text}")
        lines.append(f"| {step.title} | {' | '.join(cells)} |")
    return HEAD + "\n".join(lines) + "\n" + TAIL
