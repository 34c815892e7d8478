"""A server that takes its socket from LISTEN_FDS and goes wrong: `status N` answers N once it has answered one request
with 200; `dies` ends at once in every generation but the first."""
import os
import socket
import sys

if sys.argv[1] == "dies" and os.environ["SEGUE_GENERATION"] != "1":
    print("no second one", file=sys.stderr)
    sys.exit(3)
listener = socket.socket(fileno=3)
status = "200"
while True:
    connection, _ = listener.accept()
    with connection:
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(4096)
            if not part:
                break
            request += part
        else:
            connection.sendall(f"HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
            if sys.argv[1] == "status":
                status = sys.argv[2]
