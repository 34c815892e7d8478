"""Serves HTTP on 8080, with BALLAST megabytes of memory. Generation 2 takes more and more: GROWS=early before it listens, late while
it serves."""

import http.server
import os
import threading
import time

MEGABYTE = 1 << 20
generation = os.environ["SEGUE_GENERATION"]
kept = [os.urandom(int(os.environ.get("BALLAST", "1")) * MEGABYTE)]


def grow():
    while True:
        kept.append(os.urandom(MEGABYTE))
        time.sleep(0.005)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(generation)))
        self.end_headers()
        self.wfile.write(generation.encode())

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


grows = os.environ.get("GROWS") if generation == "2" else None
if grows == "early":
    grow()
server = Server(("0.0.0.0", 8080), Handler)
if grows == "late":
    threading.Thread(target=grow, daemon=True).start()
server.serve_forever()
