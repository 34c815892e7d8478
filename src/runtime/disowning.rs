//! FINDS OUT, when a drain takes long, which of the busy connections it need not wait for: those that are another generation's,
//! and those that a program has to itself.

use std::{
    collections::{BTreeSet, HashSet},
    net::SocketAddr,
    time::Instant,
};

use super::Supervisor;
use crate::handover::{
    census::{self, Census},
    holders::Holders,
};

impl Supervisor {
    /// Once in a drain, as it costs something. A connection whose owner segue cannot see stays open.
    pub(super) fn disown(&mut self, generation: u64, census: &Census) {
        let draining = self
            .generations
            .get_mut(&generation)
            .and_then(|it| it.draining.as_mut());
        let due = draining.is_some_and(|it| it.ask_whose_at.take_if(|at| *at <= Instant::now()).is_some());
        if !due {
            return;
        }
        let mut others = self.to_itself(generation, census);
        // Those that came between the steering and the look at which there are were taken for the generation's.
        if let Some(current) = self.state.current().filter(|current| *current != generation) {
            let held = Holders::among(self.program_processes(current)).found;
            let of_successor = census.connections.iter().filter(|it| held.contains_key(&it.inode));
            others.extend(of_successor.map(|it| it.cookie));
        }
        let Some(replaced) = self
            .generations
            .get_mut(&generation)
            .and_then(|it| it.replaced.as_mut())
        else {
            return;
        };
        for it in census.connections.iter().filter(|it| others.contains(&it.cookie)) {
            if let Some(connections) = &mut replaced.connections {
                connections.remove(&it.cookie);
            }
            if let Some(half_open) = &mut replaced.half_open {
                half_open.remove(&(it.local, it.remote));
            }
        }
    }

    /// The connections whose other end is the same generation's: a program that waits for itself waits for ever.
    fn to_itself(&self, generation: u64, census: &Census) -> HashSet<u64> {
        let mut maybe = HashSet::new();
        let near = census.connections.iter();
        let near = near.filter(|it| it.remote.ip().is_loopback() || it.remote.ip() == it.local.ip());
        let ports: BTreeSet<u16> = near.clone().map(|it| it.remote.port()).collect();
        if ports.is_empty() {
            return maybe;
        }
        let Ok(far) = census::connections(&ports) else {
            return maybe;
        };
        let held = Holders::among(self.program_processes(generation)).found;
        let own = far.connections.iter().filter(|it| held.contains_key(&it.inode));
        let own: HashSet<(SocketAddr, SocketAddr)> = own.map(|it| (it.remote, it.local)).collect();
        maybe.extend(
            near.filter(|it| own.contains(&(it.local, it.remote)))
                .map(|it| it.cookie),
        );
        maybe
    }
}
