"""An application of Sanic."""

from sanic import Sanic, text

app = Sanic("hello")


@app.get("/")
async def hello(request):
    return text("hello\n")
