//! The model of the kernel's numbering (`handover/order.rs`) against the kernel: random joins, leaves and steers, and
//! where connections go.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, sockopt};
use segue::handover::{
    listener::{self, Place, Sharing},
    order::Order,
    steering::{self, Choice},
};

use crate::support::wait;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

fn listens_later(place: &Place, sharing: Sharing) -> io::Result<OwnedFd> {
    listener::tcp(place, sharing)
}

fn waiting(socket: &OwnedFd) -> u32 {
    steering::waiting(socket.as_fd()).unwrap()
}

#[test]
fn two_hundred_connections_go_where_the_model_says() {
    let first = listens_later(&Place::single((Ipv4Addr::LOCALHOST, 0).into()), Sharing::AfterBind).unwrap();
    let address = std::net::TcpListener::from(first.try_clone().unwrap())
        .local_addr()
        .unwrap();
    listener::open(&first).unwrap();
    let mut sockets = vec![(0_u32, first)];
    let mut order = Order::default();
    order.join(0);
    let mut next = 1;
    let mut dice = Dice(42);
    let mut clients: Vec<TcpStream> = Vec::new();
    for round in 0..200 {
        match dice.throw(3) {
            0 if sockets.len() < 5 => {
                let joined = listens_later(&Place::single(address), Sharing::Allowed).unwrap();
                listener::open(&joined).unwrap();
                order.join(next);
                sockets.push((next, joined));
                next += 1;
            }
            1 if sockets.len() > 1 => {
                // Closed, or shut down while a copy of it lives on.
                let (id, socket) = sockets.swap_remove(dice.throw(sockets.len()));
                if dice.throw(2) == 0 {
                    nix::sys::socket::shutdown(socket.as_raw_fd(), nix::sys::socket::Shutdown::Both).unwrap();
                }
                order.leave(id);
            }
            _ => {}
        }
        let mut chosen: Vec<u32> = sockets.iter().map(|it| it.0).collect();
        while chosen.len() > 1 && dice.throw(3) > 0 {
            chosen.swap_remove(dice.throw(chosen.len()));
        }
        let number = |id: &u32| u32::try_from(order.index(*id).unwrap()).unwrap();
        let choice = Choice {
            everybody: chosen.iter().map(number).collect(),
            probe: None,
        };
        steering::steer(sockets[0].1.as_fd(), choice).unwrap();
        let before: Vec<u32> = sockets.iter().map(|it| waiting(&it.1)).collect();
        clients.push(TcpStream::connect(address).unwrap());
        // The last packet of its handshake may be under way when the client's side is done.
        let grown = wait::until("the connection is in a queue", || {
            let grown = sockets.iter().zip(&before);
            let grown = grown.filter(|(it, before)| waiting(&it.1) == **before + 1);
            let grown: Vec<u32> = grown.map(|(it, _)| it.0).collect();
            (!grown.is_empty()).then_some(grown)
        });
        assert!(
            grown.len() == 1 && chosen.contains(&grown[0]),
            "round {round}: it went to {grown:?}, chosen {chosen:?} of {order:?}"
        );
        // Queues stay short.
        for (_, socket) in &sockets {
            let listener = std::net::TcpListener::from(socket.try_clone().unwrap());
            while waiting(socket) > 20 {
                listener.accept().unwrap();
            }
        }
    }
}

/// UDP sockets are numbered by their binds. Only closing takes one out: shutdown(2) does not.
#[test]
fn two_hundred_datagrams_go_where_the_model_says() {
    for host in ["127.0.0.1", "::1"] {
        let member = |port: u16| {
            let address = SocketAddr::new(host.parse().unwrap(), port);
            let family = if address.is_ipv4() {
                AddressFamily::Inet
            } else {
                AddressFamily::Inet6
            };
            let socket = nix::sys::socket::socket(family, SockType::Datagram, SockFlag::SOCK_NONBLOCK, None).unwrap();
            setsockopt(&socket, sockopt::ReusePort, &true).unwrap();
            bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
            UdpSocket::from(socket)
        };
        let first = member(0);
        let to = first.local_addr().unwrap();
        let (mut sockets, mut order, mut next, mut dice) = (vec![(0_u32, first)], Order::default(), 1, Dice(7));
        order.join(0);
        for round in 0..200 {
            match dice.throw(3) {
                0 if sockets.len() < 5 => {
                    sockets.push((next, member(to.port())));
                    order.join(next);
                    next += 1;
                }
                1 if sockets.len() > 1 => {
                    let (id, socket) = sockets.swap_remove(dice.throw(sockets.len()));
                    if dice.throw(2) == 0 {
                        let shut = nix::sys::socket::shutdown(socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
                        assert_eq!(shut, Err(nix::Error::ENOTCONN));
                    }
                    order.leave(id);
                }
                _ => {}
            }
            let mut chosen: Vec<u32> = sockets.iter().map(|it| it.0).collect();
            while chosen.len() > 1 && dice.throw(3) > 0 {
                chosen.swap_remove(dice.throw(chosen.len()));
            }
            let number = |id: &u32| u32::try_from(order.index(*id).unwrap()).unwrap();
            let choice = Choice {
                everybody: chosen.iter().map(number).collect(),
                probe: None,
            };
            steering::steer(sockets[0].1.as_fd(), choice).unwrap();
            UdpSocket::bind((host, 0)).unwrap().send_to(b"x", to).unwrap();
            let got = sockets
                .iter()
                .filter(|it| it.1.recv(&mut [0; 2]).is_ok())
                .map(|it| it.0);
            let got: Vec<u32> = got.collect();
            assert!(
                got.len() == 1 && chosen.contains(&got[0]),
                "round {round}: it went to {got:?}, chosen {chosen:?} of {order:?}"
            );
        }
    }
}

/// One that connects leaves its group, if it gets an address by that (newer kernels take it out in any case), and the last one
/// takes its number: nothing tells segue of it, so it does not number groups in which sockets connect.
#[test]
fn a_socket_that_connects_leaves_its_group() {
    let member = |port: u16| {
        let socket =
            nix::sys::socket::socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_NONBLOCK, None).unwrap();
        setsockopt(&socket, sockopt::ReusePort, &true).unwrap();
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        bind(socket.as_raw_fd(), &SockaddrStorage::from(any)).unwrap();
        UdpSocket::from(socket)
    };
    let first = member(0);
    let port = first.local_addr().unwrap().port();
    let (connects, last) = (member(port), member(port));
    connects.connect(("127.0.0.1", 9)).unwrap();
    let choice = Choice {
        everybody: vec![1],
        probe: None,
    };
    steering::steer(first.as_fd(), choice).unwrap();
    for _ in 0..20 {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"x", ("127.0.0.1", port)).unwrap();
        assert!(last.recv(&mut [0; 2]).is_ok());
    }
}

/// A probe's source port has its own way, over IPv4, IPv6, and IPv4 to a dual-stack socket.
#[test]
fn a_probe_is_steered_by_its_source_port() {
    let run = |address: SocketAddr, dual: bool, client: SocketAddr| -> io::Result<()> {
        let place = |address| Place {
            dual,
            ..Place::single(address)
        };
        let first = listens_later(&place(address), Sharing::AfterBind)?;
        let port = std::net::TcpListener::from(first.try_clone()?).local_addr()?.port();
        listener::open(&first)?;
        let second = listens_later(&place(SocketAddr::new(address.ip(), port)), Sharing::Allowed)?;
        listener::open(&second)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        for round in 1..=10 {
            let probe = runtime.block_on(async {
                let any = SocketAddr::new(client.ip(), 0);
                let socket = if client.is_ipv4() {
                    tokio::net::TcpSocket::new_v4()?
                } else {
                    tokio::net::TcpSocket::new_v6()?
                };
                socket.bind(any)?;
                let choice = Choice {
                    everybody: vec![0],
                    probe: Some((socket.local_addr()?.port(), 1)),
                };
                steering::steer(first.as_fd(), choice)?;
                socket.connect(SocketAddr::new(client.ip(), port)).await
            })?;
            let other = TcpStream::connect(SocketAddr::new(client.ip(), port))?;
            // The last packet of a handshake may be under way when the client's side is done.
            wait::until(&format!("one each: {address} from {client}"), || {
                ((waiting(&first), waiting(&second)) == (round, round)).then_some(())
            });
            drop((probe, other));
        }
        Ok(())
    };
    let (four, six) = ("127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap());
    run(four, false, four).unwrap();
    run(six, false, six).unwrap();
    run("[::]:0".parse().unwrap(), true, four).unwrap();
    run("[::]:0".parse().unwrap(), true, six).unwrap();
}

/// Whoever is chosen together shares alike.
#[test]
fn several_members_get_equal_parts() {
    let first = listens_later(&Place::single((Ipv4Addr::LOCALHOST, 0).into()), Sharing::AfterBind).unwrap();
    let address = std::net::TcpListener::from(first.try_clone().unwrap())
        .local_addr()
        .unwrap();
    let others = (1..4).map(|_| listens_later(&Place::single(address), Sharing::Allowed).unwrap());
    let sockets: Vec<OwnedFd> = std::iter::once(first).chain(others).collect();
    sockets.iter().for_each(|socket| listener::open(socket).unwrap());
    let choice = Choice {
        everybody: vec![0, 1, 3],
        probe: None,
    };
    steering::steer(sockets[0].as_fd(), choice).unwrap();
    let clients: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
    let got: Vec<u32> = sockets.iter().map(waiting).collect();
    assert_eq!(got.iter().sum::<u32>(), 300);
    // 100 each, give or take five standard deviations.
    assert!(
        got[2] == 0 && [0, 1, 3].iter().all(|it| (60..140).contains(&got[*it])),
        "{got:?}"
    );
    drop(clients);
}
