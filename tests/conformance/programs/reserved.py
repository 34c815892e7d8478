"""The main process binds the port, so that no other process may have it, and never listens; its workers do: reserved.py PORT."""
import os
import signal
import socket
import sys


def bound():
    it = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        it.setsockopt(socket.SOL_SOCKET, option, 1)
    it.bind(("127.0.0.1", int(sys.argv[1])))
    return it


def work(listener):
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            try:
                connection.recv(4096)
                body = os.environ.get("SEGUE_GENERATION", "none").encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
            except OSError:
                pass


reservation = bound()
workers = []
for _ in range(2):
    worker = os.fork()
    if worker == 0:
        mine = bound()
        mine.listen(256)
        work(mine)
    workers.append(worker)


def stop(*_):
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
while True:
    signal.pause()
