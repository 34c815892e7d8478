//! When a generation is ready, in each way that `SEGUE_READY` knows.

use std::time::Duration;

use crate::support::{
    client, directory, free_port, hello, loopback, script,
    segue::{As, BOTH, Recipe},
    wait,
};

#[test]
fn notify_is_believed_from_the_program_and_its_children() {
    let files = directory();
    let text = "#!/usr/bin/python3\n\
                import os, socket, subprocess, sys\n\
                if len(sys.argv) < 2: subprocess.run([sys.argv[0], 'child']); os.execvp('sleep', ['sleep', '1000'])\n\
                s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
                s.sendto(b'STATUS=up\\nREADY=1\\n', '\\0' + os.environ['NOTIFY_SOCKET'][1:])\n";
    let program = script(&files.path().join("program"), text);
    for how in BOTH {
        let mut segue = Recipe::new(how, [&program]).set("SEGUE_READY", "notify").start();
        segue.ready(1);
    }
}

/// The address is open to everybody in the network namespace; the word of another PID namespace does not count.
#[test]
fn notify_is_not_believed_from_strangers() {
    let mut segue = Recipe::new(As::Init, ["sh", "-c", "echo $NOTIFY_SOCKET; exec sleep 1000"])
        .set("SEGUE_READY", "notify")
        .start();
    let address = wait::until("the address", || segue.stdout().lines().next().map(str::to_owned));
    use std::os::linux::net::SocketAddrExt;
    let name = address.strip_prefix('@').expect("an abstract address");
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    std::os::unix::net::UnixDatagram::unbound()
        .unwrap()
        .send_to_addr(b"READY=1", &address)
        .unwrap();
    segue.line("ignored a notification from a stranger", 1);
    assert!(segue.lines("generation became ready").is_empty());
}

/// Its notification and its answering port, or a program that says it over and over: one line tells of it.
#[test]
fn a_generation_becomes_ready_once_however_often_it_says_so() {
    let files = directory();
    let text = "#!/usr/bin/python3\n\
                import os, socket, time\n\
                s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
                for _ in range(3): s.sendto(b'READY=1', '\\0' + os.environ['NOTIFY_SOCKET'][1:])\n\
                time.sleep(1000)\n";
    let program = script(&files.path().join("program"), text);
    let mut segue = Recipe::new(As::Subreaper, [&program])
        .set("SEGUE_READY", "notify")
        .start();
    segue.line("generation is ready: known already", 2);
    assert_eq!(segue.lines("generation became ready").len(), 1);
}

/// The passed socket accepts from the start, so that only an answer shows that the program does: of the old program, if
/// the question did not find its way to the new one.
#[test]
fn http_asks_the_new_generation_and_not_the_old_one() {
    for (how, address) in [(As::Subreaper, "127.0.0.1"), (As::Init, "[::1]"), (As::Init, "")] {
        let port = free_port();
        let mut segue = Recipe::new(how, [hello()])
            .set("SEGUE_LISTEN", format!("{address}:{port}"))
            .set("SEGUE_READY", format!("http:{address}:{port}/generation"))
            .set("SEGUE_PROBATION", "10ms")
            .set("HELLO_START_DELAY", "600")
            .start();
        segue.ready(1);
        let line = segue.restart();
        assert_eq!(line["outcome"], "replaced", "{line}");
        assert!(
            line["took_ms"].as_u64().unwrap() >= 600,
            "the old one answered for it: {line}"
        );
    }
}

#[test]
fn http_wants_a_success() {
    let (files, port) = (directory(), free_port());
    let text = format!(
        "#!/usr/bin/python3\n\
         import http.server, time\n\
         begin = time.monotonic()\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
        \x20   def do_GET(self): self.send_response(200 if time.monotonic() > begin + 0.5 else 503); self.end_headers()\n\
         http.server.HTTPServer(('127.0.0.1', {port}), H).serve_forever()\n"
    );
    let program = script(&files.path().join("program"), &text);
    let mut segue = Recipe::new(As::Subreaper, [program])
        .set("SEGUE_READY", format!("http://localhost:{port}/"))
        .start();
    segue.ready(1);
    let refusals = segue.lines("not ready");
    assert!(
        refusals
            .iter()
            .any(|line| line["why"].as_str().unwrap().contains("503")),
        "{refusals:?}"
    );
}

#[test]
fn tcp_waits_until_a_connection_is_accepted() {
    let port = free_port();
    let mut segue = Recipe::new(As::Init, [hello()])
        .set("ADDRESS", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY", format!("tcp::{port}"))
        .set("HELLO_START_DELAY", "300")
        .start();
    segue.ready(1);
    client::get(loopback(port), "/").unwrap();
}

#[test]
fn exec_waits_until_the_command_succeeds() {
    let files = directory();
    let flag = files.path().join("ready");
    for how in BOTH {
        let mut segue = Recipe::new(how, ["sleep", "1000"])
            .set("SEGUE_READY", format!("exec:test -e {}", flag.display()))
            .start();
        segue.line("not ready", 3);
        assert!(segue.lines("generation became ready").is_empty());
        std::fs::write(&flag, "").unwrap();
        segue.ready(1);
        std::fs::remove_file(&flag).unwrap();
    }
}

#[test]
fn a_readiness_command_that_cannot_run_says_why() {
    let mut segue = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_READY", "exec:/nonexistent")
        .start();
    let line = segue.line("not ready", 1);
    assert!(line["why"].as_str().unwrap().contains("/nonexistent"), "{line}");
}

/// Started is ready; a first generation that is not ready has no time limit.
#[test]
fn the_first_generation_may_take_its_time() {
    let mut segue = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_READY", "notify")
        .set("SEGUE_READY_TIMEOUT", "100ms")
        .start();
    segue.line("generation started", 1);
    wait::throughout(Duration::from_millis(400), "it goes on", || {
        segue.lines("program ended").is_empty()
    });
    // It never was ready, so that a restart replaces it at once.
    segue.signal(libc::SIGHUP);
    segue.line("generation started", 2);
    segue.line("generation is gone", 1);
}

/// Whoever serves dies in a restart, and its successor, which does not listen yet, has the new connections from then on. It is asked
/// until it is ready all the same.
#[test]
fn who_inherits_the_service_is_asked_until_it_is_ready() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let (tcp, http) = (format!("tcp:{address}"), format!("http://{address}/generation"));
    for (proxy, ready) in [
        (false, "auto"),
        (false, &tcp),
        (false, &http),
        (false, "exec:test -e go"),
        (true, "auto"),
        (true, &http),
    ] {
        let files = directory();
        let own = if proxy { "127.0.0.1:$PORT" } else { &address };
        let waits = "[ $SEGUE_GENERATION = 1 ] || until [ -e go ]; do sleep 0.01; done";
        let program = script(
            &files.path().join("program"),
            &format!("#!/bin/sh\n{waits}\nexec {} {own}\n", hello().display()),
        );
        let go = files.path().join("go");
        std::fs::write(&go, "").unwrap();
        let mut recipe = Recipe::plain(As::Init, [program])
            .within(files.path())
            .set("SEGUE_READY", ready);
        if proxy {
            recipe = recipe.set("SEGUE_PROXY", &address);
        }
        let mut segue = recipe.start();
        segue.ready(1);
        // (The command says nothing of that.)
        wait::until("it serves", || client::get(loopback(port), "/generation").ok());
        std::fs::remove_file(&go).unwrap();
        segue.signal(libc::SIGHUP);
        segue.line("generation started", 2);
        // Behind the proxy that is a 502, else no answer.
        let _cut = client::post(loopback(port), "/crash");
        segue.line("generation is gone", 1);
        std::fs::write(&go, "").unwrap();
        segue.ready(2);
        assert_eq!(
            client::get(loopback(port), "/generation").unwrap().trim(),
            "2",
            "{ready}"
        );
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 0, "{ready}");
    }
}
