//! Faults of the system: every call that segue makes while it starts, restarts and stops is made to fail once, with a program
//! and clients beside it. What it then did is held in `table`, which prints docs/faults.md.
#![cfg(all(feature = "entrypoint", target_arch = "x86_64"))]
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::tests_outside_test_module,
    reason = "tests start processes from outside, wait for them, end by panicking, and share more than each needs"
)]

mod call;
mod errors;
mod life;
mod page;
#[path = "../e2e/support/mod.rs"]
mod support;
mod table;
mod tracer;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use call::Path;
use life::{Mode, Outcome};
use tracer::Injection;

/// Of calls that are made again and again, so many are made to fail.
const OCCURRENCES: usize = 3;
/// Lives at once: they mostly wait.
const AT_ONCE: usize = 3;

/// The cases of a path, from a life in which nothing fails.
fn cases(mode: Mode, path: Path) -> Vec<Injection> {
    let outcome = life::live(mode, None);
    assert!(
        outcome.broken.is_empty(),
        "{mode:?}, nothing fails: {:?}\n{}",
        outcome.broken,
        outcome.log
    );
    let mut counts = BTreeMap::new();
    for call in outcome.calls.iter().filter(|it| it.path == path) {
        *counts.entry(call).or_insert(0_usize) += 1;
    }
    let mut cases = Vec::new();
    let unknown: Vec<String> = counts
        .keys()
        .filter(|call| errors::of(&call.label).is_none_or(|errors| !errors.is_empty() && table::may_do(call).is_none()))
        .map(ToString::to_string)
        .collect();
    assert!(
        unknown.is_empty(),
        "new calls, say in errors.rs how they may fail, and add them to the table:\n{}",
        unknown.join("\n")
    );
    for (call, count) in counts {
        let errors = errors::of(&call.label).unwrap_or_default();
        for errno in errors {
            cases.extend((1..=count.min(OCCURRENCES)).map(|occurrence| Injection {
                call: call.clone(),
                occurrence,
                errno: *errno,
            }));
        }
    }
    cases
}

/// Lives a life for each case; what is not as it has to be.
fn every_call_fails_once(mode: Mode, path: Path) {
    let cases = cases(mode, path);
    let (next, injected, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = life::live(mode, Some(case.clone()));
                    injected.fetch_add(usize::from(outcome.injected), Ordering::Relaxed);
                    wrong.lock().unwrap().extend(judge(case, &outcome));
                }
            });
        }
    });
    let (injected, wrong) = (injected.into_inner(), wrong.into_inner().unwrap());
    eprintln!("{injected} of {} cases came about", cases.len());
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    // Some calls are made or not, once or thrice, as it happens.
    assert!(
        injected * 4 >= cases.len() * 3,
        "{injected} of {} cases came about",
        cases.len()
    );
}

fn judge(case: &Injection, outcome: &Outcome) -> Option<String> {
    let what = format!(
        "{} number {} fails with {}",
        case.call,
        case.occurrence,
        errors::name(case.errno)
    );
    if !outcome.broken.is_empty() {
        return Some(format!("{what}: {:?}\n{}", outcome.broken, outcome.log));
    }
    let may = table::may_do(&case.call).unwrap_or_default();
    let as_listed = !outcome.injected || may.contains(&outcome.did);
    (!as_listed).then(|| format!("{what}: it may do {may:?} and did {:?}\n{}", outcome.did, outcome.log))
}

#[test]
fn the_start_of_a_program_that_binds() {
    every_call_fails_once(Mode::Transparent, Path::Start);
}

#[test]
fn the_restart_of_a_program_that_binds() {
    every_call_fails_once(Mode::Transparent, Path::Restart);
}

#[test]
fn the_stop_of_a_program_that_binds() {
    every_call_fails_once(Mode::Transparent, Path::Stop);
}

#[test]
fn the_start_with_declared_sockets() {
    every_call_fails_once(Mode::Declared, Path::Start);
}

#[test]
fn the_restart_with_declared_sockets() {
    every_call_fails_once(Mode::Declared, Path::Restart);
}

#[test]
fn the_stop_with_declared_sockets() {
    every_call_fails_once(Mode::Declared, Path::Stop);
}

#[test]
fn a_restart_that_stops_first() {
    every_call_fails_once(Mode::StopFirst, Path::Restart);
}

/// With `UPDATE_DOCS=1` it is written anew.
#[test]
fn the_page_is_printed_from_the_table() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, page::page()).unwrap();
    }
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        found == page::page(),
        "docs/faults.md is not what the table says, run make docs"
    );
}
