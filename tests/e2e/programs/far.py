"""A network that is slow to cross: joins two network namespaces by a pair of TUN devices, and holds each packet for a time.

far.py NAMESPACE NAMESPACE MILLISECONDS; says `up` when both devices (`tun0`) are there. What netem does, without its module.
"""
import collections
import ctypes
import fcntl
import os
import selectors
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)


def device(namespace):
    with open(f"/run/netns/{namespace}") as file:
        assert libc.setns(file.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x0001 | 0x1000))  # TUNSETIFF: a TUN device, bare packets
    return tun


one, other, delay = device(sys.argv[1]), device(sys.argv[2]), float(sys.argv[3]) / 1000
print("up", flush=True)
selector = selectors.DefaultSelector()
for source, target in ((one, other), (other, one)):
    selector.register(source, selectors.EVENT_READ, target)
waiting = collections.deque()
while True:
    patience = max(0, waiting[0][0] - time.monotonic()) if waiting else None
    for key, _ in selector.select(patience):
        try:
            while True:
                packet = os.read(key.fd, 65536)
                waiting.append((time.monotonic() + delay, key.data, packet))
        except BlockingIOError:
            pass
    while waiting and waiting[0][0] <= time.monotonic():
        _, target, packet = waiting.popleft()
        try:
            os.write(target, packet)
        except OSError:
            pass  # the other end is not up yet, or full: packets may be lost in any network
