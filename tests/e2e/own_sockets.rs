//! What is never done to a program for the sake of hand-over: its file's privileges stay, its own steering stays, and a group
//! with a stranger in it is left to the kernel.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, poll},
    sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt},
};

use crate::{
    binds::server,
    support::{
        client, directory, free_port, loopback, program,
        segue::{As, Segue},
        wait,
    },
};

const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];
const WITHOUT: &str =
    "no transparent hand-over: the program's own sockets cannot be handed over, a restart stops it first";

/// `segue -- CAT /proc/self/status` by nobody, of a `cat` whose file was prepared.
fn status_of_cat(prepare: &str, handover: &str) -> Segue {
    let files = directory();
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let cat = files.path().join("cat");
    fs::copy("/bin/cat", &cat).unwrap();
    let prepared = Command::new("/usr/bin/python3")
        .args(["-c", &format!("import os, sys\npath = sys.argv[1]\n{prepare}")])
        .arg(&cat)
        .status();
    assert!(prepared.unwrap().success());
    let mut command = Command::new("setpriv");
    command
        .args(NOBODY)
        .arg(env!("CARGO_BIN_EXE_segue"))
        .arg("--")
        .arg(&cat)
        .arg("/proc/self/status");
    command.env("SEGUE_LOG_FORMAT", "json").env("SEGUE_HANDOVER", handover);
    command.stdout(fs::File::create(files.path().join("out")).unwrap());
    command.stderr(fs::File::create(files.path().join("log")).unwrap());
    let mut segue = Segue::spawn(As::Subreaper, command, files);
    assert_eq!(segue.wait(), 0, "{}", segue.stderr());
    segue
}

/// cap_net_bind_service=ep, as the kernel stores it.
const CAPABILITY: &str =
    "os.setxattr(path, 'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))";

#[test]
fn file_capabilities_are_not_taken_from_the_program() {
    let segue = status_of_cat(CAPABILITY, "auto");
    assert!(segue.stdout().contains("NoNewPrivs:\t0"), "{}", segue.stdout());
    assert!(
        segue.stdout().contains("CapEff:\t0000000000000400"),
        "{}",
        segue.stdout()
    );
    let said = segue.lines(WITHOUT);
    let why = said[0]["why"].as_str().unwrap();
    assert!(
        said.len() == 1 && why.contains("file capabilities (cap_net_bind_service)"),
        "{why}"
    );
}

#[test]
fn set_id_bits_are_not_taken_from_the_program() {
    let segue = status_of_cat("os.chown(path, 65533, 65533); os.chmod(path, 0o4755)", "auto");
    assert!(segue.stdout().contains("Uid:\t65534\t65533"), "{}", segue.stdout());
    let why = segue.lines(WITHOUT)[0]["why"].to_string();
    assert!(why.contains("is set-user-ID (of user 65533)"), "{why}");
}

#[test]
fn by_name_they_are_taken_and_that_is_said() {
    let segue = status_of_cat(CAPABILITY, "transparent");
    assert!(segue.stdout().contains("NoNewPrivs:\t1"), "{}", segue.stdout());
    let message = "hand-over needs no_new_privs here, which takes the program's privileges from it";
    assert_eq!(segue.lines(message).len(), 1, "{}", segue.stderr());
}

#[test]
fn a_program_without_any_says_nothing_of_it() {
    let segue = status_of_cat("", "auto");
    assert!(segue.lines(WITHOUT).is_empty(), "{}", segue.stderr());
    assert!(segue.stdout().contains("NoNewPrivs:\t1"), "{}", segue.stdout());
}

/// It attaches a program of its own to its listener, which stays; the restart stops it first, and says so.
#[test]
fn a_program_that_steers_by_itself_is_left_to_do_so() {
    let port = free_port();
    let script = format!(
        "import ctypes, struct\n\
         s = tcp(SO_REUSEPORT=1, SO_REUSEADDR=1)\n\
         code = ctypes.create_string_buffer(struct.pack('HBBI', 0x06, 0, 0, 0))\n\
         class Program(ctypes.Structure): _fields_ = [('length', ctypes.c_ushort), ('filter', ctypes.c_void_p)]\n\
         program = Program(1, ctypes.addressof(code))\n\
         s.setsockopt(SOL_SOCKET, 51, bytes(program))\n\
         s.bind(('127.0.0.1', {port})); s.listen()\n\
         spawn(s, 'steers'); time.sleep(1000)\n"
    );
    let mut segue = server(As::Init, &script).start();
    segue.ready(1);
    let line = segue.restart();
    assert_eq!(line["outcome"], "replaced", "{}", segue.stderr());
    let message = "restarting stop-first: two generations at once would get in each other's way";
    let why = segue.lines(message)[0]["evidence"].to_string();
    assert!(
        why.contains("steers its connections by a BPF program of its own"),
        "{why}"
    );
    let answer = wait::until("it serves", || client::get(loopback(port), "/").ok());
    assert_eq!(answer, "steers 2\n");
}

/// A second process of the same user listens on the program's address, as a second copy started by `docker exec` would.
struct Stranger {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Stranger {
    fn at(port: u16) -> Stranger {
        let flags = SockFlag::SOCK_CLOEXEC;
        let made: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
        setsockopt(&made, sockopt::ReusePort, &true).unwrap();
        bind(made.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
        listen(&made, Backlog::new(64).unwrap()).unwrap();
        #[expect(unsafe_code, reason = "a socket is a listener")]
        // SAFETY: it is ours, and nobody else's.
        let listener = unsafe { TcpListener::from_raw_fd(made.into_raw_fd()) };
        listener.set_nonblocking(true).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                if let Ok((stream, _)) = listener.accept() {
                    answer(stream);
                } else {
                    let mut files = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                    poll(&mut files, 10_u8).unwrap();
                }
            }
        });
        Stranger {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn answer(mut stream: TcpStream) {
    stream.set_nonblocking(false).ok();
    let mut request = [0; 1024];
    let _read = stream.read(&mut request);
    stream
        .write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nstranger\n")
        .ok();
}

/// A restart that says that others listen there, too.
fn restart_among_strangers(segue: &mut Segue) {
    let line = segue.restart();
    assert_eq!(line["outcome"], "replaced", "{}", segue.stderr());
    let message = "a process that segue does not run listens on the program's address, too, so connections are spread over all \
                   listeners by the kernel";
    assert_eq!(segue.lines(message).len(), 1, "{}", segue.stderr());
    segue.line("generation is gone", 1);
}

#[test]
fn a_group_with_a_stranger_in_it_is_left_to_the_kernel() {
    let port = free_port();
    let script =
        format!("spawn(listener(('127.0.0.1', {port}), SO_REUSEPORT=1, SO_REUSEADDR=1), 'ours'); time.sleep(1000)\n");
    let mut segue = server(As::Subreaper, &script).start();
    segue.ready(1);
    let stranger = Stranger::at(port);
    restart_among_strangers(&mut segue);
    // Each of both gets some, and everyone is answered.
    let answers: Vec<String> = (0..60).map(|_| client::get(loopback(port), "/").unwrap()).collect();
    let count = |text: &str| answers.iter().filter(|answer| answer.as_str() == text).count();
    assert_eq!(count("ours 2\n") + count("stranger\n"), 60, "{answers:?}");
    assert!(count("ours 2\n") > 5 && count("stranger\n") > 5, "{answers:?}");
    drop(stranger);
    // It is alone again.
    let answers: Vec<String> = (0..20).map(|_| client::get(loopback(port), "/").unwrap()).collect();
    assert!(answers.iter().all(|answer| answer == "ours 2\n"), "{answers:?}");
}

/// A listener that no filter can hear of, of the program itself: io_uring makes it (since Linux 6.11), before the one that is
/// heard of or after it. Nobody is lost but in the restart itself, whose connections are left to the kernel, and that is said.
#[test]
fn a_listener_made_by_io_uring_is_a_stranger() {
    let programs = program("ring.py");
    let programs = programs.parent().unwrap().display().to_string();
    for ring_first in [false, true] {
        let port = free_port();
        let heard = format!("spawn(listener(('127.0.0.1', {port}), SO_REUSEPORT=1, SO_REUSEADDR=1), 'ours')");
        let unheard = format!("s = tcp(SO_REUSEPORT=1); ring_listen(s, ('127.0.0.1', {port})); spawn(s, 'ring')");
        let both = if ring_first {
            [&unheard, &heard]
        } else {
            [&heard, &unheard]
        };
        let script = format!(
            "import sys; sys.dont_write_bytecode = True; sys.path.append({programs:?})\n\
             from ring import ring_listen\n\
             try:\n    {}\n    {}\n\
             except OSError as error: print('no io_uring:', error, flush=True)\n\
             time.sleep(1000)\n",
            both[0], both[1]
        );
        let mut segue = server(As::Init, &script).start();
        let begun = wait::until("it serves", || {
            let refused = segue.stdout().contains("no io_uring");
            (refused || client::get(loopback(port), "/").is_ok()).then_some(!refused)
        });
        if !begun {
            eprintln!("skipped: {}", segue.stdout());
            return;
        }
        let spread = |generation: u64| {
            let answers: Vec<String> = (0..60).map(|_| client::get(loopback(port), "/").unwrap()).collect();
            let count = |name: &str| {
                let answer = format!("{name} {generation}\n");
                answers.iter().filter(|it| **it == answer).count()
            };
            assert_eq!(
                count("ours") + count("ring"),
                60,
                "ring first {ring_first}: {answers:?}"
            );
            count("ours") > 0
        };
        assert!(spread(1), "the one that is heard of serves");
        restart_among_strangers(&mut segue);
        assert!(spread(2), "the one that is heard of serves");
    }
}

/// A gateway that asks itself, and never has an answer: a drain that waited for that would wait until its deadline.
#[test]
fn a_connection_of_the_program_to_itself_keeps_no_drain_waiting() {
    for mode in ["overlap", "stop-first"] {
        let port = free_port();
        let script = format!(
            "s = listener(('127.0.0.1', {port}), SO_REUSEADDR=1)\n\
             own = create_connection(('127.0.0.1', {port}))\n\
             own.sendall(b'GET / HTTP/1.0\\r\\n')\n\
             kept, _ = s.accept()\n\
             print('asks itself', flush=True)\n\
             spawn(s, 'gateway'); time.sleep(1000)\n"
        );
        let mut segue = server(As::Init, &script)
            .set("SEGUE_RESTART_MODE", mode)
            .set("SEGUE_DRAIN_TIMEOUT", "25s")
            .set("SEGUE_STOP_TIMEOUT", "50s")
            .start();
        wait::until("it asks itself", || {
            segue.stdout().contains("asks itself").then_some(())
        });
        let begin = std::time::Instant::now();
        assert_eq!(segue.restart()["outcome"], "replaced", "{}", segue.stderr());
        segue.line("generation is gone", 1);
        assert!(
            begin.elapsed() < Duration::from_secs(15),
            "{mode}: {:?}",
            begin.elapsed()
        );
        let begin = std::time::Instant::now();
        segue.signal(libc::SIGTERM);
        segue.wait();
        assert!(
            begin.elapsed() < Duration::from_secs(15),
            "{mode}: {:?}",
            begin.elapsed()
        );
    }
}

/// A port that the kernel might choose for a client is a server's all the same if the program names it, in every generation.
#[test]
fn a_port_of_the_kernel_s_range_is_handed_over() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let script = format!("spawn(listener(('127.0.0.1', {port}), SO_REUSEADDR=1), 'x'); time.sleep(1000)\n");
    let mut segue = server(As::Init, &script).start();
    segue.ready(1);
    let load = client::Load::start(loopback(port), "/", 4);
    for _ in 0..5 {
        assert_eq!(segue.restart()["outcome"], "replaced", "{}", segue.stderr());
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}: {}", segue.stderr());
    let listened = segue.lines("listening");
    assert!(
        listened
            .iter()
            .all(|line| line["address"] == format!("127.0.0.1:{port}")),
        "{listened:?}"
    );
}
