"""Answers each datagram with what came and the number of its generation, at each address that it is given."""
import os
import selectors
import signal
import socket
import sys

NUMBER = os.environ.get("SEGUE_GENERATION", "0").encode()
BUFFER = 4 << 20


def bound(where):
    """HOST:PORT, with `6` for the host to mean both families, and options before an `=`."""
    options, _, address = where.rpartition("=")
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host or host == "6" else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    if host == "6":
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if "shared" in options:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if "reused" in options:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("::" if host == "6" else host, int(port)))
    return one


def serve(sockets):
    selector = selectors.DefaultSelector()
    for one in sockets:
        selector.register(one, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            what, who = key.fileobj.recvfrom(2048)
            key.fileobj.sendto(what + b" " + NUMBER, who)


workers, addresses = int(sys.argv[1]), sys.argv[2:]
for _ in range(workers):
    if os.fork() == 0:
        serve([bound(where) for where in addresses])
if workers:
    signal.pause()
serve([bound(where) for where in addresses])
