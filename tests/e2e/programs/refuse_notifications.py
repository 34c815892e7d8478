"""Runs a program where the kernel refuses seccomp notifications with EINVAL, as gVisor does: refuse_notifications.py PROGRAM…"""
import ctypes
import os
import struct
import sys

NUMBER = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NEW_LISTENER, EINVAL = 8, 22
steps = [
    (LOAD, 0, 0, 0),  # the call's number
    (EQUAL, 0, 3, NUMBER),
    (LOAD, 0, 0, 16 + 8),  # the low half of seccomp's second argument: flags
    (ANY_BIT, 0, 1, NEW_LISTENER),
    (RETURN, 0, 0, 0x00050000 | EINVAL),
    (RETURN, 0, 0, 0x7FFF0000),
]
program = b"".join(struct.pack("HBBI", *step) for step in steps)
memory = ctypes.create_string_buffer(program)
fprog = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(memory))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.create_string_buffer(fprog), 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execvp(sys.argv[1], sys.argv[1:])
