//! What becomes of an address on which the next generation does not listen: nobody waits there for ever.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use crate::{
    binds::server,
    support::{
        client, directory, free_port, loopback,
        segue::{As, Segue, children, signal_process},
        wait,
    },
};

/// What the old generation has closed since is no measure for the new one, and refuses connections at the latest then.
#[test]
fn a_listener_that_was_closed_is_not_waited_for() {
    let (stays, goes) = (free_port(), free_port());
    let script = format!(
        "s = listener(('127.0.0.1', {stays}))\n\
         if os.environ['SEGUE_GENERATION'] == '1':\n\
        \x20   t = listener(('127.0.0.1', {goes})); t.close()\n\
        \x20   print('closed', flush=True)\n\
         serve(s, 'x')\n"
    );
    let mut segue = server(As::Init, &script).start();
    wait::until("it has closed", || segue.stdout().contains("closed").then_some(()));
    segue.ready(1);
    assert_eq!(segue.restart()["outcome"], "replaced");
    assert_eq!(client::get(loopback(stays), "/").unwrap(), "x 2\n");
    let refused = client::get(loopback(goes), "/").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// A script that listens here always, and there in generation 1 only.
fn moves_away(stays: u16, goes: u16) -> String {
    format!(
        "if os.environ['SEGUE_GENERATION'] == '1':\n\
         \x20   spawn(listener(('127.0.0.1', {goes})), 'gone')\n\
         serve(listener(('127.0.0.1', {stays})), 'x')\n"
    )
}

/// Ends the generation that serves, so that its successor finds it gone.
type End = fn(&mut Segue);

const BOTH_ENDS: [(&str, End); 2] = [
    ("stop-first", |segue| segue.signal(libc::SIGHUP)),
    ("overlap", |segue| {
        signal_process(children(segue.pid())[0], libc::SIGKILL)
    }),
];

/// Whoever waits where nobody will ever answer is let go, and whoever comes later is refused at once.
#[test]
fn an_address_that_the_successor_has_not_is_given_up() {
    for (mode, end) in BOTH_ENDS {
        let (stays, goes) = (free_port(), free_port());
        let mut segue = server(As::Init, &moves_away(stays, goes))
            .set("SEGUE_RESTART_MODE", mode)
            .set("SEGUE_RESTART", "always")
            .set("SEGUE_RESTART_DELAY", "300ms")
            .set("SEGUE_STABLE_DELAY", "3s")
            .start();
        segue.ready(1);
        end(&mut segue);
        // It may come to listen there.
        segue.line("generation is gone", 1);
        let mut waits = TcpStream::connect(loopback(goes)).unwrap();
        waits.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        segue.ready(2);
        assert_eq!(client::get(loopback(stays), "/").unwrap(), "x 2\n");
        let line = segue.line("connections are refused there from now on, as it does not listen", 1);
        assert_eq!(
            (&line["generation"], &line["address"]),
            (&2.into(), &format!("127.0.0.1:{goes}").into())
        );
        assert_eq!(
            waits.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset,
            "{mode}"
        );
        let refused = client::get(loopback(goes), "/").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{mode}");
        assert_eq!(client::get(loopback(stays), "/").unwrap(), "x 2\n");
    }
}

/// It may be that the successor listens there all the same, at an address that comprises it.
#[test]
fn an_address_that_the_successor_has_as_a_part_of_another_is_served() {
    for (mode, end) in BOTH_ENDS {
        let port = free_port();
        let script = format!(
            "where = '127.0.0.1' if os.environ['SEGUE_GENERATION'] == '1' else '0.0.0.0'\n\
             serve(listener((where, {port})), where)\n"
        );
        let mut segue = server(As::Init, &script)
            .set("SEGUE_RESTART_MODE", mode)
            .set("SEGUE_RESTART", "always")
            .set("SEGUE_RESTART_DELAY", "10ms")
            .set("SEGUE_STABLE_DELAY", "0s")
            .start();
        segue.ready(1);
        end(&mut segue);
        segue.ready(2);
        segue.line("connections are refused there from now on, as it does not listen", 1);
        assert_eq!(client::get(loopback(port), "/").unwrap(), "0.0.0.0 2\n", "{mode}");
    }
}

/// A program takes its time between one address and the next; what came meanwhile has waited.
#[test]
fn an_address_that_the_successor_has_later_is_waited_for() {
    for (mode, end) in BOTH_ENDS {
        let (first, later) = (free_port(), free_port());
        let script = format!(
            "spawn(listener(('127.0.0.1', {first})), 'first')\n\
             while os.environ['SEGUE_GENERATION'] != '1' and not os.path.exists('go'): time.sleep(0.01)\n\
             serve(listener(('127.0.0.1', {later})), 'later')\n"
        );
        let files = directory();
        let mut segue = server(As::Init, &script)
            .within(files.path())
            .set("SEGUE_RESTART_MODE", mode)
            .set("SEGUE_RESTART", "always")
            .set("SEGUE_RESTART_DELAY", "10ms")
            .set("SEGUE_STABLE_DELAY", "30s")
            .start();
        segue.ready(1);
        wait::until("it listens there, too", || client::get(loopback(later), "/").ok());
        end(&mut segue);
        segue.ready(2);
        assert_eq!(client::get(loopback(first), "/").unwrap(), "first 2\n");
        let waits = std::thread::spawn(move || client::get(loopback(later), "/"));
        std::fs::write(files.path().join("go"), "").unwrap();
        assert_eq!(waits.join().unwrap().unwrap(), "later 2\n", "{mode}");
    }
}
