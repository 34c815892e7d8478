//! Python frameworks with their own servers, and the standard library's.

use crate::{
    ask::Ask,
    table::{PAGE, Package},
    talk::{TALK, Talk},
};

/// What is said to one that sends every line back.
const ECHO: Ask = Ask::Talk(Talk {
    ask: "are you there?\n",
    answer: "are you there?\n",
    ..TALK
});

more! {
    flask {
        title: "Flask's development server",
        package: Package::PyPi("flask"),
        command: "{venv}/bin/flask --app flask_app run --port {port}",
    }

    flask_debug {
        title: "Flask's development server with its reloader",
        package: Package::PyPi("flask"),
        command: "{venv}/bin/flask --app flask_app run --debug --port {port}",
    }

    django {
        title: "Django's development server",
        package: Package::PyPi("django"),
        command: "{venv}/bin/python django_app.py runserver --noreload 127.0.0.1:{port}",
    }

    fastapi {
        title: "FastAPI with Uvicorn",
        package: Package::PyPi("fastapi"),
        command: "{venv}/bin/uvicorn --port {port} --no-access-log fastapi_app:app",
    }

    sanic {
        title: "Sanic, one process",
        package: Package::PyPi("sanic"),
        command: "{venv}/bin/sanic sanic_app.app --single-process --host 127.0.0.1 --port {port}",
    }

    sanic_workers {
        title: "Sanic, two workers",
        package: Package::PyPi("sanic"),
        command: "{venv}/bin/sanic sanic_app.app --workers 2 --host 127.0.0.1 --port {port}",
    }

    twisted_web {
        title: "Twisted Web",
        package: Package::PyPi("twisted"),
        command: "{venv}/bin/twist --log-level warn web --listen tcp:{port}:interface=127.0.0.1 --path {dir}/www",
        prepare: PAGE,
    }

    datasette {
        title: "Datasette, in memory",
        package: Package::PyPi("datasette"),
        command: "{venv}/bin/datasette --memory --host 127.0.0.1 --port {port}",
        ask: Ask::Page { target: "/-/versions.json", words: "\"datasette\"" },
        rate: 40,
    }

    aiosmtpd {
        title: "aiosmtpd",
        package: Package::PyPi("aiosmtpd"),
        command: "{venv}/bin/aiosmtpd --nosetuid --listen 127.0.0.1:{port}",
        ask: Ask::Talk(Talk { greeting: "220 ", ask: "NOOP\r\n", answer: "250 ", quit: "QUIT\r\n", goodbye: "421 ", ..TALK }),
    }

    pyftpdlib {
        title: "pyftpdlib",
        package: Package::PyPi("pyftpdlib"),
        command: "{venv}/bin/python ftp.py {port}",
        ask: Ask::Talk(Talk { greeting: "220 ", ask: "NOOP\r\n", answer: "200 ", quit: "QUIT\r\n", goodbye: "421 ", ..TALK }),
    }

    wsgiref {
        title: "Python wsgiref",
        package: Package::Debian("python3"),
        command: "/usr/bin/python3 standard.py wsgiref {port}",
        version: "/usr/bin/python3 --version",
    }

    socketserver_threading {
        title: "Python socketserver, threads",
        package: Package::Debian("python3"),
        command: "/usr/bin/python3 standard.py threading {port}",
        ask: ECHO,
        version: "/usr/bin/python3 --version",
    }

    socketserver_forking {
        title: "Python socketserver, a process for each connection",
        package: Package::Debian("python3"),
        command: "/usr/bin/python3 standard.py forking {port}",
        ask: ECHO,
        version: "/usr/bin/python3 --version",
        rate: 100,
    }

    asyncio_streams {
        title: "Python asyncio streams",
        package: Package::Debian("python3"),
        command: "/usr/bin/python3 standard.py asyncio {port}",
        ask: ECHO,
        version: "/usr/bin/python3 --version",
    }
}
