"""Servers of Python's standard library: standard.py KIND PORT; all but wsgiref send lines back."""

import asyncio
import socketserver
import sys
from wsgiref.simple_server import make_server

from app import wsgi


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def streams(address):
    server = await asyncio.start_server(echo, *address)
    await server.serve_forever()


def main(kind, address):
    if kind == "wsgiref":
        make_server(*address, wsgi).serve_forever()
    elif kind == "asyncio":
        asyncio.run(streams(address))
    else:
        servers = {"threading": socketserver.ThreadingTCPServer, "forking": socketserver.ForkingTCPServer}
        servers[kind].allow_reuse_address = True
        servers[kind](address, Echo).serve_forever()


main(sys.argv[1], ("127.0.0.1", int(sys.argv[2])))
