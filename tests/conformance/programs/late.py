"""Two ports, of which it listens on the second after a while: late.py PORT OTHER SECONDS. Each connection is answered at once."""
import socket
import socketserver
import sys
import threading
import time


class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(5)
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                part = self.request.recv(4096)
                if not part:
                    return
                request += part
            self.request.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate")
            self.request.shutdown(socket.SHUT_WR)
            while self.request.recv(4096):
                pass
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


first = Server(("127.0.0.1", int(sys.argv[1])), Answer)
threading.Thread(target=first.serve_forever, daemon=True).start()
time.sleep(float(sys.argv[3]))
Server(("127.0.0.1", int(sys.argv[2])), Answer).serve_forever()
