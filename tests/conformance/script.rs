//! Scripts for the probe: cases with a name, ports of their own, and lines of calls.

use std::{ffi::OsString, fs};

use crate::{
    programs::built,
    ways::{Ended, Stage, Way},
};

/// The first of the ports below 1024: `LOWPORT` in a case's lines, which has one of its own. (A port that another case has had may be in
/// TIME_WAIT.)
const LOW: usize = 100;
/// Ports of a case: `P0` to `P3` in its lines.
pub const PORTS: usize = 4;
/// In a network namespace of the script's own, below those that the kernel gives to clients.
const FIRST: usize = 20_000;

/// May segue take up to 300 ms to notice, by those who come, that a listener is closed? If not, nothing waits for it, and who
/// connects right after the close must be refused.
const LETTING_GO_MAY_LAG: bool = true;

/// Some calls, and what they are called together.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub lines: Vec<String>,
}

impl Case {
    /// From a text with a line for each call; those of several cases can be put together.
    pub fn new(name: impl Into<String>, text: &str) -> Case {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Case {
            name: name.into(),
            lines: lines.map(str::to_owned).collect(),
        }
    }

    /// Does it make a Multipath TCP socket?
    pub fn is_multipath(&self) -> bool {
        self.lines
            .iter()
            .any(|it| it.starts_with("socket ") && it.ends_with(" 262"))
    }
}

/// The script of some cases.
pub fn text(cases: &[Case]) -> String {
    let last = FIRST + PORTS * cases.len();
    let mut text = format!("ports {FIRST} {last}\n");
    for (number, case) in cases.iter().enumerate() {
        text.push_str(&format!("case {}\n", case.name));
        let lag = |line: &&String| LETTING_GO_MAY_LAG || !line.starts_with("lag ");
        for line in case.lines.iter().filter(lag) {
            let mut line = line.replace("LOWPORT", &(LOW + number).to_string());
            for port in 0..PORTS {
                line = line.replace(&format!("P{port}"), &(FIRST + PORTS * number + port).to_string());
            }
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// Runs some cases in one process.
pub fn run(way: Way, cases: &[Case], with_segue: bool) -> Ended {
    let stage = Stage::new();
    let path = stage.path().join("script");
    fs::write(&path, text(cases)).unwrap();
    let words: [OsString; 2] = [stage.copy(&built("probe.c")).into(), path.into()];
    way.run(&stage, with_segue, &words)
}
