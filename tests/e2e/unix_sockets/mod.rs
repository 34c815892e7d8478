//! Unix sockets are handed over by their paths: no client is refused when a path leads from one generation to the next, whatever the
//! old one takes away when it ends, and a path never leads to nobody.

mod docker;
mod privileges;
mod real;
mod waited_for;

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, recv, send, socket};
use serde_json::Value;

use crate::support::{
    client::{Load, Tally, Work},
    directory, program,
    segue::{As, BOTH, Recipe, Segue, descendants, signal_process},
    wait,
};

const PUT_BACK: &str = "the program has removed the unix socket that its successor needs, put it back";
const STOPPED_FIRST: &str = "restarting stop-first: two generations at once would get in each other's way";

/// A server in its own directory, which holds nothing else.
struct Server {
    segue: Segue,
    home: tempfile::TempDir,
    kind: SockType,
}

fn words(path: &Path, styles: &str) -> Vec<String> {
    let program = program("unix_server.py").display().to_string();
    let words = ["/usr/bin/python3", &program, path.to_str().unwrap()].map(str::to_owned);
    words
        .into_iter()
        .chain(styles.split_whitespace().map(str::to_owned))
        .collect()
}

fn home() -> tempfile::TempDir {
    let home = directory();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    home
}

fn python(how: As, styles: &str, settings: &[(&str, &str)]) -> Server {
    let home = home();
    let recipe = Recipe::plain(how, words(&home.path().join("app.sock"), styles));
    let recipe = recipe.set("SEGUE_PROBATION", "50ms").with(settings);
    Server::started(recipe.start(), home, styles)
}

impl Server {
    fn started(segue: Segue, home: tempfile::TempDir, styles: &str) -> Server {
        let seqpacket = styles.contains("seqpacket");
        let mut server = Server {
            segue,
            home,
            kind: if seqpacket {
                SockType::SeqPacket
            } else {
                SockType::Stream
            },
        };
        server.segue.ready(1);
        server
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("app.sock")
    }

    fn load(&self, clients: usize) -> Load {
        asking(self.path(), self.kind, clients)
    }

    /// Which generation answers.
    fn who(&self) -> String {
        ask(&self.path(), self.kind, "who").unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn restart(&mut self, outcome: &str) -> Value {
        let line = self.segue.restart();
        assert_eq!(line["outcome"], outcome, "{line}\n{}", self.segue.stderr());
        line
    }

    fn mode(&self) -> u32 {
        fs::symlink_metadata(self.path()).unwrap().mode() & 0o777
    }
}

/// Clients that each ask something of their own, and look at the answer.
fn asking(path: PathBuf, kind: SockType, clients: usize) -> Load {
    let number = AtomicU64::new(0);
    Load::of(clients, move || {
        let (path, client) = (path.clone(), number.fetch_add(1, Ordering::Relaxed));
        let mut asked = 0;
        Box::new(move || {
            asked += 1;
            ask(&path, kind, &format!("{client}-{asked}"))
        }) as Work
    })
}

/// The generation that has answered; an error, if it was not an answer to this.
fn ask(path: &Path, kind: SockType, what: &str) -> io::Result<String> {
    let stream = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
    use std::os::fd::AsRawFd;
    connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    send(
        stream.as_raw_fd(),
        what.as_bytes(),
        nix::sys::socket::MsgFlags::MSG_NOSIGNAL,
    )?;
    let mut answer = [0; 100];
    let length = recv(stream.as_raw_fd(), &mut answer, nix::sys::socket::MsgFlags::empty())?;
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    match answer.split_once(' ') {
        Some((generation, asked)) if asked == what => Ok(generation.to_owned()),
        _ if answer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, answer)),
    }
}

/// Nothing has failed; else the first few faults.
fn clean(tally: &Tally) {
    let other = tally.other.iter().take(3);
    assert_eq!(
        tally.failed(),
        0,
        "{} succeeded, {} refused, {} reset, {} truncated, {} others: {:?}",
        tally.succeeded,
        tally.refused,
        tally.reset,
        tally.truncated,
        tally.other.len(),
        other.collect::<Vec<_>>()
    );
}

/// So many restarts after the first one, which may lose what the first generation's unlink leaves for a moment.
fn switches(server: &mut Server, many: u64) {
    server.restart("replaced");
    wait::until("the first generation is gone", || {
        (server.segue.lines("generation is gone").len() == 1).then_some(())
    });
    let load = server.load(4);
    for _ in 0..many {
        load.more(20);
        server.restart("replaced");
    }
    load.more(20);
    let tally = load.stop();
    clean(&tally);
    assert_eq!(server.who(), (many + 2).to_string());
}

/// After so many restarts nothing is left but the path, with the permissions that it would have without segue; and after the end what
/// the program leaves.
fn leads_through(how: As, styles: &str, mode: u32) {
    let mut server = python(how, styles, &[]);
    assert_eq!(server.mode(), mode, "{styles}");
    switches(&mut server, 20);
    assert_eq!(server.mode(), mode, "{styles}");
    wait::until("hidden names are gone", || {
        (server.names() == ["app.sock"]).then_some(())
    });
    server.segue.signal(libc::SIGTERM);
    assert_eq!(server.segue.wait(), 0);
    let left: &[&str] = if styles.contains("remove") { &[] } else { &["app.sock"] };
    assert_eq!(server.names(), left, "{styles}");
}

#[test]
fn taken_away_before_the_bind_and_at_the_end() {
    for how in BOTH {
        leads_through(how, "unlink remove chmod", 0o666);
    }
}

#[test]
fn never_taken_away() {
    leads_through(As::Subreaper, "", 0o750);
}

#[test]
fn asked_first_whether_somebody_accepts_there() {
    leads_through(As::Subreaper, "probe remove", 0o750);
}

#[test]
fn named_from_the_directory_that_the_program_is_in() {
    leads_through(As::Subreaper, "chdir unlink remove chmod", 0o666);
}

#[test]
fn sockets_of_packets() {
    leads_through(As::Subreaper, "seqpacket unlink remove", 0o750);
}

#[test]
fn bound_to_another_name_and_renamed() {
    leads_through(As::Subreaper, "renames remove", 0o750);
}

#[test]
fn servers_of_asyncio() {
    let mut server = python(As::Subreaper, "asyncio", &[]);
    switches(&mut server, 20);
    wait::until("hidden names are gone", || {
        (server.names() == ["app.sock"]).then_some(())
    });
}

/// Its connections are waited for, although nothing but their queues tells what they are at.
#[test]
fn a_server_that_ends_at_once_when_told_to() {
    let mut server = python(As::Subreaper, "unlink naive", &[("SEGUE_DRAIN_IDLE", "500ms")]);
    switches(&mut server, 4);
}

/// New ones come to it until its end, so that it would never be quiet.
#[test]
fn the_last_stop_waits_for_those_that_are_there_and_no_others() {
    let settings = [
        ("SEGUE_DRAIN_IDLE", "300ms"),
        ("SEGUE_DRAIN_TIMEOUT", "60s"),
        ("SEGUE_STOP_TIMEOUT", "60s"),
    ];
    let mut server = python(As::Subreaper, "unlink naive", &settings);
    let load = server.load(4);
    load.more(20);
    let begin = Instant::now();
    server.segue.signal(libc::SIGTERM);
    assert_eq!(server.segue.wait(), 128 + libc::SIGTERM);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    load.stop();
}

#[test]
fn what_the_first_generation_takes_away_is_put_back() {
    let mut server = python(As::Subreaper, "unlink remove", &[]);
    server.restart("replaced");
    server.segue.line(PUT_BACK, 1);
    wait::until("generation 2 answers", || {
        ask(&server.path(), server.kind, "who")
            .is_ok_and(|who| who == "2")
            .then_some(())
    });
    server.restart("replaced");
    wait::until("both are gone", || {
        (server.segue.lines("generation is gone").len() == 2).then_some(())
    });
    assert_eq!(
        server.segue.lines(PUT_BACK).len(),
        1,
        "generation 2 was told that it had, and did not"
    );
    assert_eq!(server.who(), "3");
}

#[test]
fn an_abstract_name_is_a_reason_to_stop_first() {
    let name = format!("segue-test-{:x}", fastrand::u64(..));
    let script = format!(
        "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\\0{name}'); s.listen(); time.sleep(60)"
    );
    let mut segue = Recipe::plain(As::Subreaper, ["/usr/bin/python3", "-c", &script]).start();
    segue.ready(1);
    assert_eq!(segue.restart()["outcome"], "replaced");
    let why = segue.line(STOPPED_FIRST, 1)["evidence"].to_string();
    assert!(
        why.contains(&format!("unix:@{name}: an abstract name cannot lead to another socket")),
        "{why}"
    );
}

#[test]
fn a_roll_back_leaves_the_old_one_where_it_was() {
    for (styles, many) in [
        ("unlink remove dies-bound", 0),
        ("unlink remove chmod dies-listening", 1),
    ] {
        let mut server = python(As::Subreaper, styles, &[("SEGUE_PROBATION", "2s")]);
        let inode = || fs::symlink_metadata(server.path()).unwrap().ino();
        let before = inode();
        let load = server.load(4);
        load.more(20);
        let line = server.segue.restart();
        assert_eq!(line["outcome"], "rolled_back", "{line}");
        load.more(20);
        let tally = load.stop();
        // Whoever has come to one that dies on probation is lost with it: one connection of each client at most.
        assert!(
            tally.failed() <= 4 * many,
            "{styles}: {} of {}",
            tally.failed(),
            tally.succeeded
        );
        assert_eq!(fs::symlink_metadata(server.path()).unwrap().ino(), before, "{styles}");
        wait::until("hidden names are gone", || {
            (server.names() == ["app.sock"]).then_some(())
        });
        assert_eq!(server.who(), "1");
        server.restart("replaced");
        assert_eq!(server.who(), "3");
    }
}

#[test]
fn connections_wait_through_a_crash() {
    let settings = [("SEGUE_RESTART", "on-failure"), ("SEGUE_RESTART_DELAY", "300ms")];
    for (styles, many) in [("unlink remove", 1), ("", 1), ("asyncio", 1)] {
        let mut server = python(As::Subreaper, styles, &settings);
        for generation in 2..4 {
            let main = descendants(server.segue.pid())[0];
            signal_process(main, libc::SIGKILL);
            server.segue.line("program ended", many * (generation - 1));
            assert_eq!(server.who(), generation.to_string(), "{styles}");
        }
        assert_eq!(server.names(), ["app.sock"], "{styles}");
    }
}

#[test]
fn connections_wait_while_the_program_is_stopped_first() {
    // Not asyncio, which drops what it has accepted within the turn of its loop before its server is closed.
    for styles in ["unlink remove chmod", ""] {
        let mut server = python(As::Subreaper, styles, &[("SEGUE_RESTART_MODE", "stop-first")]);
        switches(&mut server, 5);
        wait::until("hidden names are gone", || {
            (server.names() == ["app.sock"]).then_some(())
        });
    }
}

#[test]
fn a_closed_listener_refuses_as_without_segue() {
    let server = python(As::Subreaper, "unlink closes", &[]);
    assert_eq!(server.who(), "1");
    server.segue.signal(libc::SIGUSR1);
    wait::until("connections are refused", || {
        let connected = UnixStream::connect(server.path());
        connected
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            .then_some(())
    });
}
