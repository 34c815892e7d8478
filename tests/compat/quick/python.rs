//! Python's own server, and the application servers of PyPI.

use crate::{
    ask::Ask,
    table::{PAGE, Package},
};

quick! {
    python_http_server {
        title: "python3 -m http.server",
        package: Package::Debian("python3"),
        command: "/usr/bin/python3 -m http.server --directory {dir}/www {port}",
        prepare: PAGE,
        version: "/usr/bin/python3 --version",
    }

    python_http_server_bind {
        title: "python3 -m http.server --bind",
        package: Package::Debian("python3"),
        command: "/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory {dir}/www {port}",
        prepare: PAGE,
        version: "/usr/bin/python3 --version",
    }

    gunicorn_sync {
        title: "Gunicorn, sync workers",
        package: Package::PyPi("gunicorn"),
        command: "{venv}/bin/gunicorn --workers 2 --bind 127.0.0.1:{port} app:wsgi",
    }

    gunicorn_gthread {
        title: "Gunicorn, gthread workers",
        package: Package::PyPi("gunicorn"),
        command: "{venv}/bin/gunicorn --worker-class gthread --threads 8 --workers 2 --bind 127.0.0.1:{port} app:wsgi",
    }

    gunicorn_gevent {
        title: "Gunicorn, gevent workers",
        package: Package::PyPi("gunicorn"),
        command: "{venv}/bin/gunicorn --worker-class gevent --workers 2 --bind 127.0.0.1:{port} app:wsgi",
    }

    uvicorn {
        title: "Uvicorn",
        package: Package::PyPi("uvicorn"),
        command: "{venv}/bin/uvicorn --port {port} --no-access-log app:asgi",
    }

    hypercorn {
        title: "Hypercorn, two workers",
        package: Package::PyPi("hypercorn"),
        command: "{venv}/bin/hypercorn --workers 2 --bind 127.0.0.1:{port} app:asgi",
    }

    waitress {
        title: "Waitress",
        package: Package::PyPi("waitress"),
        command: "{venv}/bin/waitress-serve --listen 127.0.0.1:{port} app:wsgi",
    }

    granian {
        title: "Granian, two workers",
        package: Package::PyPi("granian"),
        command: "{venv}/bin/granian --interface asgi --workers 2 --host 127.0.0.1 --port {port} app:asgi",
    }

    aiohttp {
        title: "aiohttp",
        package: Package::PyPi("aiohttp"),
        command: "{venv}/bin/python aiohttp_app.py {port}",
    }

    tornado {
        title: "Tornado",
        package: Package::PyPi("tornado"),
        command: "{venv}/bin/python tornado_app.py {port} 1",
        ask: Ask::Http { target: "/", body: "hello" },
    }
}
