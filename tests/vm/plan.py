"""SAYS what is tried in which guest: a table, and nothing else."""

import dataclasses


# What is tried on every kernel; the others only on one of each architecture.
SHORT = ["system", "python", "nginx", "alike", "ptrace", "registers", "steering", "memory"]


@dataclasses.dataclass(frozen=True)
class Guest:
    """A kernel of a Debian release on an architecture."""

    release: str
    architecture: str
    # The names of its steps; all, if there are none.
    steps: tuple = ()


# The longest first.
GUESTS = [
    Guest("bookworm", "amd64"),
    Guest("bookworm", "arm64"),
    Guest("bullseye", "amd64", tuple(SHORT)),
    Guest("trixie", "amd64", tuple(SHORT)),
    Guest("trixie", "arm64", tuple(SHORT)),
]


@dataclasses.dataclass(frozen=True)
class Step:
    """A shell command in a guest. `{segue}`, `{e2e}` and `{conformance}` are binaries, `{scripts}` and `{programs}` are where
    scripts and the tests' programs are."""

    name: str
    # As docs/platforms.md has it.
    title: str
    seconds: int
    command: str
    # The architecture whose files have what it needs; both, if it is empty.
    only: str = ""
    # The guest's first process, if it is no shell.
    first: str = ""


# What Python serves in translation, beside another guest.
RATE = 4
VERIFY = f"{{segue}} verify --restarts 3 --rate {RATE} --json -- "
NGINX = (
    "printf 'daemon off; pid /guest/pid; error_log stderr warn; worker_processes 2; events {{}} http {{ access_log off; server {{ listen "
    "127.0.0.1:8080; location / {{ return 200 hello; }} }} }}' > nginx.conf; "
)
NODE = "printf \"require('http').createServer((q,s)=>s.end('hello')).listen(8080,'127.0.0.1')\" > s.js; "

STEPS = [
    Step("system", "what it is", 30, "uname -rm; cat /sys/kernel/security/lsm"),
    Step("python", "Python, 3 restarts under load", 300, VERIFY + "python3 -m http.server 8080 --bind 127.0.0.1"),
    Step("nginx", "nginx, 3 restarts under load", 150, NGINX + VERIFY + "nginx -c /guest/nginx.conf"),
    Step("node", "Node, 3 restarts under load", 400, NODE + VERIFY + "node s.js", only="amd64"),
    Step("methods", "each method of the hand-over, and the fallback", 600, "{conformance} rungs:: --test-threads=1", only="arm64"),
    Step("alike", "calls, as without segue", 400, "CONFORMANCE_EVERY=40 {conformance} alike::by_pid_1 --test-threads=1"),
    Step("ptrace", "the same by ptrace", 400, "CONFORMANCE_EVERY=40 {conformance} alike::without_pidfd_getfd --test-threads=1"),
    Step("registers", "registers, memory and signals in a traced call", 500,
         "{conformance} hammer::by_nobody hammer::one_thread_four --test-threads=1"),
    Step("closed", "what the program closes is closed", 300, "{conformance} letting_go::a_closed --test-threads=1"),
    Step("init", "PID 1: orphans, signals, ends", 700, "{e2e} init:: ending:: --test-threads=1", only="arm64"),
    Step("census", "connections are told apart", 400, "{e2e} census:: --test-threads=1"),
    Step("unix", "unix sockets: switches, roll-back, unlink, crash", 600,
         "{e2e} unix_sockets::sockets_of_packets unix_sockets::what_the unix_sockets::a_roll_back unix_sockets::connections_wait_through "
         "unix_sockets::bound_to --test-threads=1"),
    Step("datagrams", "UDP: 20 switches under load, each family, a crash", 500,
         "{e2e} datagrams::twenty datagrams::in_each datagrams::the_next --test-threads=1"),
    Step("evidence", "locks and files that are written", 300, "{e2e} evidence::locks --test-threads=1"),
    Step("memory", "cgroup v2: no room for two, memory.oom.group, a limit above, a new one that grows", 600,
         "sh {scripts}/memory {segue} {programs}"),
    Step("steering", "the kernel's numbering of a group", 200, "{e2e} steering:: --test-threads=1"),
    Step("mptcp", "Caddy 2.11 (Multipath TCP), 5 restarts under load", 500, VERIFY.replace("3", "5", 1) +
         "{venv}/bin/caddy respond --listen 127.0.0.1:8080 hello", only="amd64"),
    Step("watch", "a directory on 9p, changed outside", 120, "sh {scripts}/watch {segue}"),
    Step("docker", "Docker, uid 1000 without privileges", 600, "sh {scripts}/docker {segue}", only="amd64"),
    Step("systemd", "systemd, the units of docs/operations.md", 600, "sh {scripts}/systemd {segue} {hello}", only="amd64", first="systemd"),
    Step("conditions", "Yama 0 to 3, BPF 0 to 2, migration, no user namespaces", 900, "sh {scripts}/conditions {segue}", only="amd64"),
]  # fmt: skip

# Before it lands, a change is tried by these, on this one.
QUICK = Guest("bookworm", "amd64", ("system", "python", "alike"))
