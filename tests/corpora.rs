//! The fuzz targets' stored corpora, and bounded changes of them, with any compiler: what `cargo fuzz` has found stays tried.
#![cfg(feature = "entrypoint")]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::tests_outside_test_module,
    reason = "a test ends by panicking"
)]

#[path = "corpora/control.rs"]
mod control;
#[path = "corpora/settings.rs"]
mod settings;

use std::{fs, path::Path};

/// Changes of each input; they are the same in every run.
const CHANGES: u64 = 200;

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

fn run(target: &str, check: fn(&[u8])) {
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
        for _ in 0..CHANGES {
            check(&changed(&input, &mut chance));
        }
    }
}

#[test]
fn control() {
    run("control", control::check);
}

#[test]
fn settings() {
    run("settings", settings::check);
}
