"""WRITES what was seen, in few words. Pure."""

import json

HEAD = """# Platforms

What was run where. `make vm` boots each kernel in QEMU, in translation and without a network, runs this in it, and writes this page;
`make vm KERNEL=6.1 ARCH=aarch64 TEST=nginx` runs one. Kernels are Debian's. Of the calls that are compared, one case in forty is tried.

"""
TAIL = """
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
