"""Says which options its listener has, asked over it; the first generation sets some, and dies at /crash: after_crash.py PORT."""
import os
import socket
import sys

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if os.environ["SEGUE_GENERATION"] == "1":
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(64)
while True:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(5)
        try:
            if b"/crash" in connection.recv(4096):
                os.abort()
            options = (
                listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
                listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
            )
            body = (os.environ["SEGUE_GENERATION"] + " %d %d %d" % options).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        except OSError:
            pass
