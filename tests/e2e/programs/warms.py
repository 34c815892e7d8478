"""Listens on each of its arguments (a port, or a path with a slash; `fd` is what LISTEN_FDS gave it), answers at once, and is ready
only 600 ms after its start if another generation was there before it: /ready is 503 until then. Each /ready is noted in ASKED, with
the generation that answered. With LATE=SECONDS a later generation listens only then."""

import http.server
import os
import signal
import socket
import socketserver
import sys
import threading
import time

generation = os.environ["SEGUE_GENERATION"]
ready_at = time.monotonic() + (0.6 if generation != "1" else 0)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200
        if self.path == "/ready":
            status = 200 if time.monotonic() >= ready_at else 503
            with open(os.environ["ASKED"], "a") as asked:
                asked.write(f"{generation} {status}\n")
        body = generation.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("client", 0)


def server_on(where):
    if where == "fd":
        server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
        server.socket = socket.socket(fileno=3)
    elif "/" in where:
        server = Server(where, Handler, bind_and_activate=False)
        server.socket = socket.socket(socket.AF_UNIX)
        if os.path.exists(where):
            os.unlink(where)
        server.socket.bind(where)
        server.socket.listen(512)
    else:
        server = Server(("127.0.0.1", int(where)), Handler)
    return server


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if generation != "1":
    time.sleep(float(os.environ.get("LATE", 0)))
servers = [server_on(where) for where in sys.argv[1:]]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
signal.pause()
