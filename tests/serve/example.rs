//! The example that serves a router of axum is a program that drains: it takes the sockets it is passed, tells its supervisor
//! what it is at, and ends well on SIGTERM with a request under way.

use std::{
    env,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsFd, unix::net::UnixDatagram},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::harness::PATIENCE;

/// The example's file, which was built beside the tests.
fn program() -> PathBuf {
    let own = env::current_exe().unwrap();
    let program = own.parent().unwrap().with_file_name("examples/axum");
    assert!(
        program.exists(),
        "{} is missing: cargo build --examples",
        program.display()
    );
    program
}

/// The example, killed if the test ends before it.
struct Example {
    child: Child,
    listener: TcpListener,
    notified: UnixDatagram,
    _directory: tempfile::TempDir,
}

impl Drop for Example {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Example {
    /// With a listening socket as file 3, and somebody to be told.
    fn start() -> Example {
        let directory = tempfile::Builder::new().prefix("segue-test-").tempdir().unwrap();
        let path = directory.path().join("notify.sock");
        let notified = UnixDatagram::bind(&path).unwrap();
        notified.set_read_timeout(Some(PATIENCE)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let program = program();
        // The shell gives it its own number, and the socket, which is the shell's standard input, the number 3.
        let script = "exec env LISTEN_PID=$$ \"$0\" 3<&0 0</dev/null";
        let child = Command::new("sh")
            .args(["-c", script, program.to_str().unwrap()])
            .env("LISTEN_FDS", "1")
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::from(listener.as_fd().try_clone_to_owned().unwrap()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let example = Example {
            child,
            listener,
            notified,
            _directory: directory,
        };
        assert!(example.told().contains("READY=1"));
        example
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// What it tells next.
    fn told(&self) -> String {
        let mut bytes = [0; 512];
        let count = self.notified.recv(&mut bytes).expect("it tells");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
    }

    /// Waits until it has ended by itself.
    fn ended(mut self) -> Output {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(3));
        };
        let mut output = Output {
            status,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        let streams = (self.child.stdout.take(), self.child.stderr.take());
        streams.0.unwrap().read_to_end(&mut output.stdout).unwrap();
        streams.1.unwrap().read_to_end(&mut output.stderr).unwrap();
        output
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until this has come.
fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut all = String::new();
    while !all.contains(wanted) {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "{wanted} has not come: {all}");
        all.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    all
}

#[test]
fn a_router_of_axum_is_drained_on_sigterm() {
    let example = Example::start();
    let mut stream = connect(example.address());
    let own = stream.local_addr().unwrap();
    stream
        .write_all(b"GET /connection HTTP/1.1\r\nHost: test\r\n\r\n")
        .unwrap();
    until(&mut stream, &format!("connection 1 from {own}, Active\n"));
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello")
        .unwrap();

    example.terminate();
    let told = example.told();
    assert!(told.contains("STOPPING=1"), "{told}");
    stream.write_all(b" bye\n").unwrap();
    let answer = until(&mut stream, "hello bye\n").to_ascii_lowercase();
    assert!(
        answer.starts_with("http/1.1 200") && answer.contains("connection: close"),
        "{answer}"
    );
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    drop(stream);

    let Output { status, stdout, stderr } = example.ended();
    assert!(status.success(), "{status} {}", String::from_utf8_lossy(&stderr));
    let stdout = String::from_utf8_lossy(&stdout);
    assert!(
        stdout.starts_with("2 requests on 1 connections; drained 1 connections in"),
        "{stdout}"
    );
}

#[test]
fn it_says_why_it_cannot_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = Command::new(program())
        .arg(taken.local_addr().unwrap().to_string())
        .output()
        .unwrap();
    let error = io::Error::from_raw_os_error(nix::libc::EADDRINUSE).kind();
    assert!(!ended.status.success());
    assert!(
        String::from_utf8_lossy(&ended.stderr).contains(&format!("{error:?}")),
        "{ended:?}"
    );
}
