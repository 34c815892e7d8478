"""Serves HTTP on PORT and keeps what the other arguments name: each is KIND:PATH."""

import fcntl
import http.server
import os
import struct
import subprocess
import sys

kept = []


def keep(kind, path):
    path = path.replace("PID", str(os.getpid()))
    if kind == "score":
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(path)
        return
    how = {
        "write": os.O_RDWR | os.O_CREAT,
        "append": os.O_WRONLY | os.O_APPEND | os.O_CREAT,
        "read": os.O_RDONLY,
        "deleted": os.O_RDWR | os.O_CREAT,
        "directory": os.O_RDONLY | os.O_DIRECTORY,
    }
    if kind in ("flock", "flock-shared", "posix", "posix-read", "ofd"):
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        lock = struct.pack("hhlli", fcntl.F_WRLCK, os.SEEK_SET, 3, 1, 0)
        if kind == "flock":
            fcntl.flock(file, fcntl.LOCK_EX)
        elif kind == "flock-shared":
            fcntl.flock(file, fcntl.LOCK_SH)
        elif kind == "posix":
            fcntl.fcntl(file, fcntl.F_SETLKW, lock)
        elif kind == "posix-read":
            fcntl.lockf(file, fcntl.LOCK_SH)
        else:
            fcntl.fcntl(file, fcntl.F_OFD_SETLKW, lock)
        if kind in ("flock-shared", "posix-read"):
            # Open for reading from now on, so that the lock alone is judged.
            again = os.open(path, os.O_RDONLY)
            os.dup2(again, file)
            os.close(again)
    elif kind == "fifo":
        os.mkfifo(path) if not os.path.exists(path) else None
        file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    elif kind == "locked-directory":
        file = os.open(path, os.O_RDONLY)
        fcntl.flock(file, fcntl.LOCK_EX)
    elif kind == "child":
        # It is a child that has the file.
        subprocess.Popen(["/bin/sh", "-c", f"exec 9>>{path}; exec sleep 600"])
        while not os.path.exists(path):
            pass
        return
    else:
        file = os.open(path, how[kind], 0o600)
        if kind == "deleted":
            os.unlink(path)
    kept.append(file)


for word in sys.argv[2:]:
    keep(*word.split(":", 1))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(os.environ["SEGUE_GENERATION"][-1].encode())

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
