//! DECIDES what becomes of the bind(2) of a UDP socket, which is its listen, too. The kernel's answers stay the kernel's: what cannot
//! be handed over passes, and is remembered (`taking` sees what comes of it).

use std::{
    os::fd::{OwnedFd, RawFd},
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};

use super::{Supervisor, own_sockets::Listens};
use crate::handover::{
    datagrams::{
        Joining, Unsteered,
        room::{Bound, Room},
        table,
    },
    facts::{Facts, State},
    group::Held,
    listener::Place,
    trapped::{
        Method, Verdict,
        address::{self, Family},
    },
};

/// UDP sockets that cannot be handed over are looked at after so long: a client's is closed, or connected by then.
const LOOK: Duration = Duration::from_secs(1);
const MOST_PASSED: usize = 64;

impl Supervisor {
    /// Before a bind of a UDP socket. It is the program that does it, so that the kernel's answer is the kernel's; segue allows
    /// others of the program the same address before it.
    pub(super) fn on_bind_datagrams(
        &mut self,
        generation: u64,
        holder: (i32, RawFd),
        inode: u64,
        bytes: &[u8],
        copy: Result<(Method, OwnedFd), String>,
    ) -> Verdict {
        let (method, socket) = match copy {
            Ok(copy) => copy,
            Err(why) => {
                let family = [Family::Four, Family::Six];
                if let Some(address) = family.into_iter().find_map(|family| address::parse(family, bytes)) {
                    self.pass_datagrams(generation, inode, Place::single(address), why);
                }
                return Verdict::Pass;
            }
        };
        let Ok(Some(facts)) = Facts::of_datagrams(&socket) else {
            return Verdict::Pass;
        };
        let address = address::parse(facts.family, bytes);
        let Some(address) = address.filter(|_| facts.state == State::Closed && facts.bound.is_none()) else {
            return Verdict::Pass;
        };
        let place = facts.place(address);
        if address.ip().is_multicast() {
            // Every socket gets what comes to a group's address, so that generations are not in each other's way if the program's
            // sockets are not.
            if !facts.shares && !facts.reuses {
                self.pass_datagrams(generation, inode, place, "it is bound to a multicast address".into());
            }
            return Verdict::Pass;
        }
        if !facts.is_here {
            self.pass(generation, "it belongs to another network namespace".into());
            return Verdict::Pass;
        }
        self.see_bound_datagrams();
        self.let_go_of_closed_datagrams(generation, &place);
        let it = self.generations.get(&generation);
        let opened = it.is_some_and(|it| it.opened.contains(&inode));
        let bound = Bound {
            generation,
            place: place.clone(),
            user: facts.user,
            shares: facts.shares && !opened,
            reuses: facts.reuses,
        };
        let steers_itself = it.is_some_and(|it| it.steers_itself.contains(&inode));
        let why = match self.sockets.datagrams.room(&bound) {
            Room::InUse { hidden: true } => return Verdict::Return(Err(libc::EADDRINUSE)),
            Room::InUse { hidden: false } => return Verdict::Pass,
            Room::ByAddress => {
                self.sockets.datagrams.leave_unsteered_at(&place, Unsteered::ByAddress);
                return Verdict::Pass;
            }
            Room::Foreign { user } => Some(format!(
                "it belongs to user {}, and its predecessor to {user}",
                facts.user
            )),
            Room::Shared if steers_itself => Some(Unsteered::BySteeringOfItsOwn.why().to_owned()),
            Room::Shared if bound.reuses && self.sockets.datagrams.is_by_address(&place) => return Verdict::Pass,
            Room::Shared => match self.strangers_at(&place) {
                // Who shares a port with others by SO_REUSEADDR, as for multicast, does so without segue.
                true if bound.reuses => return Verdict::Pass,
                strangers => strangers.then(|| Unsteered::ByStrangers.why().to_owned()),
            },
        };
        if let Some(why) = why {
            self.pass_datagrams(generation, inode, place, why);
            return Verdict::Pass;
        }
        if !facts.shares {
            if let Err(error) = setsockopt(&socket, sockopt::ReusePort, &true) {
                self.pass_datagrams(generation, inode, place, error.to_string());
                return Verdict::Pass;
            }
            self.note_opened(generation, inode);
        }
        self.sockets.datagrams.admit(Joining {
            bound,
            socket,
            inode,
            holder,
        });
        if let Some(it) = self.generations.get_mut(&generation) {
            it.method.get_or_insert(method);
        }
        if let Some(calls) = &self.calls {
            calls.trapped.add_port(place.address.port());
        }
        Verdict::PassToBind
    }

    /// The kernel's bind may be refused, and is then nobody's affair: it is looked later what is there.
    fn pass_datagrams(&mut self, generation: u64, inode: u64, place: Place, why: String) {
        tracing::debug!(generation, address = %place, why, "the bind of a UDP socket passes");
        if let Some(it) = self.generations.get_mut(&generation) {
            if it.passed_datagrams.len() >= MOST_PASSED {
                it.passed_datagrams.pop_front();
            }
            it.passed_datagrams.push_back((inode, place, why));
            self.look_at_passed.get_or_insert(Instant::now() + LOOK);
        }
    }

    fn strangers_at(&self, place: &Place) -> bool {
        let rows = table::read();
        rows.is_ok_and(|rows| self.sockets.datagrams.are_strangers_at(place, &rows))
    }

    /// Some binds have come out.
    pub(super) fn see_bound_datagrams(&mut self) {
        let bound = self.sockets.datagrams.confirm();
        if bound.is_empty() {
            return;
        }
        self.watch_queues();
        for it in self.sockets.datagrams.held(None) {
            self.watch_holder(it.holder.0);
        }
        for (generation, place) in bound {
            // Where another generation is found, this one is, too; elsewhere it may be a client's socket, which is seen soon.
            let listens = Listens::Udp(place);
            let mut others = self.generations.iter().filter(|(number, _)| **number != generation);
            if others.any(|(_, it)| it.listens.contains(&listens)) {
                self.on_listens(generation, listens);
            }
        }
    }

    /// Before a bind: what the generation has closed there must not be in the way.
    fn let_go_of_closed_datagrams(&mut self, generation: u64, place: &Place) {
        let held = self.sockets.datagrams.held(Some(place));
        let own: Vec<Held> = held.into_iter().filter(|it| it.generation == generation).collect();
        if !own.is_empty() {
            self.let_go_of(own);
            self.sockets.datagrams.look(None);
        }
    }
}
