"""Robyn's own server: robyn_app.py PORT."""

import os

from robyn import Robyn

app = Robyn(__file__)


@app.get("/")
async def hello():
    return "hello\n"


if __name__ == "__main__":
    app.start(host="127.0.0.1", port=int(os.environ["HELLO_PORT"]))
