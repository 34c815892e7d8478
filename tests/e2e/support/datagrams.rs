//! A load of datagrams with a number each, of which every one is to be answered once. As many are under way at most as fit into any
//! receive buffer, so that what is missing was not dropped for want of room.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::wait;

/// Under way for each client.
const WINDOW: usize = 16;
/// Nothing is on the way for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub sent: u64,
    /// By the generation that answered.
    pub answered: BTreeMap<u64, u64>,
    /// Never answered.
    pub lost: Vec<u64>,
    /// Answered again.
    pub twice: u64,
    /// The kernel said that nobody is there.
    pub refused: u64,
}

impl Answers {
    pub fn assert_whole(&self) {
        let answered: u64 = self.answered.values().sum();
        assert!(
            self.lost.is_empty() && self.twice == 0 && self.refused == 0 && answered == self.sent && self.sent > 0,
            "{self:?}"
        );
    }

    fn add(&mut self, other: Answers) {
        self.sent += other.sent;
        self.lost.extend(other.lost);
        self.twice += other.twice;
        self.refused += other.refused;
        for (generation, count) in other.answered {
            *self.answered.entry(generation).or_default() += count;
        }
    }
}

/// Clients that send without end.
pub struct Stream {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Answers>>,
}

/// A socket that talks to this address.
pub fn socket(to: SocketAddr) -> UdpSocket {
    let from: SocketAddr = if to.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(from).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE * wait::slowness())).unwrap();
    socket
}

/// What one datagram to this address is answered with; `None`: nobody is there, or nobody answers within a moment.
pub fn ask(to: SocketAddr, what: &str) -> Option<String> {
    let socket = socket(to);
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send(what.as_bytes()).unwrap();
    let mut answer = [0; 2048];
    let length = socket.recv(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

impl Stream {
    /// So many clients, each with a socket of its own.
    pub fn of(clients: u64, socket: impl Fn() -> UdpSocket + Clone + Send + 'static) -> Stream {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |number: u64| {
            let (stop, answered, socket) = (Arc::clone(&stop), Arc::clone(&answered), socket.clone());
            std::thread::spawn(move || run(number << 40, &socket(), &stop, &answered))
        };
        let clients = (0..clients).map(client).collect();
        Stream {
            stop,
            answered,
            clients,
        }
    }

    pub fn to(address: SocketAddr, clients: u64) -> Stream {
        Stream::of(clients, move || socket(address))
    }

    /// Waits until so many more were answered.
    pub fn more(&self, count: u64) {
        let until = self.answered.load(Ordering::Relaxed) + count;
        wait::until("datagrams are answered", || {
            (self.answered.load(Ordering::Relaxed) >= until).then_some(())
        });
    }

    pub fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        self.clients
            .into_iter()
            .for_each(|client| all.add(client.join().unwrap()));
        all
    }
}

fn run(first: u64, socket: &UdpSocket, stop: &AtomicBool, counter: &AtomicU64) -> Answers {
    let (mut answers, mut under_way, mut next) = (Answers::default(), BTreeSet::new(), first);
    loop {
        while under_way.len() < WINDOW && !stop.load(Ordering::Relaxed) {
            match socket.send(next.to_string().as_bytes()) {
                Ok(_) => {}
                // An error of an earlier one: this one was not sent.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    answers.refused += 1;
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            under_way.insert(next);
            next += 1;
            answers.sent += 1;
        }
        if under_way.is_empty() {
            return answers;
        }
        let mut answer = [0; 2048];
        match socket.recv(&mut answer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&answer[..length]).into_owned();
                let mut words = text.split(' ').map(|word| word.parse::<u64>().unwrap());
                let (number, generation) = (words.next().unwrap(), words.next().unwrap());
                if under_way.remove(&number) {
                    *answers.answered.entry(generation).or_default() += 1;
                    counter.fetch_add(1, Ordering::Relaxed);
                } else {
                    answers.twice += 1;
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => answers.refused += 1,
            // What is under way is not any more.
            Err(_) => answers.lost.extend(std::mem::take(&mut under_way)),
        }
    }
}
