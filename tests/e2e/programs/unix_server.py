#!/usr/bin/env python3
"""Listens on a unix socket as servers do, each in a way of its own: PATH STYLE…. Answers each connection with its generation and
what it was asked.

unlink: takes away what is there before it binds. probe: only if nobody accepts there. remove: takes its path away at its end. chmod:
sets the permissions afterwards. chdir: says only the last part of the path. seqpacket. closes: closes its listener when it hears USR1,
and goes on. asyncio: is asyncio's. dies-bound, dies-listening: the second generation ends then. silent: the second one never listens.
naive: ends at once at TERM, and works at
each answer for a while. renames: binds another name, and renames that. extra: listens on one more path, which tells its process.
temporary: and on one in a directory that it makes for it.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import threading
import time

path, styles = sys.argv[1], set(sys.argv[2:])
generation = os.environ.get("SEGUE_GENERATION", "0")
kind = socket.SOCK_SEQPACKET if "seqpacket" in styles else socket.SOCK_STREAM


def answer_to(asked):
    return generation.encode() + b" " + asked


async def by_asyncio():
    async def answer(reader, writer):
        asked = await reader.read(100)
        if asked:
            writer.write(answer_to(asked))
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    print("listening", generation, flush=True)
    try:
        await server.serve_forever()
    except asyncio.CancelledError:
        await server.wait_closed()
        # A connection that was accepted a moment ago has no task for some turns of the loop.
        quiet = 0
        while quiet < 10:
            await asyncio.sleep(0.002)
            quiet = quiet + 1 if len(asyncio.all_tasks()) == 1 else 0


if "asyncio" in styles:
    asyncio.run(by_asyncio())
    sys.exit(0)

os.umask(0o027)
if "chdir" in styles:
    os.chdir(os.path.dirname(path))
    path = os.path.basename(path)
if "probe" in styles and os.path.exists(path):
    try:
        socket.socket(socket.AF_UNIX, kind).connect(path)
        sys.exit("somebody accepts there")
    except ConnectionRefusedError:
        pass
if ("unlink" in styles or "probe" in styles) and os.path.lexists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX, kind)
if "renames" in styles:
    listener.bind(path + ".tmp")
    os.rename(path + ".tmp", path)
else:
    listener.bind(path)
if "dies-bound" in styles and generation == "2":
    sys.exit(3)
if "silent" in styles and generation == "2":
    time.sleep(60)
if "chmod" in styles:
    os.chmod(path, 0o666)
listener.listen(1000)
if "extra" in styles:
    extra = socket.socket(socket.AF_UNIX)
    extra.bind(f"{path}.{os.getpid()}")
    extra.listen()
if "temporary" in styles:
    temporary = socket.socket(socket.AF_UNIX)
    temporary.bind(tempfile.mkdtemp(dir=os.path.dirname(path)) + "/listener")
    temporary.listen()
if "dies-listening" in styles and generation == "2":
    time.sleep(0.1)
    os._exit(3)
over = threading.Event()
if "naive" not in styles:
    signal.signal(signal.SIGTERM, lambda *_: over.set())
closes = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: closes.set())
print("listening", generation, flush=True)


def answer(connection):
    with connection:
        asked = connection.recv(100)
        if asked:
            if "naive" in styles:
                time.sleep(0.2)
            connection.sendall(answer_to(asked))


workers = []
listener.settimeout(0.02)
while not over.is_set():
    if closes.is_set():
        listener.close()
        over.wait()
        break
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        continue
    workers.append(threading.Thread(target=answer, args=(connection,)))
    workers[-1].start()
    workers = workers[-100:]
listener.close()
for worker in workers:
    worker.join()
if "remove" in styles:
    try:
        os.unlink(path)
    except FileNotFoundError:
        print("gone already", generation, flush=True)
