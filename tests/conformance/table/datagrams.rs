//! UDP sockets: ports that are asked for twice, by whichever options; closed and bound again; connected; passed on.

use crate::script::Case;

/// How a socket is made, and what it is bound to.
const KINDS: [(&str, &str, &str); 5] = [
    ("inet", "socket X inet dgram", "127.0.0.1"),
    ("inet any", "socket X inet dgram", "0.0.0.0"),
    ("inet6", "socket X inet6 dgram", "::1"),
    ("inet6 only", "socket X inet6 dgram; set X IPV6_V6ONLY 1", "::"),
    ("inet6 dual", "socket X inet6 dgram; set X IPV6_V6ONLY 0", "::"),
];
/// Set before the bind.
const OPTIONS: [(&str, &str); 4] = [
    ("plain", ""),
    ("SO_REUSEADDR", "; set X SO_REUSEADDR 1"),
    ("SO_REUSEPORT", "; set X SO_REUSEPORT 1"),
    ("both", "; set X SO_REUSEADDR 1; set X SO_REUSEPORT 1"),
];

/// `MAKE x` makes one with the options of the case, `HERE` is its address.
const CASES: [(&str, &str); 14] = [
    (
        "once",
        "MAKE a; bind a HERE P0; about a; options a; listen a 5; bind a HERE P1; about a; files",
    ),
    (
        "any port",
        "MAKE a; bind a HERE 0; about a; MAKE b; bind b HERE 0; about b; close a; close b",
    ),
    (
        "closed and bound again",
        "MAKE a; bind a HERE P0; close a; MAKE a; bind a HERE P0; about a; close a; MAKE b; bind b HERE P0; about b",
    ),
    (
        "failed and bound elsewhere",
        "MAKE a; bind a HERE P0; MAKE b; bind b HERE P0; about b; bind b HERE P1; about b; close a; MAKE a; bind a HERE P0; about a",
    ),
    (
        "an address that is not here",
        "MAKE a; bind a 192.0.2.1 P0; about a; bind a HERE P0; about a",
    ),
    (
        "a dup that stays",
        "MAKE a; bind a HERE P0; dup b a; close a; MAKE a; bind a HERE P0; about a; close b; bind a HERE P0; about a",
    ),
    (
        "by a child",
        "MAKE a; fork; bind a HERE P0; about a; end; about a; MAKE b; bind b HERE P0; about b; close a; bind b HERE P0; about b",
    ),
    (
        "a child that has it still",
        "MAKE a; bind a HERE P0; stay; close a; MAKE b; bind b HERE P0; about b; bind b HERE P1; end; MAKE c; bind c HERE P1; about c",
    ),
    (
        "passed to itself",
        "MAKE a; bind a HERE P0; scm b a; close a; about b; MAKE c; bind c HERE P0; about c; close b; bind c HERE P0; about c",
    ),
    (
        "in an epoll",
        "MAKE a; epoll e; add e a 1; events e; bind a HERE P0; events e; about a; close a; MAKE b; bind b HERE P0; about b",
    ),
    (
        "shared afterwards",
        "MAKE a; bind a HERE P0; set a SO_REUSEPORT 1; about a; MAKE b; set b SO_REUSEPORT 1; bind b HERE P0; about b; MAKE c; set c SO_REUSEPORT 1; bind c HERE P0; about c",
    ),
    (
        "shared no more",
        "MAKE a; set a SO_REUSEPORT 1; set a SO_REUSEPORT 0; bind a HERE P0; about a; MAKE b; set b SO_REUSEPORT 1; bind b HERE P0; about b",
    ),
    (
        "by a thread",
        "MAKE a; thread; bind a HERE P0; about a; end; MAKE b; thread; bind b HERE P0; end; about b",
    ),
    (
        "beside TCP",
        "MAKE a; bind a HERE P0; socket b inet stream; bind b 127.0.0.1 P0; listen b 5; about a; about b; close a; close b; socket c inet stream; bind c 127.0.0.1 P0; listen c 5; MAKE d; bind d HERE P0; about d",
    ),
];

fn made(text: &str, make: &str, option: &str, here: &str) -> String {
    let make = format!("{make}{option}");
    let mut text = text.replace("HERE", here);
    for letter in ["a", "b", "c", "d"] {
        text = text.replace(&format!("MAKE {letter}"), &make.replace('X', letter));
    }
    text.replace(';', "\n")
}

pub fn cases(all: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let kinds = || KINDS.iter().step_by(if all { 1 } else { 4 });
    for (kind, make, here) in kinds() {
        for (option, set) in OPTIONS {
            for (what, text) in CASES {
                cases.push(Case::new(
                    format!("udp {kind}, {option}, {what}"),
                    &made(text, make, set, here),
                ));
            }
        }
    }
    // One beside the other, in each mixture of options.
    for (first, make_first, here_first) in kinds() {
        for (second, make_second, here_second) in &KINDS {
            for (option_first, set_first) in OPTIONS {
                for (option_second, set_second) in OPTIONS {
                    let one = made("MAKE a; bind a HERE P0; about a", make_first, set_first, here_first);
                    let other = "MAKE b; bind b HERE P0; about b; close a; bind b HERE P0; about b";
                    let other = made(other, make_second, set_second, here_second);
                    let name = format!("udp {second} {option_second} beside {first} {option_first}");
                    cases.push(Case::new(name, &format!("{one}\n{other}")));
                }
            }
        }
    }
    cases
}
