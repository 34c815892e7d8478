//! PRINTS docs/faults.md from the table.

use super::{
    call::{Path, Who},
    errors,
    life::Did::{self, GoesOn, HearsNext, LeavesIt, Refuses, RollsBack, Tells, Without},
    table::TABLE,
};

const HEAD: &str = "# Faults

What segue does when the system refuses it something. Printed by `tests/injection`, which makes every call on the three \
paths below fail once, with each of the errors named, while clients send requests to a program that binds by itself, to one \
with `SEGUE_LISTEN`, and in restarts to one that is stopped first. In every case, whatever it does:

- no request is lost, neither a new one nor one that is under way (but for what *without* and *leaves it* say),
- segue neither hangs nor ends by itself once the program has begun,
- the old generation serves until another one does, and the next restart succeeds,
- SIGTERM ends it all within the deadline, with the program's own code.

What it does is one of these; of two or more, one goes for one purpose or error of the call and one for another:

- *goes on*: where something is missing now, the log says what
- *refuses*: the program does not start; a line says why, and the exit code is 71 (126 or 127 if it cannot be run)
- *tells*: the program's own call fails with that error, as it would without segue
- *without*: there is no hand-over, which is said; a restart stops the program first
- *leaves it*: that one socket is not handed over, and segue says why; a restart stops the program first and refuses \
connections meanwhile, or resets those that waited
- *rolls back*: with the reason; where the old generation has been stopped first, `SEGUE_RESTART` starts another, and connections \
  wait
- *hears later*: the signal is heard when the next one comes

Not made to fail are calls that cannot, such as those that take nothing but numbers which are right, and those of the C library \
before segue's first own.
";

fn word(did: Did) -> &'static str {
    match did {
        GoesOn => "goes on",
        Refuses => "refuses",
        Tells => "tells",
        Without => "without",
        LeavesIt => "leaves it",
        RollsBack => "rolls back",
        HearsNext => "hears later",
    }
}

/// The page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    let paths = [(Path::Start, "Start"), (Path::Restart, "Restart"), (Path::Stop, "Stop")];
    for (path, title) in paths {
        page += &format!("\n## {title}\n\n| segue | when this fails |\n|---|---|\n");
        for (_, who, did, calls) in TABLE.iter().filter(|row| row.0 == path) {
            let did: Vec<&str> = did.iter().map(|it| word(*it)).collect();
            let before = if *who == Who::Child {
                "between fork and exec: "
            } else {
                ""
            };
            let calls: Vec<String> = calls.iter().map(|call| with_errors(call)).collect();
            page += &format!("| {} | {before}{} |\n", did.join(" or "), calls.join(", "));
        }
    }
    page
}

fn with_errors(call: &str) -> String {
    let errors: Vec<String> = errors::of(call)
        .unwrap_or_default()
        .iter()
        .map(|it| errors::name(*it))
        .collect();
    format!("`{call}` ({})", errors.join(", "))
}
