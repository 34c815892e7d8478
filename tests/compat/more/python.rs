//! Application servers of PyPI in other shapes, and those less known.

use crate::table::Package;

more! {
    gunicorn_uvicorn_worker {
        title: "Gunicorn with Uvicorn's worker",
        package: Package::PyPi("uvicorn-worker"),
        command: "{venv}/bin/gunicorn --worker-class uvicorn_worker.UvicornWorker --workers 2 --bind 127.0.0.1:{port} app:asgi",
    }

    gunicorn_tornado {
        title: "Gunicorn, tornado workers",
        package: Package::PyPi("gunicorn"),
        command: "{venv}/bin/gunicorn --worker-class tornado --workers 2 --bind 127.0.0.1:{port} app:wsgi",
    }

    gunicorn_preload_reuse_port {
        title: "Gunicorn with --preload and --reuse-port",
        package: Package::PyPi("gunicorn"),
        command: "{venv}/bin/gunicorn --preload --reuse-port --workers 2 --bind 127.0.0.1:{port} app:wsgi",
    }

    gunicorn_dual {
        title: "Gunicorn on two addresses",
        package: Package::PyPi("gunicorn"),
        command: "{venv}/bin/gunicorn --bind 127.0.0.1:{port} --bind [::1]:{port2} app:wsgi",
    }

    uvicorn_workers {
        title: "Uvicorn, two workers",
        package: Package::PyPi("uvicorn"),
        command: "{venv}/bin/uvicorn --workers 2 --port {port} --no-access-log app:asgi",
    }

    hypercorn_single {
        title: "Hypercorn",
        package: Package::PyPi("hypercorn"),
        command: "{venv}/bin/hypercorn --bind 127.0.0.1:{port} app:asgi",
    }

    granian_wsgi {
        title: "Granian, WSGI",
        package: Package::PyPi("granian"),
        command: "{venv}/bin/granian --interface wsgi --host 127.0.0.1 --port {port} app:wsgi",
    }

    daphne {
        title: "Daphne",
        package: Package::PyPi("daphne"),
        command: "{venv}/bin/daphne --bind 127.0.0.1 --port {port} app:asgi",
    }

    cheroot {
        title: "Cheroot",
        package: Package::PyPi("cheroot"),
        command: "{venv}/bin/cheroot --bind 127.0.0.1:{port} app:wsgi",
        settings: &[("PYTHONPATH", "{dir}")],
    }

    tremolo {
        title: "Tremolo",
        package: Package::PyPi("tremolo"),
        command: "{venv}/bin/python -m tremolo --host 127.0.0.1 --port {port} app:asgi",
    }

    bjoern {
        title: "bjoern",
        package: Package::PyPi("bjoern-binary"),
        command: "{venv}/bin/python bjoern_app.py {port}",
    }

    uwsgi {
        title: "uWSGI with --die-on-term",
        package: Package::PyPi("pyuwsgi"),
        command: "{venv}/bin/uwsgi --die-on-term --master --processes 2 --http-socket 127.0.0.1:{port} --module app:wsgi",
    }

    uwsgi_http_router {
        title: "uWSGI behind its own HTTP router",
        package: Package::PyPi("pyuwsgi"),
        command: "{venv}/bin/uwsgi --die-on-term --master --processes 2 --http 127.0.0.1:{port} --module app:wsgi",
    }

    tornado_processes {
        title: "Tornado, two processes",
        package: Package::PyPi("tornado"),
        command: "{venv}/bin/python tornado_app.py {port} 2",
    }
}
