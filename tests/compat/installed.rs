//! Is the server of a row installed, and in which version?

use std::{path::Path, process::Command};

use crate::{
    place::{Place, programs, venv},
    table::{Package, Row},
};

/// Where a program is looked for.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Its version, if it is there.
pub fn version(row: &Row, place: &Place) -> Option<String> {
    let program = place.fill(row.command.split_whitespace().next()?);
    if !is_there(&program) {
        return None;
    }
    match row.package {
        Package::PyPi(package) => {
            let script = programs().join("version.py");
            let python = venv().join("bin/python");
            output(Command::new(python).arg(script).arg(package)).map(|text| text.trim().to_owned())
        }
        Package::Debian(package) => {
            let printed = (!row.version.is_empty()).then(|| {
                let words: Vec<String> = row.version.split_whitespace().map(|word| place.fill(word)).collect();
                let mut command = Command::new(words.first()?);
                number(&output_of_any(command.args(&words[1..]).env("PATH", PATH))?)
            });
            printed.flatten().or_else(|| {
                let mut query = Command::new("dpkg-query");
                query.args(["--show", "--showformat", "${Version}", package]);
                output(&mut query)
            })
        }
    }
}

/// May a row be left out? Not in a run that must prove everything.
pub fn skip(row: &Row) {
    let why = format!("{} is not installed ({:?}; scripts/setup)", row.title, row.package);
    assert!(std::env::var_os("TESTS_REQUIRE_SERVERS").is_none(), "{why}");
    eprintln!("skipped: {why}");
}

fn is_there(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    PATH.split(':')
        .any(|directory| Path::new(directory).join(program).exists())
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// Some print their version to stderr, and end with an error.
fn output_of_any(command: &mut Command) -> Option<String> {
    let output = command.stdin(std::process::Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// The first word that is a version: digits, a dot, digits.
fn number(text: &str) -> Option<String> {
    let of_version = |it: char| it.is_ascii_alphanumeric() || ".-+~_".contains(it);
    let words = text.split(|it: char| !of_version(it) && it != 'v');
    let mut versions = words.filter_map(|word| {
        let begin = word.find(|it: char| it.is_ascii_digit())?;
        let word = word[begin..].trim_end_matches(['.', '-', '_']);
        let (major, rest) = word.split_once('.')?;
        let right = major.chars().all(|it| it.is_ascii_digit()) && rest.starts_with(|it: char| it.is_ascii_digit());
        right.then(|| word.to_owned())
    });
    versions.next()
}
