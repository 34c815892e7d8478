//! The census (`handover/census`) against the kernel: connections in every state, over IPv4, IPv6 and both.

use std::{
    collections::{BTreeSet, HashSet},
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    process::{Child, Command, Stdio},
    time::Duration,
};

use segue::handover::{
    census::{self, Connection, TcpState},
    listener::{self, Sharing},
};

use crate::support::wait;

const IDLE: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3600);

/// A listening address, the address at which clients reach it, and the port alone.
struct Place {
    listener: TcpListener,
    address: SocketAddr,
    ports: BTreeSet<u16>,
}

impl Place {
    fn new(bound: &str, dual: bool, reached: &str) -> Place {
        let address = bound.parse().unwrap();
        let socket = listener::tcp(
            &listener::Place {
                dual,
                ..listener::Place::single(address)
            },
            Sharing::AfterBind,
        )
        .unwrap();
        listener::open(&socket).unwrap();
        let listener = TcpListener::from(socket);
        let port = listener.local_addr().unwrap().port();
        Place {
            listener,
            address: SocketAddr::new(reached.parse().unwrap(), port),
            ports: [port].into(),
        }
    }

    fn four() -> Place {
        Place::new("127.0.0.1:0", false, "127.0.0.1")
    }

    /// IPv4, IPv6, and each of them to a dual-stack socket.
    fn all() -> [Place; 4] {
        [
            Place::four(),
            Place::new("[::1]:0", false, "::1"),
            Place::new("[::]:0", true, "127.0.0.1"),
            Place::new("[::]:0", true, "::1"),
        ]
    }

    fn client(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// A client and the program's end of it.
    fn pair(&self) -> (TcpStream, TcpStream) {
        let client = self.client();
        (client, self.listener.accept().unwrap().0)
    }

    fn told(&self) -> Vec<Connection> {
        let census = census::connections(&self.ports).unwrap();
        assert!(census.tells_idle);
        census.connections
    }

    fn only(&self) -> Connection {
        let mut told = self.told();
        assert_eq!(told.len(), 1, "{told:?}");
        told.remove(0)
    }

    /// Waits until the only connection is such a one.
    fn until(&self, what: &str, is: impl Fn(&Connection) -> bool) -> Connection {
        wait::until(what, || Some(self.only()).filter(|it| is(it)))
    }
}

fn inode(socket: &TcpStream) -> u64 {
    let copy = OwnedFd::from(socket.try_clone().unwrap());
    std::fs::File::from(copy).metadata().unwrap().ino()
}

#[test]
fn a_connection_is_told_as_it_is() {
    for place in Place::all() {
        let (client, program) = place.pair();
        let told = place.only();
        assert_eq!((told.local, told.remote), (place.address, client.local_addr().unwrap()));
        assert_eq!((told.inode, told.state), (inode(&program), TcpState::Established));
        assert_eq!((told.unread, told.unsent), (0, 0));
        assert_ne!(told.cookie, 0);
        let (_, other) = (place.client(), place.client());
        let told = place.told();
        let cookies: HashSet<u64> = told.iter().map(|it| it.cookie).collect();
        assert!(cookies.len() == told.len() && told.len() >= 2, "{told:?}");
        drop(other);
    }
}

#[test]
fn without_data_it_is_busy_for_a_while() {
    for place in Place::all() {
        let _pair = place.pair();
        assert!(place.only().is_busy(LONG));
        place.until("idle", |it| !it.is_busy(IDLE));
    }
}

#[test]
fn a_request_makes_it_busy_until_it_is_answered() {
    for place in Place::all() {
        let (mut client, mut program) = place.pair();
        // So that in and out are not of one tick of the kernel's.
        place.until("idle before", |it| !it.is_busy(IDLE));
        client.write_all(b"request").unwrap();
        let quiet_for = |it: &Connection| it.traffic.is_some_and(|traffic| traffic.quiet_in > IDLE * 2);
        let told = place.until("not read", quiet_for);
        assert!(told.unread == 7 && told.is_busy(IDLE), "{told:?}");
        program.read_exact(&mut [0; 7]).unwrap();
        let told = place.until("read, and not answered", |it| it.unread == 0);
        assert!(quiet_for(&told) && told.is_busy(IDLE), "{told:?}");
        program.write_all(b"answer").unwrap();
        client.read_exact(&mut [0; 6]).unwrap();
        let told = place.until("answered", |it| it.unsent == 0);
        assert!(told.is_busy(LONG), "{told:?}");
        place.until("idle after", |it| !it.is_busy(IDLE));
    }
}

#[test]
fn an_answer_that_the_client_does_not_read_keeps_it_busy() {
    let place = Place::four();
    let (client, mut program) = place.pair();
    program.set_nonblocking(true).unwrap();
    let part = [0; 65_536];
    while program.write(&part).is_ok() {}
    let told = place.until("full", |it| {
        it.unsent > 0 && it.traffic.is_some_and(|traffic| traffic.quiet_out > IDLE)
    });
    assert!(told.is_busy(IDLE), "{told:?}");
    drop(client);
}

#[test]
fn who_waits_to_be_accepted_counts() {
    for place in Place::all() {
        let mut client = place.client();
        let told = place.until("in the queue", |it| it.state == TcpState::Established);
        assert_eq!(told.inode, 0);
        client.write_all(b"request").unwrap();
        let told = place.until("with a request", |it| it.unread == 7);
        assert!(told.inode == 0 && told.is_busy(IDLE), "{told:?}");
        client.shutdown(Shutdown::Write).unwrap();
        let told = place.until("whose client has said all", |it| it.state == TcpState::CloseWait);
        assert_eq!((told.inode, told.unread), (0, 7));
        let (program, _) = place.listener.accept().unwrap();
        assert_eq!(place.only().inode, inode(&program));
    }
}

#[test]
fn a_client_that_has_gone_is_not_forgotten_before_the_program_has_closed() {
    let place = Place::four();
    let (client, program) = place.pair();
    drop(client);
    let told = place.until("the end", |it| it.state == TcpState::CloseWait);
    assert_eq!((told.unread, told.inode), (0, inode(&program)), "the end is no byte");
    place.until("idle", |it| !it.is_busy(IDLE));
    drop(program);
    wait::until("closed", || place.told().is_empty().then_some(()));
}

#[test]
fn what_the_program_has_let_go_of_does_not_count() {
    let place = Place::four();
    let (client, program) = place.pair();
    program.shutdown(Shutdown::Write).unwrap();
    let told = place.until("shut down", |it| it.state == TcpState::FinWait2);
    assert_eq!((told.unsent, told.inode), (0, inode(&program)), "it may still read");
    drop(program);
    wait::until("left to the kernel", || place.told().is_empty().then_some(()));
    drop(client);
}

/// With TCP_DEFER_ACCEPT the kernel takes no notice of the client's last word before its first byte.
#[test]
fn half_open_handshakes() {
    for (bound, reached) in [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("::", "127.0.0.1"),
        ("::", "::1"),
    ] {
        let (_program, port) = Deferring::start(bound);
        let ports: BTreeSet<u16> = [port].into();
        let address = SocketAddr::new(reached.parse().unwrap(), port);
        let mut client = TcpStream::connect(address).unwrap();
        let expected: HashSet<_> = [(address, client.local_addr().unwrap())].into();
        assert_eq!(census::half_open(&ports).unwrap(), expected, "{bound}");
        for census in [
            census::connections(&ports).unwrap(),
            census::from_table(&ports).unwrap(),
        ] {
            assert_eq!((census.connections, &census.half_open), (vec![], &expected), "{bound}");
        }
        client.write_all(b"request").unwrap();
        wait::until("all open", || {
            census::half_open(&ports).unwrap().is_empty().then_some(())
        });
        let told = census::connections(&ports).unwrap().connections;
        assert_eq!(
            told.iter().map(|it| it.remote).collect::<Vec<_>>(),
            [client.local_addr().unwrap()]
        );
    }
}

/// A program that listens with TCP_DEFER_ACCEPT and accepts nothing.
struct Deferring(Child);

impl Deferring {
    fn start(bound: &str) -> (Deferring, u16) {
        let text = "import socket, sys\n\
                    family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET\n\
                    s = socket.socket(family)\n\
                    if ':' in sys.argv[1]: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)\n\
                    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)\n\
                    s.bind((sys.argv[1], 0)); s.listen()\n\
                    print(s.getsockname()[1], flush=True)\n\
                    sys.stdin.read()\n";
        let mut child = Command::new("python3")
            .args(["-c", text, bound])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        let program = Deferring(child);
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        (program, line.trim().parse().unwrap())
    }
}

impl Drop for Deferring {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn two_thousand_connections_to_more_addresses_than_a_few() {
    let places: Vec<Place> = (0..2).flat_map(|_| Place::all()).collect();
    let ports: BTreeSet<u16> = places.iter().flat_map(|it| it.ports.clone()).collect();
    let mut pairs = Vec::new();
    for place in &places {
        for number in 0..250 {
            let (mut client, program) = place.pair();
            if number % 5 == 0 {
                client.write_all(b"request").unwrap();
            }
            pairs.push((client, program));
        }
    }
    let told = wait::until("idle, all but those with a request", || {
        let told = census::connections(&ports).unwrap().connections;
        let busy = told.iter().filter(|it| it.is_busy(IDLE)).count();
        (busy == 400).then_some(told)
    });
    let programs: HashSet<u64> = pairs.iter().map(|(_, program)| inode(program)).collect();
    assert_eq!(told.len(), 2000);
    assert_eq!(told.iter().map(|it| it.inode).collect::<HashSet<_>>(), programs);
    assert!(told.iter().all(|it| it.is_busy(IDLE) == (it.unread == 7)));
    let few: BTreeSet<u16> = places[1].ports.union(&places[2].ports).copied().collect();
    assert_eq!(census::connections(&few).unwrap().connections.len(), 500);
    assert_eq!(census::connections(&BTreeSet::new()).unwrap().connections, []);
}

#[test]
fn the_table_tells_the_same_connections() {
    let places = Place::all();
    let ports: BTreeSet<u16> = places.iter().flat_map(|it| it.ports.clone()).collect();
    let pairs: Vec<_> = places.iter().map(Place::pair).collect();
    for (client, _) in &pairs {
        let mut client = client;
        client.write_all(b"request").unwrap();
    }
    let queued: Vec<_> = places.iter().map(Place::client).collect();
    pairs[0].0.shutdown(Shutdown::Write).unwrap();
    pairs[1].1.shutdown(Shutdown::Write).unwrap();
    // All but the times and the cookies, in an order that both have.
    let plain = |told: Vec<Connection>| {
        let mut told: Vec<Connection> = told
            .into_iter()
            .map(|it| Connection {
                cookie: 0,
                traffic: None,
                ..it
            })
            .collect();
        told.sort_by_key(|it| (it.local, it.remote));
        told
    };
    wait::until("the same from both", || {
        let table = census::from_table(&ports).unwrap();
        assert!(!table.tells_idle && table.connections.iter().all(|it| it.is_busy(Duration::ZERO)));
        let told = census::connections(&ports).unwrap();
        assert_eq!((told.connections.len(), table.connections.len()), (8, 8));
        (plain(told.connections) == plain(table.connections)).then_some(())
    });
    drop(queued);
}

#[test]
fn listeners_are_those_in_the_table() {
    let places = Place::all();
    let queued: Vec<_> = places.iter().flat_map(|it| [it.client(), it.client()]).collect();
    let told = census::listeners().unwrap();
    for place in &places {
        let bound = place.listener.local_addr().unwrap();
        let mut found = told.iter().filter(|it| it.address == bound);
        let (it, others) = (found.next().unwrap(), found.count());
        assert_eq!((it.queued, others), (2, 0));
        assert!(it.backlog.is_some_and(|backlog| backlog >= 100), "{it:?}");
        let is_listed = |table: &str| {
            let lines = std::fs::read_to_string(table).unwrap();
            let inode = it.inode.to_string();
            lines.lines().any(|line| {
                let fields: Vec<&str> = line.split_ascii_whitespace().collect();
                fields[3] == "0A" && fields[9] == inode && fields[1].ends_with(&format!(":{:04X}", bound.port()))
            })
        };
        assert!(is_listed(if bound.is_ipv4() {
            "/proc/net/tcp"
        } else {
            "/proc/net/tcp6"
        }));
    }
    drop(queued);
}
