"""BOOTS a kernel in QEMU, in translation, with the machine's own files read-only, and has it run steps one after another. Every
boot has a deadline. There is no network in the guest, and nothing is mounted or registered out here."""

import lzma
import pathlib
import re
import shlex
import shutil
import subprocess
import threading
import time

import packages

HERE = pathlib.Path(__file__).parent
PROJECT = HERE.parent.parent
# What leads to the files; and what a kernel loads by itself where its modules are, to tell of connections (sock_diag(7)).
MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "tcp_diag", "udp_diag", "unix_diag"]
MACHINES = {
    "amd64": ["qemu-system-x86_64", "-M", "q35", "-cpu", "max", "-append", "console=ttyS0 panic=-1 quiet"],
    "arm64": ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-append", "console=ttyAMA0 panic=-1 quiet"],
}


# Guests that run, so that none is left when this ends for whatever reason.
RUNNING = set()
OVER = threading.Event()


def end_all():
    """Ends every guest; none is booted any more."""
    OVER.set()
    for guest in list(RUNNING):
        guest.kill()


class Kernel:
    """A kernel of Debian's, and its modules."""

    def __init__(self, base, release, architecture):
        self.architecture = architecture
        archive = packages.Archive(base, release, architecture)
        name = archive.newest_kernel()
        self.place = packages.unpack(archive.fetch(name), pathlib.Path(base) / "kernels" / name)
        self.image = next(self.place.glob("boot/vmlinuz-*"))
        self.version = self.image.name.removeprefix("vmlinuz-")
        self.number = ".".join(self.version.split(".")[:2])
        if not (self.place / f"lib/modules/{self.version}/modules.dep.bin").exists():
            packages.run("depmod", "-b", self.place, self.version)

    def modules(self, wanted):
        """Files of these modules, in the order in which they have to be loaded."""
        files = []
        for name in wanted:
            shown = packages.run("modprobe", "-d", self.place, "-S", self.version, "--show-depends", name)
            for line in shown.splitlines():
                kind, _, path = line.partition(" ")
                path = pathlib.Path(path.strip().split()[0]) if kind == "insmod" else None
                if path and path not in files:
                    files.append(path)
        return files


def initramfs(kernel, busybox, at):
    """A busybox, the modules that lead to the files, and a script that changes over to them."""
    tree = at / "initramfs"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ["bin", "modules", "proc", "sys", "dev", "lower", "over", "root"]:
        (tree / name).mkdir(parents=True)
    shutil.copy(busybox, tree / "bin/busybox")
    shutil.copy(HERE / "init", tree / "init")
    for number, module in enumerate(kernel.modules(MODULES)):
        data = module.read_bytes()
        if module.suffix == ".xz":
            data = lzma.decompress(data)
        (tree / "modules" / f"{number:02}-{module.name.removesuffix('.xz')}").write_bytes(data)
    packed = at / "initramfs.cpio"
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with open(packed, "wb") as file:
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"],
                       input=names.encode(), stdout=file, stderr=subprocess.DEVNULL, cwd=tree, check=True)  # fmt: skip
    return packed


def units():
    """The units that docs/operations.md shows, by their names."""
    text = (PROJECT / "docs/operations.md").read_text()
    shown = re.findall(r"```ini\n# /etc/systemd/system/(\S+)\n(.*?)```", text, re.DOTALL)
    return dict(shown)


class Outcome:
    """What became of a step."""

    def __init__(self, name, code, seconds, text):
        self.name, self.code, self.seconds, self.text = name, code, seconds, text

    def went_well(self):
        return self.code == 0


def boot(kernel, root, busybox, steps, at, deadline, first=""):
    """Boots, runs the steps (name, seconds, shell command), and says what became of each, how long it took, whether it hung, and the
    console's text. `first`: `systemd` as the guest's first process, or a shell."""
    shutil.rmtree(at, ignore_errors=True)
    job = at / "job"
    (job / "watched").mkdir(parents=True)
    for name in ["steps", "steps.service"]:
        shutil.copy(HERE / name, job / name)
    for name, text in units().items():
        (job / name).write_text(text)
    plan = "".join(f"{name}\t{seconds}\t{command}\n" for name, seconds, command in steps)
    (job / "plan").write_text(plan)
    (job / "project").write_text(f"{PROJECT}\n")
    packed = initramfs(kernel, busybox, at)
    share = lambda path, tag, more="": ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap{more}"]
    more = f" guest_init={first}" if first else ""
    machine = [part + (more if part.startswith("console=") else "") for part in MACHINES[kernel.architecture]]
    command = [
        *machine, "-accel", "tcg,thread=multi", "-smp", "2", "-m", "3072", "-nodefaults", "-no-reboot", "-display", "none",
        "-nic", "none", "-serial", f"file:{at}/console", "-kernel", str(kernel.image), "-initrd", str(packed),
        *share(root, "root", ",readonly=on"), *share(job, "job"), *share(PROJECT, "project", ",readonly=on"),
    ]  # fmt: skip
    (at / "command").write_text(shlex.join(command) + "\n")
    begin = time.monotonic()
    with open(at / "qemu", "w") as said:
        # In a session of its own, so that Ctrl-C comes here alone.
        guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        RUNNING.add(guest)
        try:
            while not OVER.is_set() and guest.poll() is None and time.monotonic() < begin + deadline:
                time.sleep(2)
                # For what watches a directory that is changed by another machine.
                (job / "watched/file").write_text(f"{time.monotonic()}\n")
            hung = guest.poll() is None
        finally:
            if guest.poll() is None:
                guest.kill()
                guest.wait()
            RUNNING.discard(guest)
    if OVER.is_set():
        raise SystemExit("vm: ended")
    outcomes = []
    for name, _, _ in steps:
        code, log = job / f"{name}.code", job / f"{name}.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        if code.exists():
            number, seconds = code.read_text().split()
            outcomes.append(Outcome(name, int(number), float(seconds), text))
        else:
            outcomes.append(Outcome(name, None, 0.0, text or "it was not reached"))
    console = (at / "console").read_text(errors="replace") if (at / "console").exists() else ""
    console += (at / "qemu").read_text(errors="replace")
    return outcomes, time.monotonic() - begin, hung, console
