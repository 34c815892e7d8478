//! Clients that are 200 ms away: a handshake, and a request, may be under way for a long time while the sockets change hands.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use crate::support::{
    directory, program,
    segue::{As, Segue},
    servers::Server,
};

/// Two network namespaces with 200 ms from one to the other and back.
struct Far {
    here: String,
    there: String,
    between: Child,
}

fn ip(words: &[&str]) {
    let status = Command::new("ip").args(words).status().unwrap();
    assert!(status.success(), "ip {words:?}");
}

/// Starts it, and waits until it says that it is up.
fn up(mut command: Command) -> Child {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // One byte at a time, so that what it says later stays to be read.
    let mut reader = BufReader::with_capacity(1, child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    child.stdout = Some(reader.into_inner());
    child
}

impl Far {
    fn new() -> Far {
        let name = |side: &str| format!("segue-{side}-{}", std::process::id());
        let (here, there) = (name("a"), name("b"));
        [&here, &there].iter().for_each(|it| ip(&["netns", "add", it]));
        let mut command = Command::new("/usr/bin/python3");
        command.args([program("far.py").to_str().unwrap(), &here, &there, "100"]);
        let between = up(command);
        for (namespace, address) in [(&here, "10.99.0.1/30"), (&there, "10.99.0.2/30")] {
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
            ip(&["-n", namespace, "address", "add", address, "dev", "tun0"]);
            ip(&["-n", namespace, "link", "set", "tun0", "up"]);
        }
        Far { here, there, between }
    }

    fn within(&self, namespace: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]);
        command
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.between.kill().ok();
        self.between.wait().ok();
        for namespace in [&self.here, &self.there] {
            Command::new("ip").args(["netns", "delete", namespace]).status().ok();
        }
    }
}

#[test]
fn restarts_lose_nobody_who_is_far_away() {
    let far = Far::new();
    let files = directory();
    let words = Server::Python.words(8080, files.path(), files.path().to_str().unwrap());
    let mut command = far.within(&far.here);
    command.args([env!("CARGO_BIN_EXE_segue"), "--"]).args(words);
    command.env("SEGUE_LOG", "debug").env("SEGUE_PROBATION", "100ms");
    command.stderr(std::fs::File::create(files.path().join("log")).unwrap());
    let mut segue = Segue::spawn(As::Subreaper, command, files);
    segue.ready(1);
    let mut command = far.within(&far.there);
    command.args(["/usr/bin/python3", program("fetch.py").to_str().unwrap()]);
    command.args(["10.99.0.1", "8080", "24"]);
    let mut clients = up(command);
    for gone in 1..=30 {
        assert_eq!(segue.restart()["outcome"], "replaced");
        segue.line("generation is gone", gone);
    }
    clients.stdin.take().unwrap().flush().unwrap();
    let output = clients.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let answers: u32 = said
        .trim()
        .strip_prefix("ok=")
        .and_then(|it| it.parse().ok())
        .unwrap_or_default();
    assert!(answers > 100, "{said}\n{}", segue.stderr());
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 143);
}
