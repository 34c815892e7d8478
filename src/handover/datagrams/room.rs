//! DECIDES how a bind of a UDP socket has to be done to come out as it would without segue, which has allowed more than programs
//! have asked for. Pure.

use crate::handover::listener::Place;

/// A UDP socket that segue knows, or that is about to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Whose.
    pub generation: u64,
    /// Where.
    pub place: Place,
    /// The user whom it belongs to.
    pub user: u32,
    /// Did the program allow others the same address (SO_REUSEPORT)?
    pub shares: bool,
    /// Did it set SO_REUSEADDR, which lets several have one address if all set it?
    pub reuses: bool,
}

/// How a bind is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The program's own sockets are in nobody's way, and those of other generations shall not be: the socket has to allow that.
    Shared,
    /// The program's own socket is in the way: the kernel refuses it, or would not (`hidden`) because segue has allowed it.
    InUse {
        /// Would the kernel not refuse it?
        hidden: bool,
    },
    /// The program has several sockets of one address by SO_REUSEADDR, of which the kernel's last gets everything.
    ByAddress,
    /// A socket of another user is there.
    Foreign {
        /// Which.
        user: u32,
    },
}

/// How this one is to be bound beside those.
pub fn room<'a>(newcomer: &Bound, there: impl IntoIterator<Item = &'a Bound>) -> Room {
    let mut room = Room::Shared;
    for it in there.into_iter().filter(|it| it.place.overlaps(&newcomer.place)) {
        let own = it.generation == newcomer.generation;
        let (both_share, both_reuse) = (newcomer.shares && it.shares, newcomer.reuses && it.reuses);
        if own && both_reuse && !both_share {
            room = Room::ByAddress;
        } else if own && !both_share {
            return Room::InUse {
                hidden: newcomer.shares,
            };
        } else if it.user != newcomer.user {
            room = Room::Foreign { user: it.user };
        }
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(generation: u64, address: &str, shares: bool, reuses: bool) -> Bound {
        Bound {
            generation,
            place: Place::single(address.parse().unwrap()),
            user: 7,
            shares,
            reuses,
        }
    }

    #[test]
    fn another_generation_is_in_nobody_s_way() {
        let there = [bound(1, "0.0.0.0:53", false, false)];
        for address in ["0.0.0.0:53", "127.0.0.1:53", "127.0.0.1:54"] {
            assert_eq!(room(&bound(2, address, false, false), &there), Room::Shared);
        }
        let other = Bound {
            user: 8,
            ..bound(2, "0.0.0.0:53", false, false)
        };
        assert_eq!(room(&other, &there), Room::Foreign { user: 7 });
    }

    /// What the kernel says to two sockets of one program by their options (`inet_rcv_saddr_equal` and
    /// `udp_lib_lport_inuse` of Linux); the options of the kernel's are one more than the program's: SO_REUSEPORT on each.
    #[test]
    fn a_program_s_own_is_in_its_way_as_its_options_say() {
        for (first, second, expected) in [
            ((false, false), (false, false), Room::InUse { hidden: false }),
            ((false, false), (true, false), Room::InUse { hidden: true }),
            ((true, false), (false, false), Room::InUse { hidden: false }),
            ((true, false), (true, false), Room::Shared),
            ((false, true), (false, false), Room::InUse { hidden: false }),
            ((false, true), (false, true), Room::ByAddress),
            ((true, true), (false, true), Room::ByAddress),
            ((true, true), (true, true), Room::Shared),
        ] {
            for address in ["0.0.0.0:53", "127.0.0.1:53"] {
                let there = [bound(1, "0.0.0.0:53", first.0, first.1)];
                let newcomer = bound(1, address, second.0, second.1);
                assert_eq!(room(&newcomer, &there), expected, "{first:?} {second:?}");
            }
            let elsewhere = [bound(1, "127.0.0.2:53", first.0, first.1)];
            assert_eq!(
                room(&bound(1, "127.0.0.1:53", second.0, second.1), &elsewhere),
                Room::Shared
            );
        }
    }
}
