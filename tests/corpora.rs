//! The fuzz targets' stored corpora, and bounded changes of them, with any compiler: what `cargo fuzz` has found stays tried.
#![cfg(feature = "entrypoint")]
#![allow(
    unreachable_pub,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::tests_outside_test_module,
    reason = "a test ends by panicking"
)]

#[path = "corpora/answers.rs"]
mod answers;
#[path = "corpora/calls.rs"]
mod calls;
#[path = "corpora/configmap.rs"]
mod configmap;
#[path = "corpora/control.rs"]
mod control;
#[path = "corpora/dotenv.rs"]
mod dotenv;
#[path = "corpora/fields.rs"]
mod fields;
#[path = "corpora/heads.rs"]
mod heads;
#[path = "corpora/ignore.rs"]
mod ignore;
#[path = "corpora/netlink.rs"]
mod netlink;
#[path = "corpora/notify.rs"]
mod notify;
#[path = "corpora/settings.rs"]
mod settings;
#[path = "corpora/table.rs"]
mod table;

use std::{fs, path::Path};

/// Changes of each input; they are the same in every run.
const CHANGES: u64 = 200;
/// Of one that makes files.
const FEWER: u64 = 30;

/// xorshift64*, which is enough to choose places and bytes by.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % limit.max(1)
    }
}

fn changed(input: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len() + 1);
        match chance.below(4) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(chance.below(256)).unwrap(),
            1 => bytes.insert(at, b"\0\n\"{}[],:=0129.-_\xff"[chance.below(18)]),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn run(target: &str, changes: u64, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{} is almost empty", corpus.display());
    for (number, file) in (1..).zip(files) {
        let input = fs::read(&file).unwrap();
        check(&input);
        let mut chance = Chance(number);
        for _ in 0..changes {
            check(&changed(&input, &mut chance));
        }
    }
}

#[test]
fn answers() {
    run("answers", CHANGES, answers::check);
}

#[test]
fn calls() {
    run("calls", CHANGES, calls::check);
}

#[test]
fn configmap() {
    run("configmap", FEWER, configmap::check);
}

#[test]
fn control() {
    run("control", CHANGES, control::check);
}

#[test]
fn dotenv() {
    run("dotenv", CHANGES, dotenv::check);
}

#[test]
fn fields() {
    run("fields", CHANGES, fields::check);
}

#[test]
fn heads() {
    run("heads", CHANGES, heads::check);
}

#[test]
fn ignore() {
    run("ignore", CHANGES, ignore::check);
}

#[test]
fn netlink() {
    run("netlink", CHANGES, netlink::check);
}

#[test]
fn notify() {
    run("notify", CHANGES, notify::check);
}

#[test]
fn settings() {
    run("settings", CHANGES, settings::check);
}

#[test]
fn table() {
    run("table", CHANGES, table::check);
}
