"""Binds and listens by io_uring, which no seccomp filter sees: import it, and call ring_listen(socket, address)."""

import ctypes
import mmap
import os
import socket
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
SETUP, ENTER = 425, 426
OP_BIND, OP_LISTEN = 56, 57
GETEVENTS = 1


class Ring:
    def __init__(self):
        params = ctypes.create_string_buffer(120)
        self.fd = LIBC.syscall(SETUP, 4, params)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")
        self.entries, cq_entries = struct.unpack_from("II", params, 0)
        self.sq = struct.unpack_from("8I", params, 40)  # head, tail, mask, entries, flags, dropped, array
        self.cq = struct.unpack_from("8I", params, 80)  # head, tail, mask, entries, overflow, cqes
        self.rings = mmap.mmap(self.fd, max(self.sq[6] + self.entries * 4, self.cq[5] + cq_entries * 16))
        self.sqes = mmap.mmap(self.fd, self.entries * 64, offset=0x10000000)

    def call(self, opcode, fd, address=0, offset=0, length=0):
        """One operation, waited for; its result, or OSError."""
        (tail,) = struct.unpack_from("I", self.rings, self.sq[1])
        index = tail & (self.entries - 1)
        struct.pack_into("BBHiQQII", self.sqes, index * 64, opcode, 0, 0, fd, offset, address, length, 0)
        self.sqes[index * 64 + 32 : index * 64 + 64] = bytes(32)
        struct.pack_into("I", self.rings, self.sq[6] + index * 4, index)
        struct.pack_into("I", self.rings, self.sq[1], tail + 1)
        if LIBC.syscall(ENTER, self.fd, 1, 1, GETEVENTS, None, 0) < 0:
            raise OSError(ctypes.get_errno(), "io_uring_enter")
        head, mask = struct.unpack_from("I", self.rings, self.cq[0])[0], self.entries * 2 - 1
        _, result, _ = struct.unpack_from("QiI", self.rings, self.cq[5] + (head & mask) * 16)
        struct.pack_into("I", self.rings, self.cq[0], head + 1)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result


def ring_listen(listener, address, backlog=64):
    ring = Ring()
    bytes_of = struct.pack("!HH4s8x", 0, address[1], socket.inet_aton(address[0]))
    bytes_of = struct.pack("H", socket.AF_INET) + bytes_of[2:]
    where = ctypes.create_string_buffer(bytes_of, 16)
    ring.call(OP_BIND, listener.fileno(), address=ctypes.addressof(where), offset=16)
    ring.call(OP_LISTEN, listener.fileno(), length=backlog)
