"""A server whose socket is in an epoll before it is bound, and listens by another number: watched_dup.py PORT. It answers with
what TCP_NODELAY is on the connection, which it has set on the listener only."""
import os
import select
import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
watch = select.epoll()
watch.register(server.fileno(), 0)
other = socket.socket(fileno=os.dup(server.fileno()))
server.bind(("127.0.0.1", int(sys.argv[1])))
other.listen(512)
watch.modify(server.fileno(), select.EPOLLIN)
print("listens on", other.getsockname(), flush=True)
while True:
    for _ in watch.poll():
        try:
            connection, _ = server.accept()
        except BlockingIOError:
            continue
        with connection:
            connection.settimeout(5)
            try:
                connection.recv(4096)
                body = b"nodelay %d" % connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
            except OSError:
                pass
