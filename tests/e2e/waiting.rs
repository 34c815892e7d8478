//! Clients of a program that is stopped first, or crashes, and to which a socket with connections in it cannot be given: it has its
//! listener under a second number, or in an epoll, before it listens.

use crate::support::{
    client::Load,
    free_port, loopback,
    segue::{As, BOTH, Recipe, Segue},
    wait,
};

/// Serves one connection at a time; `before`: what it does between bind and listen. It takes a while to start.
fn server(how: As, port: u16, before: &str, settings: &[(&str, &str)]) -> Segue {
    let script = format!(
        "import os, select, socket, sys, time\n\
         time.sleep(0.1)\n\
         s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
         s.bind(('127.0.0.1', {port}))\n\
         {before}\n\
         s.listen(128)\n\
         while True:\n\
         \x20   c, _ = s.accept()\n\
         \x20   if b'crash' in c.recv(4096): os._exit(7)\n\
         \x20   c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\nConnection: close\\r\\n\\r\\nx')\n\
         \x20   c.close()\n"
    );
    Recipe::plain(how, ["/usr/bin/python3", "-c", &script])
        .with(settings)
        .start()
}

const BEFORE: [&str; 3] = [
    "t = os.dup(s.fileno())",
    "e = select.epoll(); e.register(s.fileno())",
    "if os.fork() == 0: time.sleep(1000)",
];

#[test]
fn nobody_is_reset_who_waits_for_a_program_that_is_stopped_first() {
    for (number, before) in BEFORE.into_iter().enumerate() {
        let port = free_port();
        let settings = [("SEGUE_RESTART_MODE", "stop-first"), ("SEGUE_DRAIN", "connections")];
        let mut segue = server(BOTH[number % 2], port, before, &settings);
        segue.ready(1);
        if before.contains("epoll") {
            // Whether that was before its listen is seen when the next one listens.
            assert_eq!(segue.restart()["outcome"], "replaced");
        }
        let load = Load::start(loopback(port), "/", 6);
        for _ in 0..3 {
            load.more(30);
            let told = segue.restart();
            assert_eq!(told["outcome"], "replaced", "{told}");
        }
        load.more(30);
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{before}: {tally}");
        assert!(
            segue
                .lines("connections were reset that waited for the program to listen again")
                .is_empty()
        );
    }
}

/// Who comes while nobody is there waits; who was in its queue when it crashed cannot be helped.
#[test]
fn nobody_is_reset_who_comes_after_a_crash() {
    let port = free_port();
    let settings = [("SEGUE_RESTART", "always"), ("SEGUE_RESTART_DELAY", "300ms")];
    let mut segue = server(As::Init, port, BEFORE[0], &settings);
    segue.ready(1);
    for crash in 1..=2 {
        assert!(crate::support::client::get(loopback(port), "/crash").is_err());
        segue.line("generation is gone", crash);
        let load = Load::start(loopback(port), "/", 6);
        load.more(30);
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{tally}");
        wait::until("it is ready again", || {
            (segue.lines("generation became ready").len() == crash + 1).then_some(())
        });
    }
}
