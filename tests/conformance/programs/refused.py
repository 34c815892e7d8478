"""Options that the kernel refuses on a socket, which programs try and ignore; then the socket is bound: refused.py PORT."""
import errno
import socket
import sys

IPV6_FREEBIND, IPV6_TRANSPARENT, SO_RCVBUFFORCE = 78, 75, 33
TRIED = [
    ("IPV6_V6ONLY", socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1),
    ("IPV6_FREEBIND", socket.IPPROTO_IPV6, IPV6_FREEBIND, 1),
    ("IPV6_TRANSPARENT", socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1),
    ("TCP_MAXSEG of 1", socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1),
    ("TCP_MAXSEG of 10", socket.IPPROTO_TCP, socket.TCP_MAXSEG, 10),
    ("TCP_FASTOPEN of -1", socket.IPPROTO_TCP, socket.TCP_FASTOPEN, -1),
    ("a device of no name", socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"none7\0"),
    ("a short SO_REUSEPORT", socket.SOL_SOCKET, socket.SO_REUSEPORT, b"\1"),
    ("a short SO_RCVBUF", socket.SOL_SOCKET, socket.SO_RCVBUF, b"\1"),
    ("SO_RCVBUFFORCE", socket.SOL_SOCKET, SO_RCVBUFFORCE, 100000),
    ("IP_TRANSPARENT", socket.IPPROTO_IP, 19, 1),
    ("TCP_DEFER_ACCEPT", socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1),
]


def outcome(what, call):
    try:
        call()
        return f"{what} ok"
    except OSError as error:
        return f"{what} {errno.errorcode[error.errno]}"


for number, (name, level, option, value) in enumerate(TRIED):
    tried = socket.socket()
    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    words = [outcome("set", lambda: tried.setsockopt(level, option, value))]
    words.append(outcome("bind", lambda: tried.bind((f"127.0.0.{number + 2}", int(sys.argv[1])))))
    words.append(outcome("listen", tried.listen))
    print(f"{name}:", *words, flush=True)
