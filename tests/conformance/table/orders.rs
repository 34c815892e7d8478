//! The same calls in other orders, ports that are asked for twice, and the checks of a port that programs make.

use crate::{script::Case, table::Kind};

const CASES: [(&str, &str); 31] = [
    ("listen without bind", "MAKE a; listen a 5; about a; options a; files"),
    ("port 0", "MAKE a; bind a HERE 0; about a; listen a 5; about a"),
    (
        "bound twice",
        "MAKE a; bind a HERE P0; bind a HERE P1; bind a HERE P0; about a; listen a 5; about a; table P0; table P1",
    ),
    (
        "listens twice",
        "MAKE a; bind a HERE P0; listen a 5; listen a 1; about a; bind a HERE P1; meet a THERE P0 c d; about a",
    ),
    (
        "listens on and off",
        "MAKE a; bind a HERE P0; listen a 5; shutdown a; about a; table P0; listen a 5; about a; meet a THERE P0 c d",
    ),
    (
        "closed and bound again",
        "MAKE a; bind a HERE P0; listen a 5; close a; lag THERE P0; table P0; MAKE a; bind a HERE P0; listen a 5; about a; \
      close a; MAKE b; bind b HERE P0; about b; close b; MAKE c; bind c HERE P0; listen c 5; about c; meet c THERE P0 f g",
    ),
    (
        "closed with someone waiting",
        "MAKE a; bind a HERE P0; listen a 5; client c THERE P0; close a; lag THERE P0; table P0; names c; MAKE b; \
      set b SO_REUSEADDR 1; bind b HERE P0; listen b 5; meet b THERE P0 f g",
    ),
    (
        "closed, and nobody is there",
        "MAKE a; bind a HERE P0; listen a 5; close a; lag THERE P0; client c THERE P0; table P0",
    ),
    (
        "bound and closed, never listened on",
        "MAKE a; bind a HERE P0; close a; MAKE a; bind a HERE P0; listen a 5; about a",
    ),
    (
        "a client binds its port",
        "MAKE a; bind a HERE P0; listen a 5; MAKE b; set b SO_REUSEADDR 1; bind b THERE P1; about b; connect b THERE P0; \
      about b; table P1 whole; close b; table P1 whole",
    ),
    (
        "a client binds its address only",
        "MAKE a; bind a HERE P0; listen a 5; MAKE b; bind b THERE 0; about b; connect b THERE P0; about b",
    ),
    (
        "bind of a connected socket",
        "MAKE a; bind a HERE P0; listen a 5; MAKE b; connect b THERE P0; bind b HERE P1; about b; table P1; \
      listen b 5; about b",
    ),
    (
        "listen on a connected socket",
        "MAKE a; bind a HERE P0; listen a 5; MAKE b; bind b THERE P1; connect b THERE P0; listen b 5; about b",
    ),
    (
        "a listener connects",
        "MAKE a; bind a HERE P0; listen a 5; connect a THERE P0; about a",
    ),
    (
        "twice, plain",
        "MAKE a; bind a HERE P0; MAKE b; bind b HERE P0; listen a 5; MAKE c; bind c HERE P0; about c; listen b 5; about b",
    ),
    (
        "twice, SO_REUSEADDR",
        "MAKE a; set a SO_REUSEADDR 1; bind a HERE P0; MAKE b; set b SO_REUSEADDR 1; bind b HERE P0; listen a 5; listen b 5; \
      about b; MAKE c; set c SO_REUSEADDR 1; bind c HERE P0; close a; listen b 5; about b; meet b THERE P0 f g",
    ),
    (
        "twice, SO_REUSEPORT",
        "MAKE a; set a SO_REUSEPORT 1; bind a HERE P0; MAKE b; set b SO_REUSEPORT 1; bind b HERE P0; listen a 5; listen b 5; \
      table P0; reach THERE P0; reach THERE P0; reach THERE P0; close a; lag THERE P0; reach THERE P0; reach THERE P0; table P0",
    ),
    (
        "twice, SO_REUSEPORT on the second",
        "MAKE a; bind a HERE P0; listen a 5; MAKE b; set b SO_REUSEPORT 1; bind b HERE P0; about b; listen b 5; \
      about b; options b",
    ),
    (
        "twice, SO_REUSEPORT on the first",
        "MAKE a; set a SO_REUSEPORT 1; bind a HERE P0; listen a 5; MAKE b; bind b HERE P0; about b; table P0",
    ),
    (
        "twice, SO_REUSEPORT on both, both options on one",
        "MAKE a; set a SO_REUSEPORT 1; set a SO_REUSEADDR 1; bind a HERE P0; listen a 5; MAKE b; \
      set b SO_REUSEADDR 1; bind b HERE P0; MAKE c; set c SO_REUSEPORT 1; bind c HERE P0; listen c 5; about c",
    ),
    (
        "reserved, and never listened on",
        "MAKE a; bind a HERE P0; client c THERE P0; table P0; about a; MAKE b; bind b HERE P0; close a; \
      bind b HERE P0; listen b 5; meet b THERE P0 f g",
    ),
    (
        "reserved beside workers",
        "MAKE a; set a SO_REUSEPORT 1; bind a HERE P0; MAKE b; set b SO_REUSEPORT 1; bind b HERE P0; listen b 5; \
      reach THERE P0; reach THERE P0; reach THERE P0; reach THERE P0; table P0; close b; lag THERE P0; client c THERE P0; about a",
    ),
    (
        "a worker less",
        "MAKE a; set a SO_REUSEPORT 1; bind a HERE P0; listen a 5; MAKE b; set b SO_REUSEPORT 1; bind b HERE P0; listen b 5; MAKE c; \
      set c SO_REUSEPORT 1; bind c HERE P0; listen c 5; close b; lag THERE P0; reach THERE P0; reach THERE P0; reach THERE P0; reach THERE P0; reach THERE P0; \
      reach THERE P0; table P0",
    ),
    (
        "steered by the program",
        "MAKE a; set a SO_REUSEPORT 1; bind a HERE P0; MAKE b; set b SO_REUSEPORT 1; bind b HERE P0; listen a 5; listen b 5; \
      steer a 1; meet b THERE P0 c d; meet b THERE P0 f g; steer b 0; meet a THERE P0 h i",
    ),
    (
        "a port in TIME_WAIT",
        "MAKE a; bind a HERE P0; listen a 5; meet a THERE P0 c d; close d; close c; close a; MAKE b; bind b HERE P0; \
      MAKE g; set g SO_REUSEADDR 1; bind g HERE P0; listen g 5; about g",
    ),
    (
        "a port in TIME_WAIT, SO_REUSEPORT",
        "MAKE a; set a SO_REUSEPORT 1; bind a HERE P0; listen a 5; meet a THERE P0 c d; close d; close c; close a; \
      MAKE b; set b SO_REUSEPORT 1; bind b HERE P0; listen b 5; about b; MAKE g; bind g HERE P0",
    ),
    (
        "an address of nobody's",
        "MAKE a; bind a 192.0.2.1 P0; about a; bind a 2001:db8::1 P0; about a; bind a HERE P0; listen a 5; about a",
    ),
    (
        "a privileged port",
        "MAKE a; bind a HERE LOWPORT; about a; listen a 5; about a",
    ),
    (
        "no socket",
        "bind a HERE P0; listen a 5; set a SO_REUSEPORT 1; MAKE a; close a; bind a HERE P0; listen a 5",
    ),
    (
        "many on one",
        "MAKE a; bind a HERE P0; listen a 1; MAKE b; bind b HERE P1; listen b 1; MAKE c; bind c HERE P2; listen c 1; MAKE d; \
      bind d HERE P3; listen d 1; close b; MAKE b; bind b HERE P1; listen b 2; about a; about b; about c; about d; files",
    ),
    (
        "datagrams on the same port",
        "MAKE a; socket b inet dgram; bind b 127.0.0.1 P0; about b; options b; listen b 5; bind a HERE P0; listen a 5; \
      about a; about b",
    ),
];

/// Whether a port is free, as libraries find out: one address after the other, each closed again, and then the server itself.
const CHECKS: [(&str, &[&str]); 5] = [
    ("the wildcards, six first", &["::", "0.0.0.0"]),
    ("five addresses", &["::", "0.0.0.0", "127.0.0.1", "::1", "::"]),
    ("five, four first", &["0.0.0.0", "::", "::1", "127.0.0.1", "0.0.0.0"]),
    ("one twice", &["127.0.0.1", "127.0.0.1"]),
    ("wider and wider", &["127.0.0.1", "0.0.0.0", "::"]),
];

/// Addresses that overlap, both kept.
const BESIDE: [(&str, &str, &str); 8] = [
    ("0.0.0.0", "127.0.0.1", ""),
    ("127.0.0.1", "0.0.0.0", ""),
    ("::", "0.0.0.0", ""),
    ("0.0.0.0", "::", ""),
    ("::", "0.0.0.0", "IPV6_V6ONLY 1"),
    ("0.0.0.0", "::", "IPV6_V6ONLY 1"),
    ("127.0.0.1", "::1", ""),
    ("127.0.0.1", "127.0.0.2", ""),
];

fn family(address: &str) -> &'static str {
    if address.contains(':') { "inet6" } else { "inet" }
}

fn check(protocol: u16, addresses: &[&str], set: &str) -> String {
    let mut text = String::new();
    for address in addresses {
        text += &format!(
            "socket a {} stream {protocol}\n{set}\nbind a {address} P0\nlisten a 5\nclose a\n",
            family(address)
        );
    }
    for (letter, address) in [('b', addresses[addresses.len() - 1]), ('c', "127.0.0.1")] {
        let set = set.replace("set a", &format!("set {letter}"));
        let socket = format!("socket {letter} {} stream {protocol}\n{set}", family(address));
        text += &format!("{socket}\nbind {letter} {address} P0\nlisten {letter} 511\nabout {letter}\n");
    }
    text + "table P0\nreach 127.0.0.1 P0\nreach ::1 P0\n"
}

fn beside(protocol: u16, first: &str, second: &str, six: &str, set: &str) -> String {
    let mut text = String::new();
    for (letter, address) in [('a', first), ('b', second)] {
        text += &format!("socket {letter} {} stream {protocol}\n", family(address));
        if !six.is_empty() && family(address) == "inet6" {
            text += &format!("set {letter} {six}\n");
        }
        if !set.is_empty() {
            text += &format!("set {letter} {set}\n");
        }
        text += &format!("bind {letter} {address} P0\nlisten {letter} 5\nabout {letter}\n");
    }
    text + "table P0\nreach 127.0.0.1 P0\nreach ::1 P0\nclose a\nlag 127.0.0.1 P0\nlag ::1 P0\nlag 127.0.0.9 P0\nreach 127.0.0.1 P0\nreach ::1 P0\ntable P0\n"
}

/// A hundred ports of clients, all of which end at once.
fn hundred_clients() -> Case {
    let mut text = "socket a inet stream 0\nbind a 127.0.0.1 P0\nlisten a 200\n".to_owned();
    for host in 2..102 {
        text += &format!("socket b inet stream 0\nbind b 127.0.1.{host} P1\nconnect b 127.0.0.1 P0\nclose b\n");
    }
    Case::new(
        "a hundred clients that bind their ports",
        &(text + "table P0 whole\ntable P1 whole\nfiles\n"),
    )
}

pub fn cases(kinds: &[Kind]) -> Vec<Case> {
    let mut cases = vec![hundred_clients()];
    for kind in kinds {
        // Multipath TCP takes no program, so that it is a matter of luck there who gets a connection.
        let steered = |what: &str| what == "steered by the program" && kind.is_multipath();
        let cases_of_it = CASES.iter().filter(|(what, _)| !steered(what));
        cases.extend(cases_of_it.map(|(what, text)| kind.case(what, &text.replace(';', "\n"))));
    }
    for (protocol, name) in [(0, "tcp"), (262, "mptcp")] {
        for set in ["", "SO_REUSEADDR 1", "SO_REUSEPORT 1"] {
            for (what, addresses) in CHECKS {
                let setting = if set.is_empty() {
                    String::new()
                } else {
                    format!("set a {set}")
                };
                let text = check(protocol, addresses, &setting);
                cases.push(Case::new(format!("{name}, is it free: {what} {set}"), &text));
            }
            for (first, second, six) in BESIDE {
                let text = beside(protocol, first, second, six, set);
                cases.push(Case::new(format!("{name}, {second} beside {first} {six} {set}"), &text));
            }
        }
    }
    cases
}
