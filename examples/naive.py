#!/usr/bin/env python3
"""A web server as they are in the wild: Python's own, which knows nothing of signals and dies at once on SIGTERM.

It takes 50 ms for a request, answers with the generation that segue started it as, and ends each connection after one
request. It has no part in its being restarted without a lost connection: that is what it is an example of.

    naive.py [PORT]    WORK=0.05 (seconds a request takes), HOST=0.0.0.0, KEEP=1 (connections are kept alive)
"""

import http.server
import os
import socket
import sys
import time

WORK = float(os.environ.get("WORK", "0.05"))
GENERATION = os.environ.get("SEGUE_GENERATION", "?")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1" if os.environ.get("KEEP") else "HTTP/1.0"

    def do_GET(self):
        time.sleep(WORK)
        body = f"hello from generation {GENERATION}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


host = os.environ.get("HOST", "0.0.0.0")
Server.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
Server((host, int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Handler).serve_forever()
