//! Connections that a process of their own serves: a restart leaves them alone as long as a drain may take, be they idle or not.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::support::{
    free_port, loopback,
    segue::{As, BOTH, Recipe, Segue},
    wait,
};

/// Says its generation for each byte, in a child of its own for each connection; `handles`: its end on SIGTERM is its own choice.
const FORKS: &str = r#"
import os, signal, socket, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if sys.argv[2] == 'handles':
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(64)
while True:
    c, _ = s.accept()
    if os.fork() == 0:
        s.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while c.recv(1): c.sendall(os.environ['SEGUE_GENERATION'].encode())
        os._exit(0)
    c.close()
"#;

fn forks(how: As, port: u16, handles: &str) -> Segue {
    let words = ["/usr/bin/python3", "-c", FORKS, &port.to_string(), handles];
    let recipe = Recipe::plain(how, words).set("SEGUE_PROBATION", "50ms");
    recipe
        .set("SEGUE_DRAIN_IDLE", "100ms")
        .set("SEGUE_DRAIN_TIMEOUT", "3s")
        .start()
}

fn says(mut session: &TcpStream) -> std::io::Result<u8> {
    session.write_all(b"x")?;
    let mut byte = [0];
    session.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn session(port: u16) -> TcpStream {
    let session = TcpStream::connect(loopback(port)).unwrap();
    session.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    session
}

#[test]
fn an_idle_session_outlives_the_restart_until_the_drain_timeout() {
    for (how, handles) in [(BOTH[0], "handles"), (BOTH[1], "does not"), (BOTH[1], "handles")] {
        let port = free_port();
        let mut segue = forks(how, port, handles);
        segue.ready(1);
        let old = session(port);
        assert_eq!(says(&old).unwrap(), b'1');
        let begin = Instant::now();
        segue.signal(libc::SIGHUP);
        segue.ready(2);
        let new = wait::until("the new one serves", || {
            let new = session(port);
            (says(&new).ok()? == b'2').then_some(new)
        });
        // Longer than SEGUE_DRAIN_IDLE.
        wait::until("a second is over", || {
            (begin.elapsed() > Duration::from_secs(1)).then_some(())
        });
        assert_eq!(says(&old).unwrap(), b'1', "{handles}");
        assert_eq!(says(&new).unwrap(), b'2');
        // Then it is over.
        segue.line("generation is gone", 1);
        assert!(begin.elapsed() >= Duration::from_millis(1_500), "{:?}", begin.elapsed());
        assert!(says(&old).is_err());
        assert_eq!(says(&new).unwrap(), b'2');
    }
}

/// One that ends keeps the old generation no longer, and a stop waits for none that is idle.
#[test]
fn a_session_that_ends_and_a_stop_are_waited_for_no_longer() {
    let port = free_port();
    let mut segue = forks(As::Init, port, "does not");
    segue.ready(1);
    let old = session(port);
    says(&old).unwrap();
    let begin = Instant::now();
    segue.signal(libc::SIGHUP);
    segue.ready(2);
    drop(old);
    segue.line("generation is gone", 1);
    assert!(begin.elapsed() < Duration::from_millis(2_500), "{:?}", begin.elapsed());
    let kept = session(port);
    says(&kept).unwrap();
    let begin = Instant::now();
    segue.signal(libc::SIGTERM);
    segue.wait();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}
