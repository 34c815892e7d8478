"""Clients that keep a server busy: one request after the other, each over a connection of its own, every failure counted."""

import socket
import threading
import time

TIMEOUT = 20


def request(address, path="/"):
    """One request; its body, or an exception."""
    with socket.create_connection(address, timeout=TIMEOUT) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        raise EOFError("the answer is cut short")
    if not head.split(b" ")[1].startswith(b"2"):
        raise ValueError(head.split(b"\r\n")[0].decode())
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(body) < int(value):
            raise EOFError("the answer is cut short")
    return body.decode()


class Load:
    """So many clients, until they are stopped."""

    def __init__(self, address, clients):
        self.address, self.running = address, True
        self.succeeded, self.failures = 0, {}
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while self.running:
            try:
                request(self.address)
                with self.lock:
                    self.succeeded += 1
            except Exception as failure:  # every kind counts
                with self.lock:
                    kind = type(failure).__name__
                    self.failures[kind] = self.failures.get(kind, 0) + 1

    def stop(self):
        """The number of requests and of failures by kind."""
        self.running = False
        for thread in self.threads:
            thread.join(TIMEOUT)
        return self.succeeded + sum(self.failures.values()), dict(self.failures)


def until(what, state, patience=30):
    """Waits for a state with a deadline."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = state()
        if value:
            return value
        time.sleep(0.01)
    raise SystemExit(f"demo: {what}: not within {patience} s")
