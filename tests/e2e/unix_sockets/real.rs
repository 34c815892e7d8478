//! Unix sockets of real servers, unmodified.

use super::*;
use crate::support::servers::is_installed;

/// An answer of 200 over a connection of its own.
fn get(path: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let right = answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok");
    right
        .then(|| answer.clone())
        .ok_or(io::Error::new(io::ErrorKind::InvalidData, answer))
}

/// The same of a FastCGI server, which a web server would ask so (its specification, sections 3 and 5).
fn get_by_fastcgi(path: &Path) -> io::Result<String> {
    let script = path.with_file_name("ok.php").display().to_string();
    let record = |kind: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[1, kind, 0, 1, length[0], length[1], 0, 0], content].concat()
    };
    let mut values = Vec::new();
    for (name, value) in [
        ("SCRIPT_FILENAME", script.as_str()),
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", "/ok.php"),
    ] {
        let lengths = [name, value].map(|it| u8::try_from(it.len()).unwrap());
        values.extend(lengths.into_iter().chain(name.bytes()).chain(value.bytes()));
    }
    let responder = [0, 1, 0, 0, 0, 0, 0, 0];
    let request = [
        record(1, &responder),
        record(4, &values),
        record(4, &[]),
        record(5, &[]),
    ]
    .concat();
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(&request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let right = answer.contains("\r\n\r\nok");
    right
        .then(|| answer.clone())
        .ok_or(io::Error::new(io::ErrorKind::InvalidData, answer))
}

/// A real HTTP server, if it is installed.
fn real(words: &[&str], files: &[(&str, &str)], settings: &[(&str, &str)]) {
    real_asked_by(get, words, files, settings);
}

fn real_asked_by(
    get: fn(&Path) -> io::Result<String>,
    words: &[&str],
    files: &[(&str, &str)],
    settings: &[(&str, &str)],
) {
    if !is_installed(words[0]) {
        return;
    }
    let home = home();
    let here = home.path().display().to_string();
    for (name, text) in files {
        fs::write(home.path().join(name), text.replace("{dir}", &here)).unwrap();
    }
    let words: Vec<String> = words.iter().map(|word| word.replace("{dir}", &here)).collect();
    // gunicorn has a control socket below it, which others on this machine would have, too.
    let recipe = Recipe::plain(As::Subreaper, words)
        .within(home.path())
        .set("HOME", &here)
        .with(settings);
    let mut server = Server::started(recipe.set("SEGUE_PROBATION", "50ms").start(), home, "");
    let path = server.path();
    wait::until("it answers", || get(&path).ok());
    let mode = server.mode();
    server.restart("replaced");
    wait::until("the first generation is gone", || {
        (server.segue.lines("generation is gone").len() == 1).then_some(())
    });
    let load = {
        let path = path.clone();
        Load::of(4, move || {
            let path = path.clone();
            Box::new(move || get(&path)) as Work
        })
    };
    for _ in 0..20 {
        load.more(20);
        server.restart("replaced");
    }
    load.more(20);
    let tally = load.stop();
    clean(&tally);
    assert_eq!(server.mode(), mode);
}

fn from_pypi(name: &str) -> String {
    let given = std::env::var("TESTS_COMPAT_VENV");
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{home}/.cache"));
    format!(
        "{}/bin/{name}",
        given.unwrap_or_else(|_| format!("{cache}/segue-compat/venv"))
    )
}

#[test]
fn gunicorn() {
    let app = "def app(environ, start):\n    start('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n";
    real(
        &[&from_pypi("gunicorn"), "-b", "unix:{dir}/app.sock", "app:app"],
        &[("app.py", app)],
        &[],
    );
}

#[test]
fn uvicorn() {
    let app = "async def app(scope, receive, send):\n    assert scope['type'] == 'http'\n    await send({'type': \
               'http.response.start', 'status': 200, 'headers': [(b'content-length', b'2')]})\n    await send({'type': \
               'http.response.body', 'body': b'ok'})\n";
    real(
        &[&from_pypi("uvicorn"), "--uds", "{dir}/app.sock", "app:app"],
        &[("app.py", app)],
        &[],
    );
}

#[test]
fn node() {
    let server = "const server = require('http').createServer((request, response) => response.end('ok'));\n\
                  server.listen('{dir}/app.sock');\nprocess.on('SIGTERM', () => server.close());\n";
    real(&["node", "{dir}/server.js"], &[("server.js", server)], &[]);
}

#[test]
fn haproxy() {
    let conf = "global\n    stats socket {dir}/stats.sock level admin\ndefaults\n    mode http\n    timeout client 20s\n    timeout \
                server 20s\n    timeout connect 20s\nfrontend all\n    bind unix@{dir}/app.sock mode 666\n    http-request return \
                status 200 content-type text/plain string ok\n";
    let settings = [("SEGUE_STOP_SIGNAL", "USR1")];
    real(
        &["haproxy", "-db", "-f", "{dir}/haproxy.cfg"],
        &[("haproxy.cfg", conf)],
        &settings,
    );
}

#[test]
fn nginx() {
    let conf = "daemon off; pid {dir}/pid; error_log {dir}/error.log; events {}\n\
                http { access_log off; server { listen unix:{dir}/app.sock; return 200 ok; } }\n";
    real(
        &["nginx", "-c", "{dir}/nginx.conf"],
        &[("nginx.conf", conf)],
        &[("SEGUE_STOP_SIGNAL", "QUIT")],
    );
}

const RACK: &str = "run ->(env) { [200, { 'content-length' => '2' }, ['ok']] }\n";

#[test]
fn puma() {
    real(
        &["puma", "--bind", "unix://{dir}/app.sock", "{dir}/config.ru"],
        &[("config.ru", RACK)],
        &[],
    );
}

#[test]
fn puma_s_workers() {
    let words = "puma --workers 2 --bind unix://{dir}/app.sock {dir}/config.ru";
    let words: Vec<&str> = words.split(' ').collect();
    real(&words, &[("config.ru", RACK)], &[]);
}

/// Before it binds, it connects to see whether another one is there.
#[test]
fn php_fpm() {
    let conf = "[global]\nerror_log = {dir}/log\nprocess_control_timeout = 20s\n[www]\nlisten = {dir}/app.sock\n\
                listen.mode = 0666\nuser = nobody\ngroup = nogroup\npm = static\npm.max_children = 3\n";
    let found = ["8.2", "8.3", "8.4", "8.5"].map(|version| format!("/usr/sbin/php-fpm{version}"));
    let found = found.into_iter().find(|it| Path::new(it).exists());
    real_asked_by(
        get_by_fastcgi,
        &[
            found.as_deref().unwrap_or("php-fpm"),
            "--nodaemonize",
            "--fpm-config",
            "{dir}/fpm.conf",
        ],
        &[("fpm.conf", conf), ("ok.php", "<?php echo 'ok';")],
        &[("SEGUE_STOP_SIGNAL", "QUIT")],
    );
}
