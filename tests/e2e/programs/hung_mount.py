"""A file system in memory (FUSE) that can stop answering: mounts it on DIRECTORY in this mount namespace, serves it from a process of its
own, with copies of the files in SEED, and executes WORD…. SIGUSR1 to the process whose number is in FILE makes it read requests and answer none; SIGUSR2 ends that.

hung_mount.py DIRECTORY FILE SEED WORD…"""

import ctypes, errno, os, select, signal, stat, struct, sys, time

directory, pid_file, seed, words = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"hung", directory.encode(), b"fuse", 0, options) != 0:
    sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")

if os.fork() != 0:
    os.wait()
    os.close(fuse)
    while not os.path.exists(pid_file):
        time.sleep(0.002)
    for name in os.listdir(seed):
        with open(f"{seed}/{name}", "rb") as source, open(f"{directory}/{name}", "wb") as copy:
            copy.write(source.read())
    os.execvp(words[0], words)
if os.fork() != 0:
    os._exit(0)
os.setsid()
for stream in (0, 1, 2):
    os.dup2(os.open("/dev/null", os.O_RDWR), stream)


class Node:
    def __init__(self, mode):
        self.mode, self.data, self.names, self.changed = mode, bytearray(), {}, time.time_ns()


ROOT = 1
nodes = {ROOT: Node(stat.S_IFDIR | 0o777)}
hung, waiting = False, []


def hang(signum, _):
    global hung
    hung = signum == signal.SIGUSR1


signal.signal(signal.SIGUSR1, hang)
signal.signal(signal.SIGUSR2, hang)


def attributes(ino):
    node = nodes[ino]
    seconds, rest = divmod(node.changed, 10**9)
    size = len(node.data)
    return struct.pack(
        "<QQQQQQIIIIIIIIII",
        ino, size, (size + 511) // 512, seconds, seconds, seconds, rest, rest, rest, node.mode, 1, 0, 0, 0, 4096, 0,
    )


def entry(ino):
    # Nothing is remembered: every look asks.
    return struct.pack("<QQQQII", ino, 0, 0, 0, 0, 0) + attributes(ino)


def make(parent, name, mode):
    ino = max(nodes) + 1
    nodes[ino] = Node(mode)
    nodes[parent].names[name] = ino
    nodes[parent].changed = time.time_ns()
    return ino


def text(body):
    return body.split(b"\0")[0]


def answer(opcode, ino, body):
    """The answer's body, or an error's number; None: there is none."""
    if opcode in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET
        return None
    if opcode == 26:  # INIT
        return struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 17, 0, 12, 9, 1 << 17, 1, 0, 0, 0)
    node = nodes.get(ino)
    if node is None:
        return errno.ENOENT
    if opcode == 1:  # LOOKUP
        found = node.names.get(text(body))
        return entry(found) if found else errno.ENOENT
    if opcode == 3:  # GETATTR
        return struct.pack("<QII", 0, 0, 0) + attributes(ino)
    if opcode == 4:  # SETATTR
        valid, size = struct.unpack_from("<I12xQ", body)
        if valid & 8:
            node.data = node.data[:size].ljust(size, b"\0")
            node.changed = time.time_ns()
        return struct.pack("<QII", 0, 0, 0) + attributes(ino)
    if opcode == 10:  # UNLINK
        return b"" if node.names.pop(text(body), None) else errno.ENOENT
    if opcode in (12, 45):  # RENAME, RENAME2
        target = nodes[struct.unpack_from("<Q", body)[0]]
        old, new = body[8 if opcode == 12 else 16 :].split(b"\0")[:2]
        if old not in node.names:
            return errno.ENOENT
        target.names[new] = node.names.pop(old)
        target.changed = time.time_ns()
        return b""
    if opcode in (14, 27):  # OPEN, OPENDIR
        return struct.pack("<QII", 0, 0, 0)
    if opcode == 15:  # READ
        offset, size = struct.unpack_from("<8xQI", body)
        return bytes(node.data[offset : offset + size])
    if opcode == 16:  # WRITE
        offset, size = struct.unpack_from("<8xQI", body)
        node.data = node.data.ljust(offset, b"\0")
        node.data[offset : offset + size] = body[40 : 40 + size]
        node.changed = time.time_ns()
        return struct.pack("<II", size, 0)
    if opcode == 9:  # MKDIR
        return entry(make(ino, body[8:].split(b"\0")[0], stat.S_IFDIR | 0o777))
    if opcode == 35:  # CREATE
        return entry(make(ino, text(body[16:]), stat.S_IFREG | 0o666)) + struct.pack("<QII", 0, 0, 0)
    if opcode == 28:  # READDIR
        offset = struct.unpack_from("<8xQ", body)[0]
        listing = b""
        for at, (name, it) in enumerate(list(node.names.items())):
            if at >= offset:
                one = struct.pack("<QQII", it, at + 1, len(name), nodes[it].mode >> 12) + name
                listing += one.ljust((len(one) + 7) & ~7, b"\0")
        return listing[:4096] if len(listing) <= 4096 else errno.EFBIG
    if opcode == 17:  # STATFS
        return struct.pack("<QQQQQIIII24x", 1, 1, 1, 1, 1, 4096, 255, 4096, 0)
    if opcode in (18, 20, 25, 29, 30):  # RELEASE, FSYNC, FLUSH, RELEASEDIR, FSYNCDIR
        return b""
    return errno.ENOSYS


def reply(unique, said):
    error, body = (-said, b"") if isinstance(said, int) else (0, said)
    try:
        os.write(fuse, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
    except OSError:
        pass  # Nobody waits any more.


with open(pid_file + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(pid_file + ".new", pid_file)
while True:
    if not hung:
        for unique, opcode, ino, body in waiting:
            reply(unique, answer(opcode, ino, body))
        waiting.clear()
    try:
        if not select.select([fuse], [], [], 0.05)[0]:
            continue
        request = os.read(fuse, 1 << 18)
    except InterruptedError:
        continue
    except OSError as error:
        if error.errno == errno.ENODEV:
            break
        continue
    _, opcode, unique, ino = struct.unpack_from("<IIQQ", request)
    body = request[40:]
    if hung:
        if opcode not in (2, 36, 42):
            waiting.append((unique, opcode, ino, body))
        continue
    said = answer(opcode, ino, body)
    if said is not None:
        reply(unique, said)
