"""Listens on two ports, in one thread: two_ports.py PORT OTHER. Asked for /close, it closes the other one and goes on."""
import selectors
import socket
import sys


def listener(port):
    it = socket.socket()
    it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    it.bind(("127.0.0.1", port))
    it.listen(256)
    it.setblocking(False)
    ready.register(it, selectors.EVENT_READ)
    return it


ready = selectors.DefaultSelector()
first, other = listener(int(sys.argv[1])), listener(int(sys.argv[2]))
while True:
    for key, _ in ready.select():
        if key.fileobj is other and other.fileno() < 0:
            continue
        try:
            connection, _ = key.fileobj.accept()
        except BlockingIOError:
            continue
        with connection:
            connection.settimeout(5)
            try:
                request = connection.recv(4096)
                if b"/close" in request:
                    ready.unregister(other)
                    other.close()
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\nprogram")
                connection.shutdown(socket.SHUT_WR)
                connection.recv(4096)
            except OSError:
                pass
