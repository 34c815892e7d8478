//! The arrows of ARCHITECTURE.md: who may use whom, where `unsafe` may be, and what the machine does without.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::tests_outside_test_module,
    reason = "a test ends by panicking"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[path = "layers/looks.rs"]
mod looks;

use looks::{LOOKS, LOOKS_AT_FILES};

/// The folder that is a package of its own; those within are as good as those beside it.
const PACKAGE: &str = "http";

/// Each folder of `src`, and the folders that it may use.
const ARROWS: [(&str, &[&str]); 16] = [
    ("machine", &[]),
    ("settings", &[]),
    ("systemd", &[]),
    ("serve", &["systemd"]),
    ("caller", &["serve"]),
    ("proxy", &["serve", "caller"]),
    ("process", &["machine"]),
    ("handover", &["process"]),
    ("evidence", &["process", "handover"]),
    ("readiness", &["process", "caller"]),
    ("telemetry", &["process"]),
    (
        "runtime",
        &[
            "machine",
            "settings",
            "process",
            "handover",
            "evidence",
            "proxy",
            "readiness",
            "telemetry",
            "control",
            "systemd",
            "watch",
        ],
    ),
    ("verify", &["process", "caller"]),
    ("watch", &["process"]),
    ("control", &["serve", "process"]),
    (
        "cli",
        &["settings", "process", "runtime", "verify", "control", "readiness"],
    ),
];

/// The files below which lies the kernel.
const UNSAFE: [&str; 23] = [
    "handover/facts.rs",
    "handover/options.rs",
    "handover/steering.rs",
    "handover/trapped/notification.rs",
    "handover/trapped/pidfd.rs",
    "handover/trapped/task.rs",
    "handover/trapped/tracer/aarch64.rs",
    "handover/trapped/tracer/request.rs",
    "http/systemd/listen_fds.rs",
    "main.rs",
    "process/attribute.rs",
    "process/file_type.rs",
    "process/files.rs",
    "process/identity.rs",
    "process/privileges.rs",
    "process/reaper.rs",
    "process/send.rs",
    "process/signals.rs",
    "process/sigset.rs",
    "process/spawn.rs",
    "process/trap.rs",
    "process/user.rs",
    "telemetry/stderr.rs",
];
/// A tracer is the only one who can wait for a thread that died while it was traced.
const WAITS_FOR_THE_TRACED: &str = "handover/trapped/tracer/request.rs";

/// A file may be this long, its tests included.
const LONGEST: usize = 400;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| self::files(folder));
    files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|it| it == "rs"))
        .chain(below)
        .collect()
}

/// Where a folder is.
fn place(folder: &str) -> PathBuf {
    let within = source().join(PACKAGE).join(folder);
    if within.exists() { within } else { source().join(folder) }
}

fn name(path: &Path) -> String {
    path.strip_prefix(source())
        .unwrap()
        .to_str()
        .unwrap()
        .replace('\\', "/")
}

/// The text without comments and without what is compiled for tests only.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text
        .split("\n#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or(&text)
        .to_owned();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn words_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(prefix).map(move |(at, _)| {
        let rest = &text[at + prefix.len()..];
        &rest[..rest
            .find(|it: char| !it.is_alphanumeric() && it != '_')
            .unwrap_or(rest.len())]
    })
}

#[test]
fn every_folder_uses_only_those_below_it() {
    let known: BTreeSet<&str> = ARROWS.iter().map(|arrow| arrow.0).collect();
    let below = |directory: PathBuf| fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let folders: BTreeSet<String> = below(source())
        .chain(below(source().join(PACKAGE)))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|folder| folder != PACKAGE)
        .collect();
    assert_eq!(
        known,
        folders.iter().map(String::as_str).collect(),
        "a folder without arrows, or arrows without one"
    );
    for (folder, allowed) in ARROWS {
        for file in files(&place(folder)) {
            let code = code(&file);
            // `use crate::{…}` names several at once.
            let grouped = code.split("use crate::{").skip(1).flat_map(|rest| {
                let rest = rest.split("};").next().unwrap_or("");
                known.iter().filter(move |folder| {
                    rest.split(|it: char| !it.is_alphanumeric() && it != '_')
                        .any(|word| word == **folder)
                        && (rest.contains(&format!("{folder}::")) || rest.contains(&format!("{folder},")))
                })
            });
            for used in words_after(&code, "crate::")
                .filter(|it| known.contains(it))
                .chain(grouped.copied())
            {
                let fine = used == folder || allowed.contains(&used);
                assert!(
                    fine,
                    "{}: {folder}/ must not use {used}/ (see ARCHITECTURE.md)",
                    name(&file)
                );
            }
        }
    }
}

#[test]
fn the_machine_has_no_clock_no_system_and_no_log() {
    let forbidden = [
        "Instant::now",
        "SystemTime",
        "tokio",
        "nix::",
        "libc::",
        "tracing",
        "std::env",
        "std::fs",
        "std::io",
        "std::net",
        "std::os",
        "std::process",
        "std::thread",
        "RawFd",
        "OwnedFd",
        "Pid",
        "unsafe",
    ];
    for file in files(&place("machine")) {
        if name(&file) == "machine/properties.rs" || name(&file).starts_with("machine/scenarios/") {
            continue;
        }
        let code = code(&file);
        for word in forbidden {
            assert!(!code.contains(word), "{} uses {word}", name(&file));
        }
        assert!(
            !code.contains("_ => todo") && !code.contains("unreachable!"),
            "{}",
            name(&file)
        );
    }
}

/// What it leaves to the program: its signals, its environment, its end. The first servers of this kind told their parent to
/// stop by its number, which may be anybody's by then.
#[test]
fn the_library_leaves_the_process_alone() {
    let forbidden = [
        "exit(",
        "abort()",
        "signal",
        "getppid",
        "kill",
        "fork",
        "set_var",
        "remove_var",
        "set_current_dir",
        "panic::set_hook",
        "println!",
        "Mutex",
        "thread::",
    ];
    for file in files(&place("serve"))
        .iter()
        .chain(&files(&place("systemd")))
        .filter(|file| !name(file).contains("/tests/"))
    {
        // Evicting aborts a task, which is no process.
        let code = code(file).replace("task.abort()", "");
        for word in forbidden {
            assert!(!code.contains(word), "{} uses {word}", name(file));
        }
    }
}

#[test]
fn what_a_connection_may_do_is_decided_without_a_clock_and_without_io() {
    for file in ["state", "patience", "heads", "version", "goaway"] {
        let code = code(&place("serve").join(format!("{file}.rs")));
        for word in ["Instant::now", "tokio", "nix::", "hyper", "tracing", "poll"] {
            assert!(!code.contains(word), "serve/{file}.rs uses {word}");
        }
    }
}

#[test]
fn unsafe_is_where_it_is_argued_and_nowhere_else() {
    let has_unsafe = |file: &PathBuf| code(file).contains("unsafe {") || code(file).contains("#[unsafe(");
    let found: BTreeSet<String> = files(&source())
        .iter()
        .filter(|file| has_unsafe(file))
        .map(|file| name(file))
        .collect();
    assert_eq!(found, UNSAFE.iter().map(|it| (*it).to_owned()).collect());
}

#[test]
fn only_the_reaper_waits_only_send_signals_only_spawn_forks() {
    for (words, place) in [
        (
            &["libc::waitpid", "libc::waitid", "nix::sys::wait", "wait4"][..],
            "process/reaper.rs",
        ),
        (
            &[
                "libc::kill",
                "pidfd_send_signal",
                "libc::sigqueue",
                "signal::kill",
                "killpg",
            ][..],
            "process/send.rs",
        ),
        (
            &[
                "libc::fork",
                "libc::clone",
                "libc::execve",
                "SYS_clone",
                "process::Command",
            ][..],
            "process/spawn.rs",
        ),
    ] {
        for file in files(&source()).iter().filter(|file| !name(file).contains("/tests/")) {
            let code = code(file);
            for word in words.iter().filter(|word| code.contains(**word)) {
                let of_tracer = *word == "libc::waitid" && name(file) == WAITS_FOR_THE_TRACED;
                assert!(of_tracer || name(file) == place, "{} has {word}", name(file));
            }
        }
    }
}

#[test]
fn files_are_short_and_begin_by_saying_what_they_are_for() {
    let mut lengths = Vec::new();
    for file in files(&source()) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not say what it is for", name(&file));
        let length = text.lines().count();
        assert!(length <= LONGEST, "{} has {length} lines", name(&file));
        lengths.push(length);
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= 150, "the median file has {median} lines");
}

#[test]
fn who_looks_at_files_is_known_and_so_is_why_it_does_not_hang() {
    let known: BTreeSet<&str> = LOOKS_AT_FILES
        .iter()
        .flat_map(|(_, files)| files.iter().copied())
        .collect();
    let is_test =
        |file: &str| file.contains("/tests") || file.ends_with("properties.rs") || file.contains("scenarios/");
    let found: BTreeSet<String> = files(&source())
        .iter()
        .filter(|path| LOOKS.iter().any(|look| code(path).contains(look)))
        .map(|path| name(path))
        .filter(|file| !is_test(file) && !file.starts_with(PACKAGE))
        .collect();
    assert_eq!(
        found.iter().map(String::as_str).collect::<BTreeSet<&str>>(),
        known,
        "a file that looks at others and is not listed, or the other way round"
    );
}
