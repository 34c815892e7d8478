"""Tornado's own server: tornado_app.py PORT PROCESSES."""

import asyncio
import sys

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.process import fork_processes
from tornado.web import Application, RequestHandler


class Hello(RequestHandler):
    def get(self):
        self.write("hello\n")


async def main(sockets):
    server = HTTPServer(Application([("/", Hello)]))
    server.add_sockets(sockets)
    await asyncio.Event().wait()


listeners = bind_sockets(int(sys.argv[1]), "127.0.0.1")
if int(sys.argv[2]) > 1:
    fork_processes(int(sys.argv[2]))
asyncio.run(main(listeners))
