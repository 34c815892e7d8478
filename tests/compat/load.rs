//! Clients that keep a server busy, at a steady rate, and check every answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    ask::Ask,
    connection::Connection,
    place::Place,
    tally::{Failure, Tally},
};

/// Clients with a fresh connection for each request.
const FRESH: u32 = 4;
/// Clients that keep theirs, and their rate each.
const KEPT: u32 = 2;
const KEPT_RATE: u32 = 25;
/// After so many requests they open a new one, so that an old generation that waits for its clients is soon without. With
/// TESTS_KEEP_CONNECTIONS they keep it until the server ends it.
const KEPT_REQUESTS: u32 = 40;

pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    pub fn start(ask: Ask, place: &Arc<Place>, rate: u32) -> Load {
        let mut load = Load {
            stop: Arc::new(AtomicBool::new(false)),
            answered: Arc::new(AtomicU64::new(0)),
            clients: Vec::new(),
        };
        let begin = Instant::now();
        for _ in 0..FRESH {
            let place = Arc::clone(place);
            load.client(begin, FRESH, rate, move |tally| {
                tally.fresh += 1;
                ask.once(&place)
            });
        }
        for _ in 0..if ask.keeps() { KEPT } else { 0 } {
            let (place, mut kept) = (Arc::clone(place), Kept::default());
            load.client(begin, 1, KEPT_RATE, move |tally| {
                tally.kept += 1;
                kept.request(&ask, &place, tally)
            });
        }
        load
    }

    /// One of so many clients that share a rate.
    fn client(
        &mut self,
        begin: Instant,
        sharing: u32,
        rate: u32,
        mut request: impl FnMut(&mut Tally) -> Result<(), Failure> + Send + 'static,
    ) {
        let (stop, answered) = (Arc::clone(&self.stop), Arc::clone(&self.answered));
        let period = Duration::from_secs(1) * sharing / rate;
        self.clients.push(thread::spawn(move || {
            let mut tally = Tally::default();
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                if let Err(failure) = request(&mut tally) {
                    tally.failures.push((begin.elapsed(), failure));
                }
                tally.longest = tally.longest.max(asked.elapsed());
                answered.fetch_add(1, Ordering::Relaxed);
                // The pace of the load.
                thread::sleep(period.saturating_sub(asked.elapsed()));
            }
            tally
        }));
    }

    /// How many requests were answered, or failed, so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Lets each finish its request; what came of all.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for client in self.clients {
            all.add(client.join().unwrap());
        }
        all
    }
}

/// A connection that is kept.
struct Kept {
    connection: Option<Connection>,
    /// How many requests it may still have.
    left: u32,
    most: u32,
}

impl Default for Kept {
    fn default() -> Kept {
        let forever = std::env::var_os("TESTS_KEEP_CONNECTIONS").is_some();
        Kept {
            connection: None,
            left: 0,
            most: if forever { u32::MAX } else { KEPT_REQUESTS },
        }
    }
}

impl Kept {
    /// A request. If the server has closed the connection between two of them, it is sent once more over a fresh one, as any
    /// client does.
    fn request(&mut self, ask: &Ask, place: &Place, tally: &mut Tally) -> Result<(), Failure> {
        if let Some(mut connection) = self.connection.take().filter(|_| self.left > 0) {
            match ask.ask(&mut connection, place, false) {
                Ok(open) => {
                    self.keep(connection, open);
                    return Ok(());
                }
                Err(Failure::Closed) => tally.closed_between += 1,
                Err(Failure::Reset) if !connection.begun() => tally.closed_between += 1,
                Err(failure) => return Err(failure),
            }
        }
        self.left = self.most;
        let mut connection = ask.open(place)?;
        let open = ask.ask(&mut connection, place, false)?;
        self.keep(connection, open);
        Ok(())
    }

    fn keep(&mut self, connection: Connection, open: bool) {
        self.connection = open.then_some(connection);
        self.left -= 1;
    }
}
