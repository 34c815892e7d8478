//! Processes that have confined or guarded themselves before they bind: the kernel's verdict is theirs, and nothing is done in
//! their name that they would be killed for.

use crate::{
    script::Case,
    table::{Kind, TCP},
};

const CASES: [(&str, &str); 12] = [
    (
        "a sandbox that kills",
        "fork; MAKE a; sandbox; bind a HERE P0; listen a 5; about a; close a; end",
    ),
    (
        "a sandbox that kills, set between bind and listen",
        "MAKE a; bind a HERE P0; fork; sandbox; listen a 5; about a; end; about a; meet a THERE P0 c d",
    ),
    (
        "no file can be opened",
        "fork; MAKE a; limit files; bind a HERE P0; listen a 5; about a; end",
    ),
    (
        "no memory can be mapped",
        "fork; MAKE a; limit memory; bind a HERE P0; listen a 5; about a; end",
    ),
    (
        "guarded memory",
        "fork; dumpable 0; MAKE a; bind a HERE P0; listen a 5; about a; close a; MAKE a; bind a HERE P0; listen a 5; about a; table P0; end",
    ),
    (
        "a process beside that guards its memory",
        "stay; dumpable 0; end; MAKE a; bind a HERE P0; listen a 5; close a; MAKE a; bind a HERE P0; listen a 5; about a; meet a THERE P0 c d",
    ),
    (
        "another user by itself",
        "fork; user 65532; MAKE a; bind a HERE P0; listen a 5; about a; table P0; close a; MAKE b; bind b HERE LOWPORT; about b; end",
    ),
    (
        "another user between bind and listen",
        "MAKE a; bind a HERE LOWPORT; fork; user 65532; listen a 5; about a; table LOWPORT; end; meet a THERE LOWPORT c d",
    ),
    (
        "Landlock",
        "fork; MAKE a; landlock; bind a HERE P0; about a; listen a 5; end",
    ),
    (
        "Landlock after bind",
        "fork; MAKE a; bind a HERE P0; landlock; listen a 5; about a; end; lag THERE P0; table P0",
    ),
    (
        "another network namespace",
        "foreign a inet; bind a 127.0.0.1 P0; about a; listen a 5; about a; table P0; client c 127.0.0.1 P0; MAKE b; bind b HERE P0; listen b 5; \
         table P0; meet b THERE P0 f g",
    ),
    (
        "another network namespace, passed on",
        "foreign a inet6; pass a b; bind b ::1 P0; listen b 5; about b; end; table P0; client c ::1 P0",
    ),
];

/// A port that root may bind, and who is root only of a user namespace of its own may not.
const IN_A_NAMESPACE: &str =
    "fork; user 65532; namespace; MAKE a; bind a HERE LOWPORT; about a; bind a HERE P0; listen a 5; about a; end";

pub fn cases(kinds: &[Kind]) -> Vec<Case> {
    let mut cases = Vec::new();
    let only_some = |kind: &Kind| kind.name == "inet" || kind.name == "inet6 dual";
    for kind in kinds.iter().filter(|kind| only_some(kind)) {
        cases.extend(CASES.map(|(what, text)| kind.case(what, &text.replace(';', "\n"))));
    }
    cases.push(TCP[0].case("a user namespace", &IN_A_NAMESPACE.replace(';', "\n")));
    cases
}
