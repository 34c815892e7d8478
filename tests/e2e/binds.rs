//! What a program sees of its own binds under transparent hand-over: the same as without segue.

use std::{fs, net::TcpListener, time::Duration};

use crate::support::{
    client::{self},
    free_port, loopback,
    segue::{As, BOTH, Recipe, Segue},
    wait,
};

/// What every script begins with: an attempt says `ok` or the error's name.
const TOOLS: &str = r#"
import errno, os, socket, sys, threading, time
from socket import *
def attempt(what, do):
    try:
        value = do()
        print(what, 'ok', flush=True)
        return value
    except OSError as error:
        print(what, errno.errorcode[error.errno], flush=True)
def tcp(family=AF_INET, **options):
    s = socket(family, SOCK_STREAM)
    for name, value in options.items():
        level = IPPROTO_IPV6 if name.startswith('IPV6') else IPPROTO_TCP if name.startswith('TCP') else SOL_SOCKET
        s.setsockopt(level, globals()[name], value)
    return s
def listener(address, family=AF_INET, **options):
    s = tcp(family, **options)
    s.bind(address)
    s.listen()
    return s
"#;

fn python(how: As, script: &str) -> Recipe {
    Recipe::plain(how, ["/usr/bin/python3", "-c", &format!("{TOOLS}{script}")]).set("SEGUE_PROBATION", "50ms")
}

/// What the script prints, under segue and without it.
fn says(script: &str) -> String {
    let alone = std::process::Command::new("/usr/bin/python3")
        .args(["-c", &format!("{TOOLS}{script}")])
        .output()
        .unwrap();
    let alone = String::from_utf8(alone.stdout).unwrap();
    for how in BOTH {
        let segue = python(how, script).set("SEGUE_HANDOVER", "transparent").run();
        assert_eq!(segue.stdout(), alone, "{how:?}, {}", segue.stderr());
    }
    alone
}

#[test]
fn errors_are_the_kernel_s_own() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (foreign, free) = (taken.local_addr().unwrap().port(), free_port());
    let said = says(&format!(
        "attempt('foreign', lambda: listener(('127.0.0.1', {foreign})))\n\
         attempt('foreign shared', lambda: listener(('127.0.0.1', {foreign}), SO_REUSEPORT=1))\n\
         attempt('not ours', lambda: listener(('192.0.2.1', {free})))\n\
         kept = attempt('first', lambda: listener(('127.0.0.1', {free})))\n\
         attempt('second', lambda: listener(('127.0.0.1', {free})))\n\
         if os.fork() == 0:\n\
        \x20   kept.close(); attempt('another process', lambda: listener(('127.0.0.1', {free}))); os._exit(0)\n\
         os.wait()\n\
         attempt('wildcard', lambda: listener(('0.0.0.0', {free})))\n\
         attempt('bind again', lambda: kept.bind(('127.0.0.1', {free})))\n\
         attempt('listen again', lambda: kept.listen(7))\n\
         attempt('name', lambda: kept.getsockname())\n\
         print(kept.getsockname()[1] == {free}, kept.getsockopt(SOL_SOCKET, SO_ACCEPTCONN))\n\
         os.setuid(65534)\n\
         attempt('privileged', lambda: listener(('127.0.0.1', 81)))\n"
    ));
    for line in [
        "foreign EADDRINUSE",
        "foreign shared EADDRINUSE",
        "not ours EADDRNOTAVAIL",
        "first ok",
        "second EADDRINUSE",
        "another process EADDRINUSE",
        "wildcard EADDRINUSE",
        "bind again EINVAL",
        "listen again ok",
        "privileged EACCES",
    ] {
        assert!(said.lines().any(|it| it == line), "{line}: {said}");
    }
}

#[test]
fn families_live_side_by_side_as_their_options_say() {
    let (pair, dual) = (free_port(), free_port());
    let said = says(&format!(
        "six = attempt('six', lambda: listener(('::', {pair}), AF_INET6, IPV6_V6ONLY=1, SO_REUSEADDR=1))\n\
         four = attempt('four', lambda: listener(('0.0.0.0', {pair}), SO_REUSEADDR=1))\n\
         both = attempt('both', lambda: listener(('::', {dual}), AF_INET6, IPV6_V6ONLY=0, SO_REUSEADDR=1))\n\
         attempt('four beside both', lambda: listener(('0.0.0.0', {dual})))\n\
         for host, port, s in [('127.0.0.1', {pair}, four), ('::1', {pair}, six), ('127.0.0.1', {dual}, both), ('::1', {dual}, both)]:\n\
        \x20   client = create_connection((host, port), 5)\n\
        \x20   s.settimeout(5)\n\
        \x20   s.accept()\n\
        \x20   print(host, 'served')\n"
    ));
    assert_eq!(said.matches("served").count(), 4, "{said}");
    assert!(
        said.contains("four ok") && said.contains("four beside both EADDRINUSE"),
        "{said}"
    );
}

#[test]
fn ports_of_the_kernel_s_choice_datagrams_and_paths_are_left_alone() {
    let port = free_port();
    let said = says(&format!(
        "any = attempt('any port', lambda: listener(('127.0.0.1', 0)))\n\
         print(any.getsockname()[1] != 0)\n\
         udp = socket(AF_INET, SOCK_DGRAM); attempt('udp', lambda: udp.bind(('127.0.0.1', {port})))\n\
         path = '/tmp/segue-test-' + str(os.getpid())\n\
         unix = socket(AF_UNIX); attempt('unix', lambda: (unix.bind(path), unix.listen())); os.unlink(path)\n\
         bare = tcp(); attempt('listen without bind', lambda: bare.listen())\n\
         attempt('closed', lambda: (s := tcp(), fd := s.fileno(), s.close(), fromfd(fd, AF_INET, SOCK_STREAM)))\n"
    ));
    assert_eq!(said.matches(" ok").count(), 4, "{said}");
}

/// What is set before the bind is there after it, and inherited flags are the program's own.
#[test]
fn options_and_flags_survive_the_bind() {
    let port = free_port();
    let said = says(&format!(
        "import fcntl\n\
         s = tcp(SO_RCVBUF=20000, TCP_DEFER_ACCEPT=5, TCP_FASTOPEN=3, SO_REUSEADDR=1)\n\
         s.setblocking(False); s.set_inheritable(True)\n\
         fd = s.fileno()\n\
         s.bind(('127.0.0.1', {port})); s.listen(9)\n\
         print(s.fileno() == fd, s.getsockopt(SOL_SOCKET, SO_RCVBUF), s.getsockopt(IPPROTO_TCP, TCP_DEFER_ACCEPT),\n\
        \x20     s.getsockopt(IPPROTO_TCP, TCP_FASTOPEN), s.getblocking(), s.get_inheritable(),\n\
        \x20     bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK), s.getsockopt(SOL_SOCKET, SO_TYPE))\n\
         t = tcp(); t.bind(('127.0.0.2', {port})); t.listen()\n\
         print(t.getblocking(), t.get_inheritable())\n"
    ));
    assert!(said.starts_with("True 40000 "), "{said}");
}

/// A socket that is bound to choose where its connection comes from is a client's: its end is seen at once.
#[test]
fn a_client_that_binds_its_port_is_a_client() {
    let port = free_port();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = server.local_addr().unwrap().port();
    let mut segue = python(
        As::Init,
        &format!(
            "s = tcp(); s.bind(('127.0.0.1', {port})); s.connect(('127.0.0.1', {target})); s.send(b'x'); s.close()\n\
             print('closed', flush=True); time.sleep(1000)\n"
        ),
    )
    .start();
    let (mut connection, from) = server.accept().unwrap();
    assert_eq!(from.port(), port);
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut all = Vec::new();
    std::io::Read::read_to_end(&mut connection, &mut all).unwrap();
    assert_eq!(all, b"x", "the end came although segue had a copy");
    segue.signal(libc::SIGTERM);
    segue.wait();
}

/// A server in a thread for each listener: answers with `name` and the generation.
const SERVE: &str = r#"
def serve(s, name):
    while True:
        try:
            c, _ = s.accept()
        except OSError as error:
            print(name, errno.errorcode[error.errno], flush=True)
            return
        request = b''
        while b'\r\n\r\n' not in request:
            part = c.recv(9999)
            if not part: break
            request += part
        if not request: continue
        body = f"{name} {os.environ['SEGUE_GENERATION']}\n".encode()
        c.sendall(b'HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body))
        c.shutdown(SHUT_WR)
        c.close()
def spawn(s, name):
    threading.Thread(target=serve, args=(s, name), daemon=True).start()
"#;

/// A program of which each listener answers with its name and the generation.
pub fn server(how: As, script: &str) -> Recipe {
    python(how, &format!("{SERVE}{script}"))
}

fn restarts_lose_nothing(segue: &mut Segue, port: u16, restarts: u64) {
    let load = client::Load::start(loopback(port), "/", 4);
    for _ in 0..restarts {
        let line = segue.restart();
        assert_eq!(line["outcome"], "replaced", "{line}\n{}", segue.stderr());
        load.more(20);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}\n{}", segue.stderr());
}

/// Each of four listeners with SO_REUSEPORT gets its part, in every generation, and nothing is lost between them.
#[test]
fn four_listeners_on_one_port_share_it() {
    let port = free_port();
    let script = format!(
        "for i in range(4):\n\x20   spawn(listener(('127.0.0.1', {port}), SO_REUSEPORT=1), f'listener {{i}}')\ntime.sleep(1000)\n"
    );
    let mut segue = server(As::Init, &script).start();
    segue.ready(1);
    let who = || {
        let mut who: Vec<String> = (0..60).map(|_| client::get(loopback(port), "/").unwrap()).collect();
        who.sort();
        who.dedup();
        who
    };
    wait::until("all four serve", || (who().len() == 4).then_some(()));
    restarts_lose_nothing(&mut segue, port, 10);
    wait::until("all four of the last generation serve, and no other", || {
        let who = who();
        (who.len() == 4 && who.iter().all(|it| it.ends_with(" 11\n"))).then_some(())
    });
}

#[test]
fn a_program_may_close_its_listener_and_bind_again() {
    let port = free_port();
    let script = format!(
        "for turn in range(20):\n\
        \x20   s = attempt('bind', lambda: listener(('127.0.0.1', {port}), SO_REUSEADDR=1))\n\
        \x20   if turn < 19: s.close()\n\
         spawn(s, 'last')\n\
         time.sleep(1000)\n"
    );
    for how in BOTH {
        let mut segue = server(how, &script).start();
        segue.ready(1);
        let served = wait::until("it serves", || client::get(loopback(port), "/").ok());
        assert_eq!(served, "last 1\n");
        assert_eq!(segue.stdout().matches("bind ok").count(), 20, "{}", segue.stdout());
        let load = client::Load::start(loopback(port), "/", 4);
        for generation in 2..5 {
            assert_eq!(segue.restart()["outcome"], "replaced", "{}", segue.stderr());
            // It opens and closes for a while, and clients wait for the last one.
            let last = format!("last {generation}\n");
            wait::until("it has opened its last one", || {
                let answer = client::get(loopback(port), "/").ok();
                answer.filter(|answer| *answer == last)
            });
        }
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{tally}: {}", segue.stderr());
    }
}

/// Some programs shut their listener down when they are to stop: that must not end anybody else's.
#[test]
fn a_program_may_shut_its_listener_down() {
    let port = free_port();
    let script = format!(
        "import signal\n\
         s = listener(('127.0.0.1', {port}))\n\
         def stop(*_):\n\
        \x20   s.shutdown(SHUT_RDWR); time.sleep(0.1); os._exit(0)\n\
         signal.signal(signal.SIGTERM, stop)\n\
         spawn(s, 'x')\n\
         while True: time.sleep(1000)\n"
    );
    let mut segue = server(As::Init, &script).start();
    segue.ready(1);
    restarts_lose_nothing(&mut segue, port, 20);
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 0);
}

/// Threads bind, and so do children and grandchildren behind a shell.
#[test]
fn whoever_of_the_program_binds_is_answered() {
    let port = free_port();
    let in_a_thread = format!(
        "t = threading.Thread(target=lambda: spawn(listener(('127.0.0.1', {port})), 'thread'))\nt.start()\ntime.sleep(1000)\n"
    );
    let mut segue = server(As::Init, &in_a_thread).start();
    segue.ready(1);
    restarts_lose_nothing(&mut segue, port, 3);
    drop(segue);

    let port = free_port();
    let forked = format!(
        "s = listener(('127.0.0.1', {port}))\n\
         for i in range(3):\n\
        \x20   if os.fork() == 0: serve(s, 'worker')\n\
         s.close()\n\
         time.sleep(1000)\n"
    );
    let program = format!("{TOOLS}{SERVE}{forked}");
    let shell = ["sh", "-c", "/usr/bin/python3 -c \"$0\"; exit 5", &program];
    let mut segue = Recipe::plain(As::Init, shell)
        .set("SEGUE_PROBATION", "50ms")
        .set("SEGUE_STOP_GROUP", "true")
        .start();
    segue.ready(1);
    restarts_lose_nothing(&mut segue, port, 5);
}

/// The program has another user than segue, and no privilege: /proc is closed to root then, unless root asks as that user.
#[test]
fn a_program_that_changes_its_user_is_answered() {
    let port = free_port();
    let script =
        format!("{TOOLS}{SERVE}spawn(listener(('127.0.0.1', {port}), SO_REUSEADDR=1), 'nobody')\ntime.sleep(1000)\n");
    for ptrace in ["", "-sys_ptrace,"] {
        let files = crate::support::directory();
        let mut command = std::process::Command::new("setpriv");
        let drop = format!("{ptrace}-sys_admin");
        command.args([&format!("--bounding-set={drop}"), &format!("--inh-caps={drop}")]);
        command.args([
            env!("CARGO_BIN_EXE_segue"),
            "--",
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
        ]);
        command.args(["--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]);
        command.args(["/usr/bin/python3", "-c", &script]);
        command.env("SEGUE_LOG", "debug").env("SEGUE_PROBATION", "50ms");
        command.stderr(fs::File::create(files.path().join("log")).unwrap());
        let mut segue = Segue::spawn(As::Subreaper, command, files);
        segue.ready(1);
        restarts_lose_nothing(&mut segue, port, 3);
    }
}

/// A program that another generation's address is in the way of gets it all the same.
#[test]
fn an_address_may_become_wider_or_narrower() {
    let port = free_port();
    let files = crate::support::directory();
    let address = files.path().join("address");
    let script = format!(
        "spawn(listener((open('{}').read(), {port})), 'x')\ntime.sleep(1000)\n",
        address.display()
    );
    fs::write(&address, "127.0.0.1").unwrap();
    // The addresses differ on purpose, so that listening where the old one does is no measure.
    let probe = format!("tcp:127.0.0.1:{port}");
    let mut segue = server(As::Init, &script)
        .set("SEGUE_READY", probe)
        .set("SEGUE_STOP_TIMEOUT", "4s")
        .start();
    segue.ready(1);
    for wanted in ["0.0.0.0", "127.0.0.1", "0.0.0.0"] {
        fs::write(&address, wanted).unwrap();
        assert_eq!(segue.restart()["outcome"], "replaced", "{}", segue.stderr());
        let generation = segue.lines("generation started").len();
        wait::until("the new one serves", || {
            let answer = client::get(loopback(port), "/").ok()?;
            (answer == format!("x {generation}\n")).then_some(())
        });
    }
}

/// Multipath TCP, on which Go's servers listen: the clients are served, restarts and all.
#[test]
fn a_multipath_listener_is_handed_over_as_a_plain_one() {
    let port = free_port();
    let script = format!(
        "try: s = socket(AF_INET, SOCK_STREAM, 262)\n\
         except OSError: s = tcp()\n\
         s.bind(('127.0.0.1', {port})); s.listen(100)\n\
         serve(s, 'x')\n"
    );
    let mut segue = server(As::Init, &script).start();
    segue.ready(1);
    restarts_lose_nothing(&mut segue, port, 3);
}
