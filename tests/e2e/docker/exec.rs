//! Every command through `docker exec`, in an image that has nothing but segue and one program.

use crate::support::{
    client,
    docker::{Container, RESTRICTED, empty_image, is_there, run, with_machine},
    hello, wait,
};

fn scratch(options: &[&str]) -> Container {
    let segue = env!("CARGO_BIN_EXE_segue");
    let mut all: Vec<String> = RESTRICTED.iter().chain(options).map(|it| (*it).to_owned()).collect();
    all.push(format!("--volume={segue}:/segue:ro"));
    all.push(format!("--volume={}:/hello:ro", hello().display()));
    all.extend(
        [
            "--entrypoint=/segue",
            "--publish=127.0.0.1::8080",
            "--env=SEGUE_PROBATION=100ms",
        ]
        .map(str::to_owned),
    );
    Container::start(&all, empty_image(), &["--", "/hello"])
}

/// `docker exec CONTAINER /segue WORDS`: code, stdout and stderr.
fn exec(container: &Container, words: &[&str]) -> (i32, String) {
    let output = run(["exec", &container.name, "/segue"].iter().chain(words));
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn every_command_works_in_an_image_from_scratch() {
    if !is_there() {
        return;
    }
    let container = scratch(&[]);
    let address = container.address(8080);
    wait::until("it answers", || client::get(address, "/").ok());
    let (code, text) = exec(&container, &["status", "--wait", "ready", "--timeout", "20s"]);
    assert!(
        code == 0 && text.contains("generation 1 serves") && text.contains("pid 1"),
        "{text}"
    );
    for words in [&["health"][..], &["health", "live"], &["health", "startup"]] {
        assert_eq!(exec(&container, words), (0, "ok\n".to_owned()), "{words:?}");
    }
    for words in [
        &["check"][..],
        &["settings", "READY"],
        &["completions", "bash"],
        &["man"],
        &["--version"],
        &["help"],
    ] {
        assert_eq!(exec(&container, words).0, 0, "{words:?}");
    }
    let (code, text) = exec(&container, &["restart"]);
    assert!(code == 0 && text.contains("generation 2 serves"), "{text}");
    let (code, text) = exec(&container, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &status["generation"]), (0, &2.into()), "{text}");
    let (code, text) = exec(&container, &["drain"]);
    assert!(code == 0 && text.contains("not ready"), "{text}");
    assert_eq!(exec(&container, &["health"]).0, 1);
    assert!(client::get(address, "/").is_ok(), "it goes on");
    // The end of PID 1 takes everybody along, but for those who wait for it, who go first.
    let (code, text) = exec(&container, &["stop"]);
    assert!(
        code == 0 && text.contains("stopped, after ") && text.contains("with code 0"),
        "{code}: {text}"
    );
    assert_eq!(container.code(), 0);
}

#[test]
fn without_any_writable_place_it_runs_and_the_commands_say_why_they_cannot() {
    if !is_there() {
        return;
    }
    let container = scratch(&["--tmpfs=/dev/shm:ro", "--env=SEGUE_ADMIN=127.0.0.1:9000"]);
    container.line(
        "no control socket: commands such as segue status cannot reach this segue",
        1,
    );
    let address = container.address(8080);
    wait::until("it answers", || client::get(address, "/").ok());
    let (code, text) = exec(&container, &["status"]);
    assert!(code == 1 && text.contains("no segue is running here"), "{text}");
    // A health check has another way.
    assert_eq!(exec(&container, &["health"]), (0, "ok\n".to_owned()));
    container.signal("HUP");
    container.line("restart succeeded", 1);
    assert_eq!(container.stop(), 0);
}

/// As in a pod with `shareProcessNamespace`: one PID namespace, one /dev/shm, two containers, a segue in each.
#[test]
fn commands_mean_the_segue_of_their_own_container() {
    if !is_there() {
        return;
    }
    for user in [&[][..], &["--user=65532:65532", "--cap-drop=ALL"]] {
        let container = |more: &[&str], program: &[&str]| {
            let mut all: Vec<String> = user.iter().chain(more).map(|it| (*it).to_owned()).collect();
            with_machine(&mut all);
            all.retain(|it| it != "--tmpfs=/tmp");
            all.extend(["--read-only", "--env=SEGUE_READY=started"].map(str::to_owned));
            let container = Container::start(&all, empty_image(), &[&["--"], program].concat());
            container.line("generation became ready", 1);
            container
        };
        let first = container(&["--ipc=shareable"], &["sleep", "3001"]);
        let shared = |kind: &str| format!("--{kind}=container:{}", first.name);
        let second = container(&[&shared("ipc"), &shared("pid")], &["sleep", "3002"]);
        for (container, program) in [(&first, "sleep 3001"), (&second, "sleep 3002")] {
            let (code, text) = exec(container, &["status"]);
            assert!(code == 0 && text.contains(program), "{text}");
            assert_eq!(exec(container, &["health", "ready"]).0, 0);
            assert_eq!(exec(container, &["drain", "--wait", "5s"]).0, 0);
        }
        let (code, text) = exec(&second, &["restart"]);
        assert!(code == 0 && text.contains("generation 2 serves"), "{text}");
        assert!(exec(&first, &["status"]).1.contains("generation 1"));
    }
}
