//! Containers under test: started without pulling anything, watched by their logs, removed with the test.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;

use super::wait;

/// Is there an engine? A run that must prove everything fails without one.
pub fn is_there() -> bool {
    let there = Command::new("docker")
        .arg("version")
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(
        there || std::env::var_os("TESTS_REQUIRE_DOCKER").is_none(),
        "no Docker engine is reachable"
    );
    if !there {
        eprintln!("skipped: no Docker engine is reachable");
    }
    there
}

/// Runs docker, with success.
pub fn docker<S: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = S>) -> String {
    let output = run(words);
    assert!(
        output.status.success(),
        "docker: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs docker.
pub fn run<S: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = S>) -> Output {
    Command::new("docker").args(words).output().unwrap()
}

/// A name that no other test has.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "segue-test-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// An image with nothing in it; the machine's own programs are mounted into its containers.
pub fn empty_image() -> &'static str {
    const NAME: &str = "segue-test-empty";
    if !run(["image", "inspect", NAME]).status.success() {
        let import = Command::new("sh")
            .args(["-c", &format!("tar -c -T /dev/null | docker import - {NAME}")])
            .output();
        assert!(import.unwrap().status.success());
    }
    NAME
}

/// What to run in a container: the machine's programs, segue as ENTRYPOINT.
pub fn with_machine(words: &mut Vec<String>) {
    for path in ["/usr", "/lib", "/lib64", "/bin", "/etc/passwd", "/etc/group"] {
        if Path::new(path).exists() {
            words.push(format!("--volume={path}:{path}:ro"));
        }
    }
    let (segue, root) = (env!("CARGO_BIN_EXE_segue"), env!("CARGO_MANIFEST_DIR"));
    words.push(format!("--volume={segue}:/segue:ro"));
    words.push(format!("--volume={root}/tests/e2e/programs:/programs:ro"));
    words.push(format!("--volume={}:/hello:ro", super::hello().display()));
    words.extend([
        "--tmpfs=/tmp".into(),
        "--entrypoint=/segue".into(),
        "--env=PATH=/usr/sbin:/usr/bin:/sbin:/bin".into(),
        "--env=SEGUE_LOG=info,segue::runtime::story=debug".into(),
    ]);
}

/// As little privilege as there is.
pub const RESTRICTED: [&str; 4] = [
    "--user=65532:65532",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--read-only",
];

/// A container while it runs.
pub struct Container {
    pub name: String,
}

impl Container {
    /// `docker run --detach OPTIONS IMAGE WORDS`.
    pub fn start(options: &[String], image: &str, words: &[&str]) -> Container {
        let name = unique();
        let container = Container { name: name.clone() };
        let begin = ["run", "--detach", "--name", &name].map(str::to_owned);
        let words = words.iter().map(|word| (*word).to_owned());
        docker(
            begin
                .into_iter()
                .chain(options.iter().cloned())
                .chain([image.to_owned()])
                .chain(words),
        );
        container
    }

    /// Where its port is published.
    pub fn address(&self, port: u16) -> SocketAddr {
        let published = docker(["port", &self.name, &port.to_string()]);
        published.lines().next().unwrap().parse().unwrap()
    }

    pub fn log(&self) -> Vec<Value> {
        let output = run(["logs", &self.name]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&run(["logs", &self.name]).stdout).into_owned()
    }

    /// Waits for the `count`th line with this message.
    pub fn line(&self, message: &str, count: usize) -> Value {
        wait::until(message, || {
            self.log()
                .into_iter()
                .filter(|line| line["message"] == message)
                .nth(count - 1)
        })
    }

    pub fn signal(&self, name: &str) {
        docker(["kill", "--signal", name, &self.name]);
    }

    /// `docker stop`, and the exit code.
    pub fn stop(&self) -> i32 {
        docker(["stop", "--time", "20", &self.name]);
        self.code()
    }

    /// Waits for the end; the exit code.
    pub fn code(&self) -> i32 {
        docker(["wait", &self.name]).parse().unwrap()
    }

    /// The first process's number out here.
    pub fn pid(&self) -> i32 {
        docker(["inspect", "--format", "{{.State.Pid}}", &self.name])
            .parse()
            .unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What matters is mostly at the end, and a long report is cut somewhere.
            let output = run(["logs", "--tail", "60", &self.name]);
            eprintln!("--- log of {}\n{}", self.name, String::from_utf8_lossy(&output.stderr));
            let pid = run(["inspect", "--format", "{{.State.Pid}}", &self.name]).stdout;
            let table = format!("/proc/{}/net/tcp", String::from_utf8_lossy(&pid).trim());
            const TIME_WAIT: &str = "06";
            let sockets = std::fs::read_to_string(table).unwrap_or_default();
            let open = sockets
                .lines()
                .filter(|line| line.split_whitespace().nth(3) != Some(TIME_WAIT));
            eprintln!("--- its sockets\n{}", open.take(60).collect::<Vec<_>>().join("\n"));
            let processes = run(["top", &self.name]).stdout;
            eprintln!("--- its processes\n{}", String::from_utf8_lossy(&processes));
        }
        run(["rm", "--force", &self.name]);
    }
}
