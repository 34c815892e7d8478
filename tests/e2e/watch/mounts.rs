//! Where inotify is short of watches, or blind: segue in namespaces of its own, with limits and mounts that a test sets.

use std::{fs, path::Path, process::Command};

use super::Trial;
use crate::support::{
    directory,
    segue::{As, Recipe, Segue},
};

/// Segue as the last word of a shell script, in namespaces of its own.
fn wrapped(recipe: &Recipe, unshare: &[&str], before: &str) -> Segue {
    let files = directory();
    let plain = recipe.command(files.path());
    let mut command = Command::new("unshare");
    command
        .args(unshare)
        .args(["sh", "-c", &format!("{before}\nexec \"$@\""), "sh"]);
    command.arg(plain.get_program()).args(plain.get_args()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = plain.get_current_dir() {
        command.current_dir(directory);
    }
    let log = fs::File::create(files.path().join("log")).unwrap();
    command.stdin(std::process::Stdio::null()).stderr(log);
    Segue::spawn(As::Subreaper, command, files)
}

#[test]
fn where_no_more_directories_may_be_watched_it_polls_and_names_the_sysctl() {
    let trial = Trial::new();
    for number in 0..20 {
        fs::create_dir(trial.directory.path().join(format!("w/{number}"))).unwrap();
    }
    trial.write("w/7/a", "one");
    let settings = [("SEGUE_READY", "started"), ("SEGUE_WATCH_POLL_INTERVAL", "100ms")];
    for (limit, name) in [
        ("max_inotify_watches", "max_user_watches"),
        ("max_inotify_instances", "max_user_instances"),
    ] {
        let recipe = trial.recipe(As::Subreaper, &["sleep", "1000"], &settings);
        let before = format!(
            "echo {} > /proc/sys/user/{limit}",
            if limit.ends_with("watches") { 5 } else { 0 }
        );
        let mut segue = wrapped(&recipe, &["--user", "--map-root-user"], &before);
        let line = segue.line("inotify does not do: the files are polled", 1);
        assert!(
            line["reason"].as_str().unwrap().contains(&format!("fs.inotify.{name}")),
            "{line}"
        );
        segue.line("watching files", 1);
        assert_eq!(trial.desk.status()["watch"]["backend"], "poll");
        trial.write("w/7/a", &format!("two {name}"));
        assert_eq!(segue.line("restart requested", 1)["detail"], "watch: w/7/a changed");
        segue.signal(libc::SIGTERM);
        segue.wait();
    }
}

#[test]
fn on_a_file_system_that_inotify_does_not_hear_it_polls() {
    if !Path::new("/dev/fuse").exists() {
        return;
    }
    let trial = Trial::new();
    fs::create_dir(trial.directory.path().join("host")).unwrap();
    trial.write("host/a", "one");
    let settings = [("SEGUE_READY", "started"), ("SEGUE_WATCH_POLL_INTERVAL", "100ms")];
    let recipe = trial.recipe(As::Subreaper, &["sleep", "1000"], &settings);
    // What is changed in `host` comes through the mount unheard, as on Docker Desktop.
    let unshare = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut segue = wrapped(&recipe, &unshare, "bindfs --no-allow-other host w || exit 99");
    let line = segue.line("inotify is blind there: it is polled", 1);
    assert!(line["kind"].as_str().unwrap().starts_with("fuse"), "{line}");
    segue.line("watching files", 1);
    assert_eq!(trial.desk.status()["watch"]["backend"], "poll");
    trial.write("host/a", "two");
    assert_eq!(segue.line("restart requested", 1)["detail"], "watch: w/a changed");
}

#[test]
fn a_file_that_is_a_mount_is_warned_of_once() {
    let trial = Trial::new();
    trial.write("source", "one");
    trial.write("w/app.toml", "");
    let settings = [("SEGUE_READY", "started"), ("SEGUE_WATCH", "w/app.toml")];
    let recipe = trial.recipe(As::Subreaper, &["sleep", "1000"], &settings);
    let unshare = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut segue = wrapped(&recipe, &unshare, "mount --bind source w/app.toml");
    segue.line("watching files", 1);
    let warned = segue
        .log()
        .iter()
        .filter(|it| it["message"].as_str().unwrap_or("").contains("a mount by itself"))
        .count();
    assert_eq!(warned, 1);
    // What is written into it is seen.
    trial.write("source", "two");
    assert_eq!(
        segue.line("restart requested", 1)["detail"],
        "watch: w/app.toml changed"
    );
}
