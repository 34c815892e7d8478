//! Programs that do what no program should: segue says what the kernel would have said, never stalls, never crashes, and
//! its memory and files stay as they are.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{
    directory, free_port, program,
    segue::{As, Recipe, Segue},
    wait,
};

fn built(files: &tempfile::TempDir) -> PathBuf {
    let binary = files.path().join("hostile");
    let built = Command::new("cc")
        .args(["-O2", "-pthread", "-o"])
        .args([&binary, &program("hostile.c")])
        .status();
    assert!(built.unwrap().success());
    binary
}

/// Resident kilobytes and open files.
fn weight(pid: i32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident = line.trim().trim_end_matches(" kB").parse().unwrap();
    (resident, fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count())
}

/// Runs `hostile WHAT` over and over until told otherwise, and looks how segue fares.
fn under(what: &str) -> Segue {
    let files = directory();
    let binary = built(&files);
    let line = format!(
        "for turn in 1 2 3; do {} {what} {} || exit 9; echo turn; done; exec sleep 1000",
        binary.display(),
        free_port()
    );
    let mut segue = Recipe::plain(As::Init, ["sh", "-c", &line])
        .set("SEGUE_LOG", "info")
        .set("SEGUE_HANDOVER", "transparent")
        .start();
    let pid = segue.pid();
    let mut turns = |count: usize| {
        wait::until("the next turn", || {
            assert!(segue.try_wait().is_none(), "{}", segue.stderr());
            (segue.stdout().matches("turn").count() >= count).then_some(())
        });
    };
    turns(1);
    let (first, _) = weight(pid);
    turns(3);
    let (resident, open) = weight(pid);
    assert!(resident < first + 1_000, "{first} kB, then {resident} kB");
    assert!(open < 200, "{open} files");
    segue
}

fn stops_at_once(mut segue: Segue) {
    let begin = Instant::now();
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 143, "{}", segue.stderr());
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(segue.lines("a fault of segue's own").is_empty());
}

#[test]
fn pointers_to_nowhere_get_the_kernel_s_own_answer() {
    let files = directory();
    let alone = Command::new(built(&files))
        .args(["pointers", &free_port().to_string()])
        .status();
    assert!(alone.unwrap().success(), "the expectations are the kernel's");
    stops_at_once(under("pointers"));
}

#[test]
fn a_storm_of_binds_weighs_nothing() {
    let segue = under("storm");
    let counts: Vec<u64> = segue.stdout().lines().filter_map(|line| line.parse().ok()).collect();
    assert!(
        counts.len() == 3 && counts.iter().all(|count| *count > 0),
        "binds in two seconds: {counts:?}"
    );
    stops_at_once(segue);
}

#[test]
fn callers_that_die_while_they_wait_leave_nothing() {
    stops_at_once(under("deaths"));
}

/// A stop is heard while the storm goes on.
#[test]
fn a_storm_does_not_keep_a_stop_waiting() {
    let files = directory();
    let binary = built(&files);
    let line = format!("while :; do {} storm {}; done", binary.display(), free_port());
    let segue = Recipe::plain(As::Init, ["sh", "-c", &line])
        .set("SEGUE_HANDOVER", "transparent")
        .set("SEGUE_STOP_GROUP", "true")
        .start();
    wait::until("it storms", || segue.stdout().contains('\n').then_some(()));
    let mut segue = segue;
    let begin = Instant::now();
    segue.signal(libc::SIGTERM);
    segue.wait();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
