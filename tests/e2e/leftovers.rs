//! P1: orphans are reaped, and what a program leaves behind may clean up before it is ended.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    directory, program,
    segue::{As, BOTH, Recipe, Segue, children, descendants},
    wait,
};

fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_hundred_thousand_orphans_leave_no_zombie_and_no_trace() {
    let files = directory();
    let orphans = files.path().join("orphans");
    let built = Command::new("cc")
        .args(["-O2", "-o"])
        .args([&orphans, &program("orphans.c")])
        .status()
        .unwrap();
    assert!(built.success());
    let mut segue = Recipe::new(As::Init, [orphans.to_str().unwrap(), "100000"]).start();
    segue.ready(1);
    // People are let in a moment after the start, which takes files too.
    segue.line("control socket", 1);
    let pid = segue.pid();
    let files_of = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let resident = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap()
            .to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = (files_of(pid), resident(pid));
    // Longer than others may take: it is 200,000 forks on a shared machine.
    let begin = Instant::now();
    while segue.stdout() != "done\n" {
        assert!(
            begin.elapsed() < Duration::from_secs(500) && segue.try_wait().is_none(),
            "{}",
            segue.stderr()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    wait::until("all are reaped", || (children(pid).len() == 1).then_some(()));
    let after = (files_of(pid), resident(pid));
    assert_eq!(before.0, after.0);
    assert!(after.1 <= before.1 + 512, "{} kB became {} kB", before.1, after.1);
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 143);
}

/// In a session of its own, where no signal of the program's reaches it; it needs half a second.
#[test]
fn what_is_left_behind_may_clean_up() {
    for how in BOTH {
        let files = directory();
        let note = files.path().join("note");
        let cleans = format!(
            "trap 'sleep 0.5; echo clean > {}; exit' TERM; echo up; while :; do sleep 0.02; done",
            note.display()
        );
        let main = format!(
            "setsid sh -c \"{cleans}\" & while ! test -e {}.go; do sleep 0.02; done; exit 4",
            note.display()
        );
        let mut segue = Recipe::new(how, ["sh", "-c", &main]).start();
        wait::until("it is up", || segue.stdout().contains("up").then_some(()));
        fs::write(format!("{}.go", note.display()), "").unwrap();
        assert_eq!(segue.wait(), 4);
        assert_eq!(fs::read_to_string(&note).unwrap(), "clean\n");
    }
}

#[test]
fn what_ignores_that_is_killed_after_five_seconds() {
    let stubborn = "setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.1; done' & while :; do sleep 0.05; done";
    let mut segue = Recipe::new(As::Subreaper, ["sh", "-c", stubborn]).start();
    wait::until("it is up", || segue.stdout().contains("up").then_some(()));
    let all = descendants(segue.pid());
    let main = children(segue.pid())[0];
    let begin = Instant::now();
    crate::support::segue::signal_process(main, libc::SIGKILL);
    assert_eq!(segue.wait(), 137);
    let took = begin.elapsed();
    assert!(
        took > Duration::from_millis(4_900) && took < Duration::from_secs(15),
        "{took:?}"
    );
    for pid in all {
        assert!(!is_alive(pid), "{pid} lives on");
    }
}

/// Double-forked, with an empty environment, in a session of its own: it is still the old generation's.
#[test]
fn a_daemon_of_the_old_generation_goes_and_the_new_one_s_stays() {
    let daemon = "(setsid env -i /bin/sleep 1000 </dev/null >/dev/null 2>&1 &) ; exec sleep 2000";
    for how in BOTH {
        let mut segue = Recipe::new(how, ["sh", "-c", daemon])
            .set("SEGUE_PROBATION", "50ms")
            .start();
        segue.ready(1);
        let daemons = |pid: i32| -> Vec<i32> {
            let is =
                |it: &i32| fs::read(format!("/proc/{it}/cmdline")).is_ok_and(|line| line == b"/bin/sleep\x001000\0");
            descendants(pid).into_iter().filter(is).collect()
        };
        let pid = segue.pid();
        let old = wait::until("the daemon runs", || daemons(pid).first().copied());
        // The kernel tells starts apart by ticks of 10 ms; within one tick it would be taken for the newer one's.
        wait::throughout(Duration::from_millis(30), "it runs", || is_alive(old));
        assert_eq!(segue.restart()["outcome"], "replaced");
        segue.line("generation is gone", 1);
        assert!(!is_alive(old), "the old daemon lives on");
        let new = wait::until("the new daemon runs", || daemons(pid).first().copied());
        assert!(is_alive(new) && new != old);
    }
}

/// tini's oldest complaint: everybody else dies the moment the main process exits.
#[test]
fn a_group_member_is_told_and_awaited() {
    let main = "sh -c 'trap \"echo told; exit\" TERM; echo up; while :; do sleep 0.02; done' & sleep 0.3; exit 0";
    let mut segue = Recipe::new(As::Init, ["sh", "-c", main]).start();
    assert_eq!(segue.wait(), 0);
    assert_eq!(segue.stdout(), "up\ntold\n");
}

/// A command in a segue's namespaces, as `docker exec` runs it; what it leaves behind becomes PID 1's child.
fn exec(segue: &Segue, script: &str) {
    let mut command = Command::new("nsenter");
    command.args([
        "--target",
        &segue.pid().to_string(),
        "--mount",
        "--pid",
        "sh",
        "-c",
        script,
    ]);
    command.env_clear().env("PATH", "/usr/bin:/bin");
    let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(done.success());
}

/// tmux, a database dump under nohup: nobody's but whose who started them.
#[test]
fn a_job_that_docker_exec_left_lives_through_restarts_and_is_asked_to_go_in_the_final_stop() {
    for handover in ["auto", "none"] {
        let files = directory();
        let note = files.path().join("note");
        let mut segue = Recipe::new(As::Init, ["sleep", "2000"])
            .set("SEGUE_HANDOVER", handover)
            .set("SEGUE_PROBATION", "50ms")
            .start();
        segue.ready(1);
        let job = format!(
            "trap 'echo asked > {note}; exit' TERM; echo $$ > {note}.up; while :; do sleep 0.02; done",
            note = note.display()
        );
        exec(
            &segue,
            &format!("setsid nohup sh -c \"{}\" < /dev/null &", job.replace('$', "\\$")),
        );
        wait::until("the job runs", || {
            fs::read_to_string(format!("{}.up", note.display())).ok()
        });
        for gone in 1..=3 {
            assert_eq!(segue.restart()["outcome"], "replaced");
            segue.line("generation is gone", gone);
        }
        assert!(!note.exists(), "it was asked to go: {}", segue.stderr());
        assert!(
            segue
                .lines("the program left a process behind, asking it to go")
                .is_empty()
        );
        segue.signal(libc::SIGTERM);
        segue.wait();
        assert_eq!(fs::read_to_string(&note).unwrap(), "asked\n");
    }
}

/// Each process is gone before a look at all of them comes to it.
#[test]
#[ignore = "on a busy machine the chain outruns segue at times: known, and not met yet"]
fn what_forks_faster_than_it_is_looked_for_ends_with_its_generation() {
    let files = directory();
    let chain = files.path().join("chain");
    let built = Command::new("cc")
        .args(["-O2", "-o"])
        .args([&chain, &program("chain.c")])
        .status();
    assert!(built.unwrap().success());
    for how in BOTH {
        let counts = directory();
        let main = format!(
            "{} {}/$SEGUE_GENERATION 60; exec sleep 1000",
            chain.display(),
            counts.path().display()
        );
        let links = |generation: u64| {
            let bytes = fs::read(counts.path().join(generation.to_string())).unwrap_or_default();
            bytes.first_chunk::<8>().map_or(0, |it| u64::from_ne_bytes(*it))
        };
        // Twice the same, with a pause: none has come meanwhile.
        let ends = |generation: u64, limit: Duration| {
            let begin = Instant::now();
            let mut seen = (links(generation), begin);
            while seen.1.elapsed() < Duration::from_millis(500) {
                let now = links(generation);
                if now != seen.0 {
                    seen = (now, Instant::now());
                }
                assert!(begin.elapsed() < limit * wait::slowness(), "{generation} goes on");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let mut segue = Recipe::new(how, ["sh", "-c", &main])
            .set("SEGUE_LOG", "info")
            .set("SEGUE_PROBATION", "50ms")
            .set("SEGUE_RESTART_MODE", "overlap")
            .set("SEGUE_STOP_TIMEOUT", "4s")
            .start();
        wait::until("the first chain grows", || (links(1) > 1000).then_some(()));
        assert_eq!(segue.restart()["message"], "restart succeeded");
        ends(1, Duration::from_secs(12));
        let before = links(2);
        wait::until("the second one goes on", || (links(2) > before + 100).then_some(()));
        let begin = Instant::now();
        segue.signal(libc::SIGTERM);
        segue.wait();
        assert!(
            begin.elapsed() < Duration::from_secs(7) * wait::slowness(),
            "{:?}",
            begin.elapsed()
        );
        ends(2, Duration::from_secs(2));
    }
}

/// As servers do that were made for init scripts.
#[test]
fn a_program_that_goes_to_the_background_is_told_to_stay() {
    let told = "the program went to the background, where nobody can tell how it is: its end is taken for that of its first process; \
                let it run in the foreground";
    for how in BOTH {
        let mut segue = Recipe::new(
            how,
            ["sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & exit 0"],
        )
        .run();
        assert_eq!(segue.wait(), 0);
        let lines = segue.lines(told);
        assert_eq!(lines.len(), 1, "{}", segue.stderr());
        assert!(lines[0]["level"] == "WARN" && lines[0]["remedy"].as_str().unwrap().contains("--foreground"));
        for (main, code) in [("exit 0", 0), ("setsid sleep 1000 & exit 3", 3)] {
            let mut segue = Recipe::new(how, ["sh", "-c", main]).run();
            assert_eq!(segue.wait(), code);
            assert!(segue.lines(told).is_empty(), "{}", segue.stderr());
        }
    }
}
