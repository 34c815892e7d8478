"""pyftpdlib: ftp.py PORT."""

import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

FTPHandler.authorizer = DummyAuthorizer()
server = FTPServer(("127.0.0.1", int(sys.argv[1])), FTPHandler)
server.max_cons = 1000
server.serve_forever()
