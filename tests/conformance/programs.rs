//! The programs of `tests/conformance/programs`, built once for each state of their text.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

/// Where a program's text is.
pub fn text(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/conformance/programs")
        .join(name)
}

/// The binary of a C or C++ program.
pub fn built(name: &str) -> PathBuf {
    let mut all: Vec<PathBuf> = fs::read_dir(text(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    let mut state = DefaultHasher::new();
    for file in all {
        fs::read(file).unwrap().hash(&mut state);
    }
    let (stem, compiler) = match name.split_once('.') {
        Some((stem, "cpp")) => (stem, "c++"),
        _ => (name.trim_end_matches(".c"), "cc"),
    };
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{:x}", state.finish()));
    let binary = directory.join(stem);
    if binary.exists() {
        return binary;
    }
    // Other tests do the same meanwhile: it appears whole or not at all.
    fs::create_dir_all(&directory).unwrap();
    let new = directory.join(format!("{stem}.{}", std::process::id()));
    let mut command = Command::new(compiler);
    command
        .args(["-O2", "-Wall", "-pthread", "-o"])
        .args([&new, &text(name)]);
    assert!(command.status().unwrap().success(), "{name} cannot be built");
    fs::rename(&new, &binary).unwrap();
    binary
}
