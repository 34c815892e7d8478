"""A server as people write them: takes its socket from LISTEN_FDS, and on SIGTERM answers who waits and ends."""
import os
import signal
import socket
import threading

listener = socket.socket(fileno=3)
listener.settimeout(0.02)
stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
working = []


def answer(connection):
    with connection:
        connection.settimeout(10)
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(4096)
            if not part:
                return
            request += part
        body = os.environ["SEGUE_GENERATION"].encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


while True:
    last = stopping.is_set()
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        if last:
            break
        continue
    connection.settimeout(None)
    thread = threading.Thread(target=answer, args=(connection,))
    thread.start()
    working = [it for it in working if it.is_alive()] + [thread]
for thread in working:
    thread.join()
