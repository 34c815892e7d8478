//! Calls in random order: three sockets, two ports. A failing sequence is shrunk before it is printed.

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};

use crate::{
    compare::compare,
    script::Case,
    support::segue::As,
    ways::{PLAIN, Refused, User, Way},
};

/// So many sequences in `make test`; PROPTEST_CASES says otherwise.
const SEQUENCES: u32 = 60;

const FAMILIES: [&str; 4] = ["inet stream 0", "inet6 stream 0", "inet stream 262", "inet dgram 0"];
const SETTINGS: [&str; 8] = [
    "SO_REUSEADDR 1",
    "SO_REUSEADDR 0",
    "IPV6_V6ONLY 1",
    "TCP_NODELAY 1",
    "SO_RCVBUF 9000",
    "TCP_MAXSEG 1",
    "SO_BINDTODEVICE lo",
    "TCP_FASTOPEN 5",
];
const ADDRESSES: [&str; 5] = ["127.0.0.1", "0.0.0.0", "::", "::1", "127.0.0.9"];
const CLIENTS: [&str; 3] = ["127.0.0.1", "::1", "127.0.0.9"];

/// A closed listener that is still held shows in the connections that reach it, at each of its addresses.
const LAGS: &str = "lag 127.0.0.1 P0\nlag 127.0.0.1 P1\nlag 127.0.0.9 P0\nlag 127.0.0.9 P1\nlag ::1 P0\nlag ::1 P1";

fn socket() -> impl Strategy<Value = &'static str> {
    select(&["a", "b", "c"][..])
}

fn port() -> impl Strategy<Value = &'static str> {
    select(&["P0", "P1"][..])
}

/// A call. With SO_REUSEPORT it is a matter of luck which socket gets a connection, so that none is left in a queue.
fn call(reuseport: bool) -> BoxedStrategy<String> {
    let make = (socket(), select(&FAMILIES[..])).prop_map(move |(socket, family)| {
        let set = if reuseport {
            format!("\nset {socket} SO_REUSEPORT 1")
        } else {
            String::new()
        };
        format!("close {socket}\n{LAGS}\nsocket {socket} {family}{set}")
    });
    let set = (socket(), select(&SETTINGS[..])).prop_map(|(socket, option)| format!("set {socket} {option}"));
    let bind = (socket(), select(&ADDRESSES[..]), port())
        .prop_map(|(socket, host, port)| format!("bind {socket} {host} {port}"));
    let listen = (socket(), 1..9_u8).prop_map(|(socket, most)| format!("listen {socket} {most}"));
    let elsewhere =
        (socket(), select(&["fork", "thread", "pass"][..]), 1..9_u8).prop_map(|(socket, how, most)| match how {
            "pass" => format!("pass {socket} z\nlisten z {most}\nabout z\nend"),
            how => format!("{how}\nlisten {socket} {most}\nend"),
        });
    let reach = (select(&CLIENTS[..]), port()).prop_map(|(host, port)| format!("reach {host} {port}"));
    let copy = (socket(), socket()).prop_filter("two", |(a, b)| a != b);
    let copy = copy.prop_map(|(a, b)| format!("close {b}\n{LAGS}\ndup {b} {a}"));
    let epoll = (socket(), select(&["add", "modify", "remove"][..]))
        .prop_map(|(socket, what)| format!("{what} e {socket} 1\nevents e"));
    let close = socket().prop_map(|socket| format!("close {socket}\n{LAGS}"));
    let look = (socket(), select(&["about", "options"][..])).prop_map(|(socket, what)| format!("{what} {socket}"));
    let connect = (socket(), select(&CLIENTS[..]), port()).prop_map(move |(socket, host, port)| {
        if reuseport {
            format!("reach {host} {port}")
        } else {
            format!("connect {socket} {host} {port}")
        }
    });
    prop_oneof![
        3 => make, 2 => set, 6 => bind, 4 => listen, 2 => elsewhere, 3 => reach, 1 => copy, 1 => epoll, 2 => close, 3 => look,
        1 => connect
    ]
    .boxed()
}

fn sequence() -> impl Strategy<Value = Vec<String>> {
    any::<bool>().prop_flat_map(|reuseport| vec(call(reuseport), 4..25))
}

fn case(calls: &[String]) -> Case {
    let first = "epoll e\nsocket a inet stream 0\nsocket b inet6 stream 0\nsocket c inet stream 0\n";
    let last = "\nabout a\nabout b\nabout c\ntable P0\ntable P1\nfiles";
    Case::new("random", &format!("{first}{}{last}", calls.join("\n")))
}

fn any_order(way: Way, with_segue: bool) {
    let cases = std::env::var("PROPTEST_CASES").map_or(SEQUENCES, |number| number.parse().unwrap());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&sequence(), |calls| {
        let case = case(&calls);
        let found = compare(way, std::slice::from_ref(&case), with_segue);
        let (broken, different) = (found.broken.join("\n"), found.different.into_iter().map(|it| it.1));
        let output = format!("{broken}\n{}", different.collect::<Vec<_>>().join("\n"));
        let lines = case.lines.join("\n");
        prop_assert!(output.trim().is_empty(), "{way:?}: {output}\nof:\n{lines}");
        Ok(())
    });
    if let Err(fault) = outcome {
        panic!("{fault}");
    }
}

#[test]
fn calls_at_random() {
    any_order(PLAIN, true);
}

#[test]
fn calls_at_random_by_nobody_without_pidfd_getfd() {
    let way = Way {
        how: As::Init,
        user: User::Nobody,
        refused: Refused::Getfd,
        ..PLAIN
    };
    any_order(way, true);
}

/// What differs elsewhere is segue's doing.
#[test]
fn calls_at_random_without_segue_say_the_same_twice() {
    any_order(PLAIN, false);
}
