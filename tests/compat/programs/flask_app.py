"""An application for Flask's development server."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return "hello\n"
