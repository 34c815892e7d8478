//! Drains the library's server, hyper-util's and axum's under the same loads, in turns, and prints what failed. A part of
//! `scripts/bench-library`.
//!
//! `drains [N]` drains each N times under each load; `drains --serve NAME` serves with one of them until its input ends.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    reason = "it is a part of the tests"
)]

#[path = "../tests/serve/harness/mod.rs"]
mod harness;

use std::{
    env,
    io::{Write, stdin, stdout},
};

use harness::{Failure, Kind, Line, Load, Outcome, Pace, through};

const KINDS: [Kind; 3] = [Kind::Segue(Pace::Default), Kind::HyperUtil, Kind::Axum];

/// So often it is the turn of each.
const ROUNDS: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    match &words[..] {
        [option, name] if option == "--serve" => serve(name).await,
        [drains] => compare(drains.parse().expect("a number of drains")).await,
        [] => compare(100).await,
        _ => panic!("usage: drains [N] | drains --serve NAME"),
    }
}

/// Until nobody wants it any more.
async fn serve(name: &str) {
    let kind = KINDS
        .into_iter()
        .find(|kind| kind.name() == name)
        .expect("a known name");
    let line = Line::start(kind).await;
    println!("{}", line.address());
    stdout().flush().unwrap();
    // Whatever comes, it is the end.
    stdin().read_line(&mut String::new()).ok();
    line.end().await;
}

async fn compare(drains: usize) {
    println!("| load | server | answered | given back | failed | how | drain, median | longest |");
    println!("|---|---|---:|---:|---:|---|---:|---:|");
    for load in Load::ALL {
        let mut outcomes = [Outcome::default(), Outcome::default(), Outcome::default()];
        for round in 0..ROUNDS {
            let drains = drains / ROUNDS + usize::from(round < drains % ROUNDS);
            for (kind, outcome) in KINDS.into_iter().zip(&mut outcomes) {
                outcome.add(through(kind, load, drains).await);
            }
        }
        for (kind, outcome) in KINDS.into_iter().zip(&outcomes) {
            row(load, kind, outcome);
        }
    }
}

fn row(load: Load, kind: Kind, outcome: &Outcome) {
    let counts = &outcome.counts;
    let mut how: Vec<String> = Failure::ALL
        .into_iter()
        .filter(|failure| counts.of(*failure) > 0)
        .map(|failure| format!("{} {}", counts.of(failure), failure.name()))
        .collect();
    let cut: usize = outcome
        .drains
        .iter()
        .filter_map(|ended| ended.report)
        .map(|it| it.cut.all())
        .sum();
    if cut > 0 {
        how.push(format!("{cut} connections cut"));
    }
    let times = outcome.times();
    let milliseconds = |at: usize| times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    println!(
        "| {} | {} | {} | {} | {} | {} | {:.1} ms | {:.1} ms |",
        load.name(),
        kind.name(),
        counts.answered,
        counts.handed_back,
        counts.failed(),
        how.join("; "),
        milliseconds(times.len() / 2),
        milliseconds(times.len().saturating_sub(1)),
    );
    stdout().flush().unwrap();
}
