//! P1: the program has the terminal as if segue were not there.

use std::process::Command;

use crate::support::program;

/// Runs the scenario of programs/terminal.py with the program under segue on a pseudo-terminal.
fn scenario(name: &str, words: &[&str]) {
    for prefix in [&[][..], &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]] {
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(program("terminal.py"))
            .arg(name)
            .args(prefix)
            .args([env!("CARGO_BIN_EXE_segue"), "--"])
            .args(words);
        command.env("SEGUE_LOG", "off").env("TERM", "dumb");
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{prefix:?}: {told}");
    }
}

#[test]
fn ctrl_c_reaches_the_program() {
    scenario("interrupt", &["sh", "-c", "echo up; exec sleep 1000"]);
}

#[test]
fn the_window_s_size_reaches_the_program() {
    scenario(
        "size",
        &[
            "sh",
            "-c",
            "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done",
        ],
    );
}

#[test]
fn a_shell_has_job_control() {
    scenario("shell", &["bash", "--norc", "--noprofile", "-i"]);
}

/// tini leaves the terminal without a prompt. (As PID 1 there is no shell above.)
#[test]
fn segue_is_a_job_of_a_shell() {
    let reads = "echo up; while read -r line; do echo \"<$line>\"; done";
    for after in ["", " | cat"] {
        let job = format!("{} -- sh -c '{reads}'{after}", env!("CARGO_BIN_EXE_segue"));
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(program("terminal.py"))
            .args(["jobs", "bash", "--norc", "--noprofile", "-i"])
            .env("JOB", job)
            .env("SEGUE_LOG", "off")
            .env("TERM", "dumb");
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{after}: {told}");
    }
}
