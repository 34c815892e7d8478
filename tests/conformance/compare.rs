//! Compares what the same cases have said without segue and with it, word by word.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    script::{self, Case},
    ways::{Refused, Way},
};

/// Must SO_REUSEPORT read as it would without segue, also on a listener on which the program has not set it? If not, the
/// differences are counted and printed, and are no failure.
pub const REUSEPORT_IS_HIDDEN: bool = false;
/// May a socket be another file (another inode) after its bind, where nothing but an exchange is left?
const AN_EXCHANGE_MAY_SHOW_ITS_INODE: bool = true;
/// Cases that one process does: what one of them leaves behind is there for the next.
const BATCH: usize = 80;
/// Differences that are printed in full.
const PRINTED: usize = 12;

/// What was not alike.
#[derive(Debug, Default)]
pub struct Found {
    pub cases: usize,
    /// Case, and what differs.
    pub different: Vec<(String, String)>,
    /// Processes that did not do all their cases.
    pub broken: Vec<String>,
    /// In how many lines which word differs.
    kinds: BTreeMap<String, usize>,
    /// Sockets on which SO_REUSEPORT could be seen.
    pub reuseport_seen: usize,
}

/// Runs all cases without segue, and then with it (or without it once more, which shows what the cases are worth).
pub fn compare(way: Way, cases: &[Case], with_segue: bool) -> Found {
    let mut found = Found::default();
    for batch in cases.chunks(BATCH) {
        let alone = script::run(way, batch, false);
        let last = alone.out.lines().last().unwrap_or_default();
        assert_eq!(alone.code, Some(0), "without segue, after {last}\n{}", alone.err);
        let with = script::run(way, batch, with_segue);
        found.cases += batch.len();
        let (alone, with_segue) = (by_case(&alone.out), by_case(&with.out));
        assert_eq!(alone.len(), batch.len(), "each case says something");
        for (number, case) in batch.iter().enumerate() {
            let nothing = Vec::new();
            let difference = differences(
                way,
                case,
                &alone[number],
                with_segue.get(number).unwrap_or(&nothing),
                &mut found,
            );
            if !difference.is_empty() {
                found.different.push((case.name.clone(), difference));
            }
        }
        if with.code != Some(0) {
            let how = with
                .code
                .map_or("it hung".to_owned(), |code| format!("it ended with {code}"));
            let case = &batch[with_segue.len().saturating_sub(1)].name;
            let last = with.out.lines().last().unwrap_or_default();
            found
                .broken
                .push(format!("{how} in {case}, after {last}\n{}", tail(&with.err)));
        }
    }
    found
}

/// Panics unless they are alike.
pub fn assert_alike(way: Way, cases: &[Case]) {
    let some: Vec<Case> = cases.iter().step_by(every()).cloned().collect();
    let found = compare(way, &some, true);
    if found.reuseport_seen > 0 {
        eprintln!("{way:?}: SO_REUSEPORT can be seen on {} sockets", found.reuseport_seen);
    }
    assert_nothing(way, &found);
}

/// CONFORMANCE_EVERY: only one case in so many is tried, where all would take hours (a machine in translation, `tests/vm`).
fn every() -> usize {
    let every = std::env::var("CONFORMANCE_EVERY")
        .ok()
        .and_then(|text| text.parse().ok());
    every.unwrap_or(1).max(1)
}

/// Panics with what differs.
pub fn assert_nothing(way: Way, found: &Found) {
    let (broken, different) = (&found.broken, &found.different);
    if broken.is_empty() && different.is_empty() {
        return;
    }
    let mut text = format!("{way:?}: {} of {} cases differ\n", different.len(), found.cases);
    for (kind, lines) in &found.kinds {
        writeln!(text, "{lines:6} {kind}").unwrap();
    }
    for fault in broken {
        writeln!(text, "--- {fault}").unwrap();
    }
    for (number, (name, difference)) in different.iter().enumerate() {
        let difference = if number < PRINTED { difference } else { "" };
        writeln!(text, "--- {name}\n{difference}").unwrap();
    }
    panic!("{text}");
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// The lines of each case.
fn by_case(out: &str) -> Vec<Vec<&str>> {
    let cases = out.split("== ").skip(1);
    cases.map(|case| case.lines().skip(1).collect()).collect()
}

fn differences(way: Way, case: &Case, alone: &[&str], with: &[&str], found: &mut Found) -> String {
    let mut text = String::new();
    for number in 0..alone.len().max(with.len()) {
        let [a, b] = [alone, with].map(|lines| lines.get(number).copied().unwrap_or("(nothing)"));
        let line = line(way, case, a, b, found);
        if !line.is_empty() {
            writeln!(text, "{line}").unwrap();
        }
    }
    text
}

/// What differs in a line: the words, if there are as many.
fn line(way: Way, case: &Case, alone: &str, with: &str, found: &mut Found) -> String {
    if alone == with {
        return String::new();
    }
    // A client that has bound its port is noticed when it connects, and its end is seen a moment later.
    if way.refused == Refused::GetfdAndPtrace && alone.contains(" whole:") && differs_by_connections(alone, with) {
        return String::new();
    }
    if case.is_multipath() && alone.starts_with("table ") && differs_by_the_refuser(alone, with) {
        return String::new();
    }
    let call = alone.split(':').next().unwrap_or(alone);
    let [a, b]: [Vec<&str>; 2] = [alone, with].map(|line| line.split(' ').collect());
    if a.len() != b.len() || !with.starts_with(call) {
        let verb = call.split(' ').next().unwrap_or_default();
        *found.kinds.entry(verb.to_owned()).or_default() += 1;
        return format!("without: {alone}\nwith:    {with}");
    }
    let mut text = String::new();
    for (a, b) in a.into_iter().zip(b).filter(|(a, b)| a != b) {
        if a.starts_with("SO_REUSEPORT=") {
            found.reuseport_seen += 1;
            if !REUSEPORT_IS_HIDDEN && a == "SO_REUSEPORT=0" {
                continue;
            }
        }
        // Whether a connection has got so far that it can be read from is a matter of moments.
        if case.name == "random" && a.starts_with("poll=") {
            continue;
        }
        let exchanged = AN_EXCHANGE_MAY_SHOW_ITS_INODE && way.refused == Refused::GetfdAndPtrace;
        if exchanged && a.starts_with("same-inode=") {
            continue;
        }
        let verb = call.split(' ').next().unwrap_or_default();
        let word = a.split_once('=').map_or(verb, |(name, _)| name);
        *found.kinds.entry(word.to_owned()).or_default() += 1;
        write!(text, " without {a}, with {b};").unwrap();
    }
    if text.is_empty() {
        text
    } else {
        format!("{call}:{text}")
    }
}

fn differs_by_connections(alone: &str, with: &str) -> bool {
    let others = |line: &str| -> Vec<String> {
        let words = line
            .split(' ')
            .filter(|word| !word.starts_with("tcp/") && !word.starts_with("tcp6/"));
        words.map(str::to_owned).collect()
    };
    others(alone) == others(with)
}

/// Beside Multipath TCP listeners a plain one of segue's listens, because they cannot be steered by themselves; and one that was
/// closed may have to stay, without a connection, until another one can have its number.
fn differs_by_the_refuser(alone: &str, with: &str) -> bool {
    let mut more: Vec<&str> = with.split(' ').collect();
    let expected = |word: &str| word.contains("/most=") || word.starts_with("tcp/") || word.starts_with("tcp6/");
    alone.split(' ').all(|word| {
        let at = more.iter().position(|it| *it == word);
        at.map(|at| more.remove(at)).is_some()
    }) && more.into_iter().all(expected)
}
