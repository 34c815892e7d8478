//! As whom the program runs, and with which attributes: `SEGUE_USER` and its like, while segue stays what it is.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use serde_json::Value;

use crate::support::{
    client::Load,
    directory, free_port, hello, loopback,
    segue::{As, BOTH, Recipe, Segue, signal_process},
    wait,
};

/// Prints what it is, as JSON.
const SHOWS: &str = r#"
import json, os, resource
status = dict(line.split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
mask = os.umask(0)
print(json.dumps({
    "users": os.getresuid(), "groups": os.getresgid(), "others": sorted(os.getgroups()), "home": os.environ.get("HOME"),
    "capabilities": int(status["CapEff"], 16), "umask": mask, "directory": os.getcwd(), "nice": os.nice(0),
    "score": int(open("/proc/self/oom_score_adj").read()), "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE), "stack": resource.getrlimit(resource.RLIMIT_STACK),
}))
"#;

fn shows(how: As, settings: &[(&str, &str)]) -> Value {
    let run = Recipe::new(how, ["python3", "-c", SHOWS])
        .set("HOME", "/root")
        .with(settings)
        .run();
    serde_json::from_str(&run.stdout()).unwrap_or_else(|error| panic!("{error}: {}{}", run.stdout(), run.stderr()))
}

/// The exit code, and what is said.
fn refused(settings: &[(&str, &str)]) -> (i32, String) {
    let mut segue = Recipe::new(As::Init, ["true"]).with(settings).start();
    (segue.wait(), segue.stderr())
}

#[test]
fn the_program_is_the_user_with_its_groups_and_its_home() {
    for how in BOTH {
        let it = shows(how, &[("SEGUE_USER", "daemon")]);
        assert_eq!(it["users"], serde_json::json!([1, 1, 1]), "{it}");
        assert_eq!(it["groups"], serde_json::json!([1, 1, 1]));
        assert_eq!((&it["home"], &it["capabilities"]), (&"/usr/sbin".into(), &0.into()));
        let it = shows(
            how,
            &[("SEGUE_USER", "4321:1234"), ("SEGUE_SUPPLEMENTARY_GROUPS", "adm,77")],
        );
        assert_eq!(it["users"], serde_json::json!([4321, 4321, 4321]), "{it}");
        assert_eq!(it["groups"], serde_json::json!([1234, 1234, 1234]));
        assert_eq!((&it["others"], &it["home"]), (&serde_json::json!([4, 77]), &"/".into()));
        let it = shows(how, &[("SEGUE_USER", "daemon"), ("SEGUE_SUPPLEMENTARY_GROUPS", "none")]);
        assert_eq!(it["others"], serde_json::json!([]), "{it}");
    }
}

#[test]
fn who_is_that_user_already_is_left_alone_and_whom_the_engine_chose_stays() {
    let as_user = |user: &str, settings: &[(&str, &str)]| {
        let mut command = std::process::Command::new("setpriv");
        command.args([
            "--reuid",
            user,
            "--regid",
            user,
            "--clear-groups",
            env!("CARGO_BIN_EXE_segue"),
            "--",
            "id",
            "-u",
        ]);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command
            .envs(settings.iter().copied())
            .env("SEGUE_LOG", "info")
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let (user, said) = as_user("1", &[("SEGUE_USER", "daemon")]);
    assert_eq!((user.as_str(), said.as_str()), ("1\n", ""));
    let (user, said) = as_user("65532", &[("SEGUE_USER", "daemon")]);
    assert!(
        user == "65532\n" && said.contains("started as user 65532 and not as root"),
        "{user}{said}"
    );
}

#[test]
fn never_root_by_accident() {
    for (user, why) in [
        ("", "SEGUE_USER=\"\": empty, which would be root"),
        (" ", "SEGUE_USER=\"\": empty, which would be root"),
        (
            "nonexistent",
            "SEGUE_USER: there is no user \"nonexistent\" in /etc/passwd",
        ),
        (
            "daemon:nonexistent",
            "SEGUE_USER: there is no group \"nonexistent\" in /etc/group",
        ),
        ("2147483648", "too large for a user, at most 2147483647"),
        (":adm", "no user in it, give a name or a number such as 1000"),
    ] {
        let (code, said) = refused(&[("SEGUE_USER", user)]);
        assert!(code == 78 && said.contains(why), "{user}: {code} {said}");
    }
}

#[test]
fn a_privilege_that_is_missing_is_named() {
    let without = |capabilities: &str, settings: &[(&str, &str)]| {
        let files = directory();
        let mut command = std::process::Command::new("setpriv");
        command.args([
            &format!("--bounding-set={capabilities}"),
            env!("CARGO_BIN_EXE_segue"),
            "--",
            "true",
        ]);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(settings.iter().copied());
        command.stderr(File::create(files.path().join("log")).unwrap());
        let code = command.status().unwrap().code();
        (code, fs::read_to_string(files.path().join("log")).unwrap())
    };
    for (capabilities, setting, value, why) in [
        (
            "-setuid",
            "SEGUE_USER",
            "daemon",
            "SETUID is missing among segue's capabilities",
        ),
        ("-setgid", "SEGUE_USER", "daemon", "SETGID is missing"),
        (
            "-setuid,-setgid",
            "SEGUE_USER",
            "daemon",
            "SETUID and SETGID are missing",
        ),
        ("-sys_resource", "SEGUE_LIMIT_CORE", "0:infinity", ""),
        (
            "-sys_resource",
            "SEGUE_OOM_SCORE_ADJUST",
            "-1000",
            "SEGUE_OOM_SCORE_ADJUST: Permission denied",
        ),
        ("-sys_nice", "SEGUE_NICE", "-20", "SEGUE_NICE: Permission denied"),
    ] {
        let (code, said) = without(capabilities, &[(setting, value)]);
        if !why.is_empty() {
            assert!(code == Some(78) && said.contains(why), "{setting}: {code:?} {said}");
        }
    }
}

#[test]
fn attributes_are_the_program_s_and_not_segue_s() {
    let place = directory();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = place.path().to_str().unwrap();
    let settings = [
        ("SEGUE_USER", "daemon"),
        ("SEGUE_UMASK", "027"),
        ("SEGUE_NICE", "3"),
        ("SEGUE_OOM_SCORE_ADJUST", "250"),
        ("SEGUE_LIMIT_NOFILE", "512:1024"),
        ("SEGUE_LIMIT_CORE", "0"),
        ("SEGUE_LIMIT_STACK", "4194304"),
        ("SEGUE_WORKING_DIRECTORY", path),
    ];
    for how in BOTH {
        let it = shows(how, &settings);
        let number = |name: &str| it[name].as_i64().unwrap();
        assert_eq!(
            (number("umask"), number("nice"), number("score")),
            (0o27, 3, 250),
            "{it}"
        );
        assert_eq!(it["files"], serde_json::json!([512, 1024]));
        assert_eq!(it["core"], serde_json::json!([0, 0]));
        assert_eq!(it["stack"], serde_json::json!([4_194_304, 4_194_304]));
        assert_eq!(it["directory"], path);
    }
    let mut segue = Recipe::new(As::Init, ["sleep", "1000"]).with(&settings).start();
    segue.ready(1);
    let own = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", segue.pid())).unwrap();
    let mine = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap();
    assert_eq!(own("oom_score_adj"), mine("oom_score_adj"));
    assert!(own("status").contains("Uid:\t0\t0\t0\t0"));
    let core = |text: String| {
        text.lines()
            .find(|line| line.starts_with("Max core"))
            .unwrap()
            .to_owned()
    };
    assert_eq!(core(own("limits")), core(mine("limits")));
    assert_eq!(segue.restart()["outcome"], "replaced");
}

#[test]
fn a_directory_that_is_closed_to_the_user_is_named() {
    let place = directory();
    let closed = place.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let path = closed.to_str().unwrap();
    let (code, said) = refused(&[("SEGUE_USER", "daemon"), ("SEGUE_WORKING_DIRECTORY", path)]);
    assert!(
        code == 78 && said.contains("the program's user cannot enter it: Permission denied"),
        "{code} {said}"
    );
    let (code, said) = refused(&[("SEGUE_WORKING_DIRECTORY", "/nonexistent")]);
    assert!(
        code == 78 && said.contains("SEGUE_WORKING_DIRECTORY=\\\"/nonexistent\\\""),
        "{code} {said}"
    );
}

/// A pipe or a terminal of root's cannot be opened by its name any more, unless it is handed over.
#[test]
fn the_program_can_open_its_streams_by_name() {
    let mut command = Recipe::new(As::Init, ["sh", "-c", "echo opened > /dev/stdout"])
        .set("SEGUE_USER", "daemon")
        .command(directory().path());
    let output = command.stdout(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "opened\n");
}

#[test]
fn hooks_and_readiness_commands_are_the_user_too_unless_a_plus_says_otherwise() {
    let place = directory();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let into = |name: &str| format!("sh -c 'id -u > {}/{name}'", place.path().display());
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap_or_default();
    for (plus, expected) in [("", "1\n"), ("+", "0\n")] {
        let mut segue = Recipe::plain(As::Init, ["sleep", "1000"])
            .set("SEGUE_USER", "daemon")
            .set("SEGUE_PRE_START", format!("{plus}{}", into("before")))
            .set("SEGUE_POST_STOP", format!("{plus} {}", into("after")))
            .set("SEGUE_READY", format!("exec:{}", into("ready")))
            .start();
        segue.ready(1);
        segue.signal(libc::SIGTERM);
        segue.wait();
        assert_eq!(
            [read("before"), read("ready"), read("after")],
            [expected, "1\n", expected]
        );
        for name in ["before", "ready", "after"] {
            fs::remove_file(place.path().join(name)).unwrap();
        }
    }
}

/// With Docker's capabilities, and with none but those that become the user.
#[test]
fn signals_reach_a_program_of_another_user_without_the_capability_for_it() {
    for bounding in ["+all", "-kill", "-all,+setuid,+setgid"] {
        let files = directory();
        let trap = "trap 'echo heard; exit 5' TERM; echo begun; while :; do sleep 0.05; done";
        let mut command = std::process::Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "setpriv"]);
        command.args([
            &format!("--bounding-set={bounding}"),
            env!("CARGO_BIN_EXE_segue"),
            "--",
            "sh",
            "-c",
            trap,
        ]);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SEGUE_USER", "daemon")
            .env("SEGUE_LOG", "debug");
        command.stdout(File::create(files.path().join("out")).unwrap());
        command.stderr(File::create(files.path().join("log")).unwrap());
        let mut segue = Segue::spawn(As::Init, command, files);
        wait::until("it runs", || segue.stdout().contains("begun").then_some(()));
        let pid = wait::until("it is there", || segue_below(&segue));
        signal_process(pid, libc::SIGTERM);
        assert_eq!(segue.wait(), 5, "{bounding}");
        assert!(segue.stdout().contains("heard"), "{bounding}");
    }
}

/// unshare's child: setpriv, which has become segue.
fn segue_below(segue: &Segue) -> Option<i32> {
    crate::support::segue::children(segue.child_id()).first().copied()
}

#[test]
fn restarts_lose_nothing_over_the_border() {
    let port = free_port();
    let mut segue = Recipe::plain(As::Init, [hello().to_str().unwrap(), &format!("127.0.0.1:{port}")])
        .set("SEGUE_USER", "daemon")
        .set("SEGUE_PROBATION", "100ms")
        .start();
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 4);
    for _ in 0..3 {
        assert_eq!(segue.restart()["outcome"], "replaced");
    }
    let all = load.stop();
    assert!(all.failed() == 0 && all.succeeded > 0, "{all:?}");
}

/// No orphan of a killed segue goes on: nobody would look after it.
#[test]
fn the_program_ends_with_a_segue_that_is_killed() {
    for user in [None, Some("daemon")] {
        let recipe = Recipe::new(As::Subreaper, ["sleep", "1000"]);
        let recipe = user
            .into_iter()
            .fold(recipe, |recipe, user| recipe.set("SEGUE_USER", user));
        let mut segue = recipe.start();
        segue.ready(1);
        let [program] = crate::support::segue::children(segue.pid())[..] else {
            panic!("one program")
        };
        segue.signal(libc::SIGKILL);
        segue.wait();
        wait::until("the program is gone", || {
            let status = fs::read_to_string(format!("/proc/{program}/status")).unwrap_or_default();
            (status.is_empty() || status.contains("State:\tZ")).then_some(())
        });
    }
}

#[test]
fn segue_hears_of_its_parent_s_end() {
    for (name, value) in [("SEGUE_PARENT_DEATH_SIGNAL", "TERM"), ("", "")] {
        let files = directory();
        let pid_file = files.path().join("pid");
        let segue = env!("CARGO_BIN_EXE_segue");
        let options = if name.is_empty() { "-p TERM" } else { "" };
        let link = files.path().join("tini");
        std::os::unix::fs::symlink(segue, &link).unwrap();
        let script = format!(
            "{} {options} -- sleep 1000 & echo $! > {}; wait",
            link.display(),
            pid_file.display()
        );
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SEGUE_READY", "started");
        if !name.is_empty() {
            shell.env(name, value);
        }
        let mut shell = shell.stdin(Stdio::null()).spawn().unwrap();
        let pid: i32 = wait::until("segue runs", || fs::read_to_string(&pid_file).ok()?.trim().parse().ok());
        let is_there = |pid: i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            !status.is_empty() && !status.contains("State:\tZ")
        };
        let program = wait::until("its program runs", || {
            crate::support::segue::children(pid).first().copied()
        });
        shell.kill().unwrap();
        shell.wait().unwrap();
        wait::until("both are gone", || (!is_there(pid) && !is_there(program)).then_some(()));
    }
}
