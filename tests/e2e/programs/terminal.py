"""Runs a command on a pseudo-terminal of its own and talks to it: `terminal.py SCENARIO COMMAND…`, exit code 0 if all went well."""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

scenario, command = sys.argv[1], sys.argv[2:]
PATIENCE = 30
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
seen = b""


def expect(text, key=b""):
    """Waits for a text that was not taken yet. A key is pressed whenever all is quiet until then: there is no sign of
    the moment from which on a shell's new job hears it."""
    global seen
    end = time.monotonic() + PATIENCE
    while text not in seen:
        if time.monotonic() > end:
            sys.exit(f"{scenario}: no {text!r} in {seen!r}")
        if not select.select([terminal], [], [], 0.3)[0]:
            send(key)
            continue
        try:
            more = os.read(terminal, 65536)
        except OSError:
            sys.exit(f"{scenario}: it ended without {text!r}: {seen!r}")
        seen += more
    seen = seen[seen.index(text) + len(text):]


def send(text):
    os.write(terminal, text)


def ended():
    """The exit code."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        # A terminal that nobody reads holds up who writes to it.
        if select.select([terminal], [], [], 0.01)[0]:
            try:
                os.read(terminal, 65536)
            except OSError:
                pass
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
    os.kill(pid, signal.SIGKILL)
    sys.exit(f"{scenario}: it does not end")


if scenario == "interrupt":
    # The program: prints up, then waits. Ctrl-C ends it, by the kernel and not by segue.
    expect(b"up")
    send(b"\x03")
    code = ended()
    assert code == 130, code
elif scenario == "size":
    expect(b"up")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    expect(b"33 99")
    send(b"\x03")
    ended()
elif scenario == "shell":
    # An interactive shell with job control: Ctrl-Z, jobs, fg, Ctrl-C.
    send(b"PS1='pro''mpt> '; echo rea''dy\n")
    expect(b"ready")
    expect(b"prompt> ")
    send(b"sleep 1000\n")
    expect(b"sleep 1000")
    expect(b"Stopped", key=b"\x1a")
    expect(b"prompt> ")
    send(b"fg\n")
    expect(b"sleep 1000")
    expect(b"prompt> ", key=b"\x03")
    send(b"exit 7\n")
    code = ended()
    assert code == 7, code
elif scenario == "jobs":
    # A shell, which runs segue as a job: Ctrl-Z gives its prompt back, fg and bg go on with the program.
    send(b"PS1='pro''mpt> '; bind 'set enable-bracketed-paste off'; echo rea''dy\n")
    expect(b"ready")
    expect(b"prompt> ")
    send(os.environ["JOB"].encode() + b"\n")
    expect(b"up")
    send(b"one\n")
    expect(b"<one>")
    expect(b"Stopped", key=b"\x1a")
    expect(b"prompt> ")
    send(b"echo still he''re; jobs\n")
    expect(b"still here")
    expect(b"Stopped")
    expect(b"prompt> ")
    send(b"fg\n")
    expect(b"segue")
    send(b"two\n")
    expect(b"<two>")
    expect(b"Stopped", key=b"\x1a")
    expect(b"prompt> ")
    # In the background it reads from the terminal, and is stopped again.
    send(b"bg; while jobs | grep -q Running; do sleep 0.1; done; jobs; echo do''ne\n")
    expect(b"Stopped")
    expect(b"done")
    expect(b"prompt> ")
    send(b"fg\n")
    expect(b"segue")
    send(b"three\n")
    expect(b"<three>")
    expect(b"prompt> ", key=b"\x03")
    send(b"exit 7\n")
    code = ended()
    assert code == 7, code
else:
    sys.exit(f"unknown scenario {scenario}")
