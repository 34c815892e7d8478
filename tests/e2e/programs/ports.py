"""Serves HTTP on each PORT:SECONDS of its arguments, so many seconds after its start; `-` after that: never in generation 2 and later.
With CLOSES=PORT a generation after the first closes that one when it sees the file GONE, which a generation that ends writes, and
waits until it is gone."""

import http.server
import os
import signal
import sys
import threading
import time

generation = int(os.environ["SEGUE_GENERATION"])
gone = os.environ.get("GONE")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(generation).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512


def serve(port, after):
    time.sleep(after)
    server = Server(("127.0.0.1", port), Handler)
    if os.environ.get("CLOSES") == str(port) and generation > 1:
        threading.Thread(target=close_when_told, args=(server,), daemon=True).start()
    server.serve_forever()


def close_when_told(server):
    while not os.path.exists(gone):
        time.sleep(0.005)
    server.shutdown()
    server.server_close()
    os.unlink(gone)


def end(*_):
    open(gone, "w").close()
    for _ in range(1000):
        if not os.path.exists(gone):
            break
        time.sleep(0.005)
    os._exit(0)


if gone:
    signal.signal(signal.SIGTERM, end)
for word in sys.argv[1:]:
    port, after = word.split(":")
    if after.endswith("-") and generation > 1:
        continue
    threading.Thread(target=serve, args=(int(port), float(after.rstrip("-")))).start()
signal.pause()
