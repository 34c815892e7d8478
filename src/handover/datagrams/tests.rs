//! Groups of UDP sockets under load: what is sent while sockets join, are steered to, and leave.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::{
    socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt},
    stat::fstat,
};

use super::*;

/// A program's socket, of which segue has a copy.
fn joins(datagrams: &mut Datagrams, generation: u64, address: SocketAddr) -> UdpSocket {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let own = socket(family, SockType::Datagram, SockFlag::SOCK_NONBLOCK, None).unwrap();
    setsockopt(&own, sockopt::ReusePort, &true).unwrap();
    let inode = fstat(&own).unwrap().st_ino;
    datagrams.admit(Joining {
        bound: Bound {
            generation,
            place: Place::single(address),
            user: 0,
            shares: true,
            reuses: false,
        },
        socket: own.try_clone().unwrap(),
        inode,
        holder: (0, -1),
    });
    bind(own.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    assert_eq!(datagrams.confirm().len(), 1);
    UdpSocket::from(own)
}

fn take(socket: &UdpSocket) -> u64 {
    (0..).take_while(|_| socket.recv(&mut [0; 8]).is_ok()).count() as u64
}

/// So long nothing comes any more. On a busy machine the kernel is interrupted between its choice of a socket and the socket's queue, for
/// more than a millisecond at times; segue waits for SEGUE_DRAIN_IDLE, a second.
const QUIET: Duration = Duration::from_millis(10);

/// Takes what comes until nothing has for a while.
fn take_all(socket: &UdpSocket) -> u64 {
    let (mut taken, mut last) = (0, Instant::now());
    while last.elapsed() < QUIET {
        let some = take(socket);
        taken += some;
        if some > 0 {
            last = Instant::now();
        }
    }
    taken
}

/// Sends without end, as long as what is under way fits into a receive buffer.
fn sender(
    to: SocketAddr,
    stop: &Arc<AtomicBool>,
    sent: &Arc<AtomicU64>,
    got: &Arc<AtomicU64>,
) -> thread::JoinHandle<()> {
    let (stop, sent, got) = (Arc::clone(stop), Arc::clone(sent), Arc::clone(got));
    thread::spawn(move || {
        let from = UdpSocket::bind((to.ip(), 0)).unwrap();
        while !stop.load(Ordering::Relaxed) {
            let under_way = sent.load(Ordering::Relaxed).saturating_sub(got.load(Ordering::Relaxed));
            if under_way < 100 && from.send_to(b"x", to).is_ok() {
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

/// The old one is gone (a restart), or the new one (a roll-back), which differ in where the kernel's table has them.
fn switches(host: &str, rolls_back: bool) {
    let ip: IpAddr = host.parse().unwrap();
    let free = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
    let mut datagrams = Datagrams::default();
    datagrams.begin(Some(1));
    let mut serving = (1, joins(&mut datagrams, 1, free));
    let (stop, sent, got) = (Arc::default(), Arc::default(), Arc::<AtomicU64>::default());
    let senders = [0; 2].map(|_| sender(free, &stop, &sent, &got));
    for generation in 2..150 {
        let newcomer = joins(&mut datagrams, generation, free);
        let (goes, stays) = if rolls_back {
            ((generation, newcomer), serving)
        } else {
            datagrams.steer(generation).unwrap();
            (serving, (generation, newcomer))
        };
        let taken = take_all(&goes.1);
        assert!(!rolls_back || taken == 0, "nothing comes to who is not steered to");
        got.fetch_add(taken + take(&stays.1), Ordering::Relaxed);
        // Segue's copy is the last.
        drop(goes.1);
        datagrams.release(goes.0);
        got.fetch_add(take(&stays.1), Ordering::Relaxed);
        serving = stays;
    }
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|it| it.join().unwrap());
    got.fetch_add(take_all(&serving.1), Ordering::Relaxed);
    let (sent, got) = (sent.load(Ordering::Relaxed), got.load(Ordering::Relaxed));
    assert_eq!(sent - got, 0, "lost, of {sent} to {host}, rolls back: {rolls_back}");
}

#[test]
fn who_leaves_takes_no_datagram_with_it() {
    for host in ["127.0.0.1", "::1"] {
        for rolls_back in [false, true] {
            switches(host, rolls_back);
        }
    }
}

/// While all are of one generation the kernel decides as it would without segue, and it does so again when the other is gone.
#[test]
fn a_generation_alone_is_left_to_the_kernel() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut datagrams = Datagrams::default();
    datagrams.begin(Some(1));
    let first = [0; 3].map(|_| joins(&mut datagrams, 1, free));
    let send = || {
        for _ in 0..90 {
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", free).unwrap();
        }
    };
    let all_get_some = |sockets: &[UdpSocket; 3]| {
        send();
        let got: Vec<u64> = sockets.iter().map(take).collect();
        assert!(got.iter().all(|it| *it > 5) && got.iter().sum::<u64>() == 90, "{got:?}");
    };
    all_get_some(&first);
    let second = [0; 3].map(|_| joins(&mut datagrams, 2, free));
    all_get_some(&first);
    datagrams.steer(2).unwrap();
    send();
    let of_first: u64 = first.iter().map(take).sum();
    let of_second: u64 = second.iter().map(take).sum();
    assert_eq!((of_first, of_second), (0, 90));
    drop(first);
    datagrams.release(1);
    // Three that are over cannot leave without moving a number that is chosen: not before others have joined.
    send();
    assert_eq!(second.iter().map(take).sum::<u64>(), 90);
    let third = joins(&mut datagrams, 3, free);
    drop(third);
    datagrams.release(3);
    send();
    assert_eq!(second.iter().map(take).sum::<u64>(), 90);
}

#[test]
fn who_connects_is_let_go_and_its_group_left_to_the_kernel() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut datagrams = Datagrams::default();
    datagrams.begin(Some(1));
    let client = joins(&mut datagrams, 1, free);
    client.connect("127.0.0.1:9").unwrap();
    datagrams.look(None);
    assert!(datagrams.held(None).is_empty() && datagrams.served_by(1).is_empty());
    assert_eq!(datagrams.unsteered(1).count(), 0, "a client alone is in nobody's way");
    let server = joins(&mut datagrams, 1, free);
    let why: Vec<Unsteered> = datagrams.unsteered(1).map(|it| it.1).collect();
    assert_eq!(why, [Unsteered::ByConnecting]);
    assert_eq!(datagrams.left().collect::<Vec<_>>(), [free.port()]);
    let rows = table::read().unwrap();
    datagrams.compare(&rows);
    assert!(datagrams.is_steered_to(1, &Place::single(free), &rows));
    drop((server, client));
    let held = datagrams.held(None);
    held.iter().for_each(|it| drop(datagrams.abandon(it.inode)));
    datagrams.compare(&table::read().unwrap());
    assert!(!datagrams.knows(held[0].inode) && datagrams.ports().next().is_none());
}

#[test]
fn a_stranger_among_them_is_seen() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut datagrams = Datagrams::default();
    datagrams.begin(Some(1));
    let _own = joins(&mut datagrams, 1, free);
    datagrams.compare(&table::read().unwrap());
    assert_eq!(datagrams.unsteered(1).count(), 0);
    let stranger = OwnedFd::from(joins(&mut Datagrams::default(), 1, free));
    datagrams.compare(&table::read().unwrap());
    let why: Vec<Unsteered> = datagrams.unsteered(1).map(|it| it.1).collect();
    assert_eq!(why, [Unsteered::ByStrangers]);
    drop(stranger);
}
