"""bjoern: bjoern_app.py PORT."""

import sys

import bjoern

from app import wsgi

bjoern.run(wsgi, "127.0.0.1", int(sys.argv[1]), reuse_port=False)
