//! Segue as the engine's own init (`dockerd --init-path`): `docker run --init` with an unchanged image and an unchanged command.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use crate::support::{
    client::{self, Load},
    directory,
    docker::{is_there, unique},
    free_port, hello, loopback, wait,
};

/// An engine of the test's own, whose init is segue, in a network namespace of the test's own: an engine without a bridge takes
/// that of any other engine away.
struct Engine {
    daemon: Child,
    files: tempfile::TempDir,
}

impl Engine {
    fn start() -> Engine {
        // From here on for this thread, and for all that it starts.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success());
        // It gives its own containerd 15 s, which on a busy machine may be too few.
        let engine = (0..3).find_map(|_| Engine::that_answers());
        let engine = engine.expect("an engine starts");
        let import = format!("tar -c -T /dev/null | docker --host {} import - empty", engine.host());
        assert!(
            Command::new("sh")
                .args(["-c", &import])
                .output()
                .unwrap()
                .status
                .success()
        );
        engine
    }

    /// `None` if it ends instead.
    fn that_answers() -> Option<Engine> {
        let files = directory();
        let place = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
        fs::copy(env!("CARGO_BIN_EXE_segue"), place("docker-init")).unwrap();
        fs::write(place("config"), "{}").unwrap();
        let log = fs::File::create(place("log")).unwrap();
        let daemon = Command::new("dockerd")
            .args([
                "--config-file",
                &place("config"),
                "--data-root",
                &place("data"),
                "--exec-root",
                &place("exec"),
            ])
            .args([
                "--pidfile",
                &place("pid"),
                "--host",
                &format!("unix://{}", place("docker.sock")),
            ])
            .args([
                "--bridge=none",
                "--iptables=false",
                "--ip6tables=false",
                "--ip-forward=false",
                "--ip-masq=false",
            ])
            .args(["--storage-driver=vfs", "--init-path", &place("docker-init")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut engine = Engine { daemon, files };
        let answers = wait::until("the engine answers", || {
            let ended = engine.daemon.try_wait().unwrap().is_some();
            let answers = engine.run(&["version"]).status.success();
            (answers || ended).then_some(answers)
        });
        if !answers {
            eprintln!("{}", engine.log());
        }
        answers.then_some(engine)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path().join("log")).unwrap_or_default()
    }

    fn host(&self) -> String {
        format!("unix://{}", self.files.path().join("docker.sock").display())
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new("docker")
            .args(["--host", &self.host()])
            .args(words)
            .output()
            .unwrap()
    }

    fn docker(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.daemon.try_wait().unwrap().is_some() {
            return;
        }
        let left = self.run(&["ps", "--all", "--quiet"]);
        for name in String::from_utf8_lossy(&left.stdout).lines() {
            self.run(&["rm", "--force", name]);
        }
        let pid = i32::try_from(self.daemon.id()).unwrap();
        crate::support::segue::signal_process(pid, libc::SIGTERM);
        self.daemon.wait().unwrap();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

#[test]
fn docker_run_init_restarts_an_unchanged_image_under_load() {
    if !is_there() || !Path::new("/usr/sbin/dockerd").exists() {
        return;
    }
    let engine = Engine::start();
    let (name, port) = (unique(), free_port());
    let volume = format!("--volume={}:/hello:ro", hello().display());
    let listen = format!("127.0.0.1:{port}");
    engine.docker(&[
        "run",
        "--detach",
        "--init",
        "--name",
        &name,
        "--network=host",
        &volume,
        "empty",
        "/hello",
        &listen,
    ]);
    let init = engine.docker(&["exec", &name, "/sbin/docker-init", "--version"]);
    assert!(init.contains("segue"), "{init}");
    let generation = || {
        client::get(loopback(port), "/generation")
            .ok()
            .map(|text| text.trim().to_owned())
    };
    wait::until("it answers", || (generation()? == "1").then_some(()));
    let load = Load::start(loopback(port), "/", 4);
    for restart in 2..=6_u32 {
        load.more(20);
        engine.docker(&["kill", "--signal=HUP", &name]);
        wait::until("the next generation serves", || {
            (generation()? == restart.to_string()).then_some(())
        });
        wait::until("the last one is gone", || {
            let processes = engine.docker(&["top", &name, "-o", "pid,args"]);
            (processes.matches("/hello ").count() == 2).then_some(())
        });
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
    assert!(tally.succeeded >= 100, "{tally}");
    engine.docker(&["stop", "--time=20", &name]);
    assert_eq!(engine.docker(&["inspect", "--format={{.State.ExitCode}}", &name]), "0");
}
