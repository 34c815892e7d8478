"""Workers that listen with SO_REUSEPORT, each with a socket of its own: workers.py PORT WORKERS [SECONDS]. One that is asked for
/retire answers, closes its socket and ends; one that is asked for /crash ends without a word. After SECONDS there is another."""
import os
import signal
import socket
import sys
import time

port, workers = int(sys.argv[1]), int(sys.argv[2])
again_after = float(sys.argv[3]) if len(sys.argv) > 3 else None


def answer(connection, body):
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass
    connection.close()


def work():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(256)
    while True:
        connection, _ = listener.accept()
        connection.settimeout(5)
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                part = connection.recv(4096)
                if not part:
                    break
                request += part
            if request.startswith(b"GET /crash "):
                os.abort()
            if request.startswith(b"GET /retire "):
                # What has come already is answered: only then does it close.
                listener.setblocking(False)
                try:
                    while True:
                        answer(listener.accept()[0], b"last")
                except BlockingIOError:
                    pass
                listener.close()
                answer(connection, b"retired")
                os._exit(0)
            answer(connection, str(os.getpid()).encode())
        except OSError:
            connection.close()


def start():
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        work()
    return child


def stop(*_):
    for child in children:
        os.kill(child, signal.SIGKILL)
    os._exit(0)


children = {start() for _ in range(workers)}
signal.signal(signal.SIGTERM, stop)
while children:
    gone, _ = os.wait()
    children.discard(gone)
    print("gone", flush=True)
    if again_after is not None:
        time.sleep(again_after)
        children.add(start())
        print("again", flush=True)
while True:
    time.sleep(1000)
