//! One socket in several places: in an epoll, under several numbers, in several processes, from another process.

use crate::{script::Case, table::Kind};

const CASES: [(&str, &str); 22] = [
    (
        "plain",
        "MAKE a; bind a HERE P0; about a; listen a 5; about a; table P0 whole; meet a THERE P0 c d; about d; names c; table P0 whole; files",
    ),
    (
        "in an epoll before bind",
        "MAKE a; epoll e; add e a 0; bind a HERE P0; modify e a 1; events e; listen a 5; events e; client c THERE P0; \
         events e wait; take a f; about f; about a; files",
    ),
    (
        "in an epoll before bind, and never touched again",
        "MAKE a; nonblock a; epoll e; add e a 1; bind a HERE P0; listen a 5; events e; client c THERE P0; events e wait",
    ),
    (
        "in an epoll by edges before bind",
        "MAKE a; epoll e; add e a t; bind a HERE P0; events e; listen a 5; client c THERE P0; events e wait; events e; \
         client d THERE P0; events e wait; remove e a; events e",
    ),
    (
        "in an epoll after bind",
        "MAKE a; bind a HERE P0; epoll e; add e a 1; events e; listen a 5; client c THERE P0; events e wait; remove e a",
    ),
    (
        "in an epoll after listen",
        "MAKE a; bind a HERE P0; listen a 5; epoll e; add e a 1; events e; client c THERE P0; events e wait; close a; lag THERE P0; events e",
    ),
    (
        "in two epolls, one by a dup",
        "MAKE a; dup b a; epoll e; epoll f; add e a 1; add f b 1; bind a HERE P0; listen b 5; client c THERE P0; \
         events e wait; events f wait; about b",
    ),
    (
        "dup before bind, listen on the dup",
        "MAKE a; dup b a; bind a HERE P0; about b; listen b 5; about a; about b; meet a THERE P0 c d; meet b THERE P0 f g; files",
    ),
    (
        "bind on a dup",
        "MAKE a; dup b a; bind b HERE P0; about a; listen a 5; about b; close a; meet b THERE P0 c d; table P0",
    ),
    (
        "a dup with a high number",
        "MAKE a; dup2 b a 200; cloexec b; bind a HERE P0; listen b 5; close a; about b; options b; meet b THERE P0 c d; files",
    ),
    (
        "the number changes between bind and listen",
        "MAKE a; bind a HERE P0; dup b a; close a; listen b 5; about b; meet b THERE P0 c d; files",
    ),
    (
        "three numbers, two closed after bind",
        "MAKE a; dup b a; dup c a; bind b HERE P0; close a; close b; listen c 5; about c; meet c THERE P0 f g; table P0",
    ),
    (
        "a child listens",
        "MAKE a; bind a HERE P0; fork; about a; listen a 5; about a; end; about a; table P0; meet a THERE P0 c d",
    ),
    (
        "a child binds and listens",
        "MAKE a; fork; bind a HERE P0; listen a 5; end; about a; table P0; meet a THERE P0 c d; files",
    ),
    (
        "a child that stays has it before bind",
        "MAKE a; stay; about a; end; bind a HERE P0; listen a 5; about a; meet a THERE P0 c d; close a; table P0",
    ),
    (
        "a child that stays binds, the parent listens",
        "MAKE a; stay; bind a HERE P0; about a; end; about a; listen a 5; about a; meet a THERE P0 c d",
    ),
    (
        "passed on before bind",
        "MAKE a; pass a b; bind b HERE P0; listen b 5; about b; end; about a; meet a THERE P0 c d; table P0",
    ),
    (
        "passed on between bind and listen",
        "MAKE a; bind a HERE P0; pass a b; about b; listen b 5; about b; files; end; about a; meet a THERE P0 c d",
    ),
    (
        "passed on after listen",
        "MAKE a; bind a HERE P0; listen a 5; pass a b; about b; meet b THERE P0 c d; end; meet a THERE P0 c d",
    ),
    (
        "passed to itself before bind",
        "MAKE a; scm b a; bind a HERE P0; about b; listen b 5; about a; close a; meet b THERE P0 c d; files",
    ),
    (
        "threads bind and listen",
        "MAKE a; thread; bind a HERE P0; end; about a; thread; listen a 5; end; about a; meet a THERE P0 c d; files",
    ),
    (
        "a sibling of a dup goes on after it is closed",
        "MAKE a; dup b a; bind a HERE P0; listen a 5; close a; about b; table P0; meet b THERE P0 c d; close b; lag THERE P0; table P0",
    ),
];

pub fn cases(kinds: &[Kind]) -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in kinds {
        for (what, text) in CASES {
            let text = text.replace(';', "\n");
            cases.push(kind.case(what, &text));
            let options = text.replacen(
                "MAKE a",
                "MAKE a\nset a TCP_NODELAY 1\nset a SO_REUSEPORT 1\nset a SO_RCVBUF 9000",
                1,
            );
            cases.push(kind.case(&format!("{what}, with options"), &options));
        }
    }
    cases
}
