//! The model of the kernel's numbering (`handover/order.rs`) against the kernel: random joins, leaves and steers, and
//! where connections go.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use segue::handover::{
    listener::{self, TcpAddress},
    order::Order,
    steering::{self, Choice},
};

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

fn waiting(socket: &OwnedFd) -> u32 {
    steering::waiting(socket.as_fd()).unwrap()
}

#[test]
fn two_hundred_connections_go_where_the_model_says() {
    let first = listener::tcp(
        TcpAddress {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            dual: false,
        },
        true,
    )
    .unwrap();
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
                let joined = listener::tcp(TcpAddress { address, dual: false }, false).unwrap();
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
        let chosen = sockets[dice.throw(sockets.len())].0;
        let number = u32::try_from(order.index(chosen).unwrap()).unwrap();
        steering::steer(
            sockets[0].1.as_fd(),
            Choice {
                everybody: number,
                probe: None,
            },
        )
        .unwrap();
        let before: Vec<u32> = sockets.iter().map(|it| waiting(&it.1)).collect();
        clients.push(TcpStream::connect(address).unwrap());
        for ((id, socket), before) in sockets.iter().zip(before) {
            let expected = before + u32::from(*id == chosen);
            assert_eq!(
                waiting(socket),
                expected,
                "round {round}: member {id}, chosen {chosen} of {order:?}"
            );
        }
        // Queues stay short.
        for (_, socket) in &sockets {
            let listener = std::net::TcpListener::from(socket.try_clone().unwrap());
            while waiting(socket) > 20 {
                listener.accept().unwrap();
            }
        }
    }
}

/// A probe's source port has its own way, over IPv4, IPv6, and IPv4 to a dual-stack socket.
#[test]
fn a_probe_is_steered_by_its_source_port() {
    let run = |bound: SocketAddr, dual: bool, client: SocketAddr| -> io::Result<()> {
        let first = listener::tcp(TcpAddress { address: bound, dual }, true)?;
        let port = std::net::TcpListener::from(first.try_clone()?).local_addr()?.port();
        listener::open(&first)?;
        let second = listener::tcp(
            TcpAddress {
                address: SocketAddr::new(bound.ip(), port),
                dual,
            },
            false,
        )?;
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
                    everybody: 0,
                    probe: Some((socket.local_addr()?.port(), 1)),
                };
                steering::steer(first.as_fd(), choice)?;
                socket.connect(SocketAddr::new(client.ip(), port)).await
            })?;
            let other = TcpStream::connect(SocketAddr::new(client.ip(), port))?;
            assert_eq!(
                (waiting(&first), waiting(&second)),
                (round, round),
                "{bound} from {client}"
            );
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
