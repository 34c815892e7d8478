//! P7: a changed file restarts the program as any other restart does, once, for a reason that is told.

mod mounts;

use std::{fs, process::Command};

use crate::support::{
    client::{self, Load},
    command::Desk,
    directory, free_port, hello, loopback, script,
    segue::{As, BOTH, Recipe, Segue},
    wait,
};

/// Segue with a watched directory `w` in a directory of the test's own, in which it also runs.
struct Trial {
    directory: tempfile::TempDir,
    desk: Desk,
}

impl Trial {
    fn new() -> Trial {
        let directory = directory();
        fs::create_dir(directory.path().join("w")).unwrap();
        Trial {
            directory,
            desk: Desk::new(),
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// By a rename, as editors do.
    fn save(&self, name: &str, text: &str) {
        let temporary = self.directory.path().join("saved");
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, self.directory.path().join(name)).unwrap();
    }

    fn recipe(&self, how: As, words: &[&str], settings: &[(&str, &str)]) -> Recipe {
        Recipe::plain(how, words)
            .within(self.directory.path())
            .set("SEGUE_CONTROL", self.desk.path())
            .set("SEGUE_WATCH", "w")
            .set("SEGUE_WATCH_DEBOUNCE", "50ms")
            .set("SEGUE_PROBATION", "50ms")
            .with(settings)
    }

    /// Waits until it watches.
    fn start(&self, recipe: &Recipe) -> Segue {
        let mut segue = recipe.start();
        segue.line("watching files", 1);
        segue
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = script(&self.directory.path().join(name), text);
        path.to_str().unwrap().to_owned()
    }
}

#[test]
fn a_save_under_load_is_one_restart_without_a_failed_request() {
    for how in BOTH {
        let trial = Trial::new();
        trial.write("w/app.toml", "one");
        let address = format!("127.0.0.1:{}", free_port());
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        let program = hello();
        let recipe = trial.recipe(how, &[program.to_str().unwrap(), &address], &[]);
        let mut segue = trial.start(&recipe);
        segue.ready(1);
        let load = Load::start(loopback(port), "/", 3);
        load.more(10);
        for restart in 1..=5 {
            trial.save("w/app.toml", &format!("{restart}"));
            let line = segue.line("restart succeeded", restart);
            assert_eq!(
                (&line["reason"], &line["cause"]),
                (&"watch".into(), &"w/app.toml changed".into())
            );
            load.more(20);
        }
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{tally}");
        let requested = segue.lines("restart requested");
        assert!(
            requested
                .iter()
                .all(|line| line["detail"] == "watch: w/app.toml changed"),
            "{requested:?}"
        );
        assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "6");
        let status = trial.desk.status();
        assert_eq!(status["last_restarts"][0]["cause"], "w/app.toml changed");
        assert_eq!(
            (&status["watch"]["backend"], &status["watch"]["files"]),
            (&"inotify".into(), &1.into())
        );
        let table = trial.desk.tell(&["status"]).out;
        assert!(table.contains("watch     inotify, 1 file in "), "{table}");
    }
}

#[test]
fn a_save_by_vim_is_one_restart() {
    let trial = Trial::new();
    trial.write("w/a", "one\n");
    let settings = [("SEGUE_READY", "started"), ("SEGUE_WATCH_DEBOUNCE", "200ms")];
    let mut segue = trial.start(&trial.recipe(As::Init, &["sleep", "1000"], &settings));
    for (before, after) in [("one", "two"), ("two", "three")] {
        // With swap file and backup, as a person uses it.
        let edit = format!("%s/{before}/{after}/");
        let vim = Command::new("vim.tiny")
            .args([
                "-u",
                "NONE",
                "-N",
                "-es",
                "-c",
                "set backup writebackup swapfile backupskip= backupdir=.",
                "-c",
                &edit,
                "-c",
                "wq",
                "w/a",
            ])
            .current_dir(trial.directory.path())
            .env("TERM", "dumb")
            .stdin(std::process::Stdio::null())
            .status();
        assert!(vim.unwrap().success());
        assert_eq!(
            fs::read_to_string(trial.directory.path().join("w/a")).unwrap(),
            format!("{after}\n")
        );
        let count = if after == "two" { 1 } else { 2 };
        assert_eq!(segue.line("restart succeeded", count)["cause"], "w/a changed");
    }
    assert!(
        trial.directory.path().join("w/a~").exists(),
        "the backup is there, and counts for nothing"
    );
    assert_eq!(segue.lines("restart requested").len(), 2);
}

#[test]
fn a_broken_edit_leaves_the_old_one_serving_and_the_next_good_one_replaces_it() {
    let trial = Trial::new();
    let port = free_port();
    let good = format!("#!/bin/sh\nexec {} 127.0.0.1:{port}\n", hello().display());
    let program = trial.script("w/program", &good);
    let recipe = trial.recipe(As::Init, &[&program], &[("SEGUE_PROBATION", "200ms")]);
    let mut segue = trial.start(&recipe);
    segue.ready(1);
    // In place, so that it stays executable.
    trial.write("w/program", "#!/bin/sh\necho oops >&2\nexit 3\n");
    let line = segue.line("restart rolled back", 1);
    assert_eq!(line["cause"], "w/program changed");
    assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "1");
    let shown = trial.desk.status()["last_restarts"][0].clone();
    assert_eq!(
        (&shown["outcome"], &shown["cause"]),
        (&"rolled_back".into(), &"w/program changed".into())
    );
    assert!(segue.stderr().contains("oops"));
    trial.write("w/program", &format!("{good}\n"));
    segue.line("restart succeeded", 1);
    assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "3");
}

#[test]
fn a_build_that_fails_leaves_the_old_one_serving() {
    let trial = Trial::new();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    trial.write("w/source", "good");
    let build = trial.script(
        "build",
        "#!/bin/sh\ngrep -q good w/source || { echo 'error: source is bad' >&2; exit 1; }\n",
    );
    let program = hello();
    let settings = [("SEGUE_PRE_START", build.as_str())];
    let recipe = trial.recipe(As::Init, &[program.to_str().unwrap(), &address], &settings);
    let mut segue = trial.start(&recipe);
    segue.ready(1);
    trial.save("w/source", "bad");
    assert_eq!(segue.line("restart rolled back", 1)["cause"], "w/source changed");
    assert!(segue.stderr().contains("error: source is bad"), "its output is shown");
    assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "1");
    trial.save("w/source", "good again");
    segue.line("restart succeeded", 1);
}

#[test]
fn a_change_can_be_a_signal() {
    let trial = Trial::new();
    trial.write("w/a", "one");
    let program = trial.script(
        "program",
        "#!/bin/sh\ntrap 'echo got it' USR1\nwhile :; do sleep 0.02; done\n",
    );
    let settings = [("SEGUE_WATCH_ACTION", "signal:USR1"), ("SEGUE_READY", "started")];
    let mut segue = trial.start(&trial.recipe(As::Init, &[&program], &settings));
    trial.write("w/a", "two");
    segue.line("signal received", 1);
    wait::until("the program has it", || segue.stdout().contains("got it").then_some(()));
    assert!(segue.lines("restart requested").is_empty());
}

#[test]
fn a_change_can_be_a_command_and_what_comes_meanwhile_is_one_more() {
    let trial = Trial::new();
    trial.write("w/a", "one");
    trial.write("gate", "");
    let text = "#!/bin/sh\necho run $SEGUE_GENERATION\nwhile [ -e gate ]; do sleep 0.02; done\nexit 7\n";
    let command = trial.script("command", text);
    let action = format!("exec:{command}");
    let settings = [("SEGUE_WATCH_ACTION", action.as_str()), ("SEGUE_READY", "started")];
    let mut segue = trial.start(&trial.recipe(As::Init, &["sleep", "1000"], &settings));
    for (changes, text) in ["two", "three", "four"].iter().enumerate() {
        trial.write("w/a", text);
        segue.line("watched files have changed", changes + 1);
    }
    wait::until("the command runs", || segue.stdout().contains("run 1").then_some(()));
    fs::remove_file(trial.directory.path().join("gate")).unwrap();
    assert_eq!(
        segue.line("SEGUE_WATCH_ACTION failed", 2)["reason"],
        "the command exited with code 7"
    );
    assert_eq!(segue.stdout().matches("run 1").count(), 2);
}

#[test]
fn a_program_that_changes_what_restarts_it_is_found_out() {
    let trial = Trial::new();
    trial.write("w/a", "one");
    let program = trial.script(
        "program",
        "#!/bin/sh\necho $SEGUE_GENERATION >> w/own\nexec sleep 1000\n",
    );
    let settings = [("SEGUE_READY", "started"), ("SEGUE_WATCH_DEBOUNCE", "20ms")];
    let mut segue = trial.recipe(As::Init, &[&program], &settings).start();
    // The first one writes before anything is watched.
    segue.line("watching files", 1);
    trial.write("w/a", "two");
    let line = segue.line(
        "a loop: the program itself changes what restarts it; these files are suspended until it is restarted by hand",
        1,
    );
    assert_eq!(line["paths"], "w/own");
    let restarts = segue.lines("restart succeeded").len();
    assert!((11..=14).contains(&restarts), "{restarts}");
    let status = trial.desk.status();
    assert_eq!(status["watch"]["suspended"], serde_json::json!(["w/own"]));
    let table = trial.desk.tell(&["status"]).out;
    assert!(
        table.contains("suspended, for the program changes them itself: w/own"),
        "{table}"
    );
    // Others still count; what the program does then does not.
    trial.write("w/a", "three");
    segue.line("restart succeeded", restarts + 1);
    assert!(trial.desk.status()["watch"]["suspended"] == serde_json::json!(["w/own"]));
    assert_eq!(trial.desk.tell(&["restart"]).code, 0);
    assert_eq!(trial.desk.status()["watch"]["suspended"], serde_json::json!([]));
}

#[test]
fn segues_own_files_do_not_count() {
    let trial = Trial::new();
    trial.write("w/a", "one");
    let settings = [
        ("SEGUE_PID_FILE", "w/segue.pid"),
        ("SEGUE_CONTROL", "w/segue.sock"),
        ("SEGUE_TERMINATION_LOG", "w/last"),
        ("SEGUE_READY", "started"),
    ];
    let mut segue = trial.start(&trial.recipe(As::Init, &["sleep", "1000"], &settings));
    fs::write(trial.directory.path().join("w/last"), "x").unwrap();
    trial.write("w/a", "two");
    assert_eq!(segue.line("restart requested", 1)["detail"], "watch: w/a changed");
}

#[test]
fn a_watch_costs_nothing_while_nothing_changes() {
    let trial = Trial::new();
    for number in 0..500 {
        trial.write(&format!("w/{number}"), "x");
    }
    let mut segue = trial.start(&trial.recipe(As::Init, &["sleep", "1000"], &[("SEGUE_READY", "started")]));
    segue.ready(1);
    let pid = segue.pid();
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status
            .lines()
            .find(|it| it.starts_with("voluntary_ctxt_switches"))
            .unwrap();
        line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    let mut last = switches();
    // Quiet for two seconds on end, which is more than any timer of segue's but the one of each minute.
    wait::until("it is quiet", || {
        let begin = std::time::Instant::now();
        let quiet = || switches() == last;
        while quiet() && begin.elapsed() < std::time::Duration::from_secs(2) {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let is_quiet = switches() == last;
        last = switches();
        is_quiet.then_some(())
    });
}
