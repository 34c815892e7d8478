//! SAYS what one line of the kernel's answer means for a socket, whichever way it was asked. Pure.

use std::{collections::HashSet, net::SocketAddr};

use super::{Connection, Listener, TcpState, Traffic};

/// A socket, as sock_diag and /proc/net/tcp both tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) cookie: u64,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) inode: u64,
    pub(super) state: TcpState,
    /// Unread bytes; connections to be accepted, if it listens.
    pub(super) incoming: u32,
    /// Unconfirmed bytes; the backlog, if it listens and that is told.
    pub(super) outgoing: Option<u32>,
    /// What went over it, if that is told.
    pub(super) traffic: Option<Traffic>,
}

impl Row {
    /// The pairs of (local, remote) of those that are.
    pub(super) fn half_open(rows: &[Row]) -> HashSet<(SocketAddr, SocketAddr)> {
        let half_open = rows.iter().filter(|row| row.state == TcpState::HalfOpen);
        half_open.map(|row| (row.local, row.remote)).collect()
    }

    /// `None` if it is none, or none that matters.
    pub(super) fn connection(self) -> Option<Connection> {
        let may_be_unheld = match self.state {
            TcpState::HalfOpen | TcpState::Listening => return None,
            // Nobody's socket in these states is one that waits to be accepted: closing it would change the state.
            TcpState::Established | TcpState::CloseWait => true,
            TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::LastAck => false,
        };
        let (end_in, end_out) = self.state.ends();
        (self.inode != 0 || may_be_unheld).then(|| Connection {
            cookie: self.cookie,
            local: self.local,
            remote: self.remote,
            inode: self.inode,
            state: self.state,
            unread: self.incoming.saturating_sub(end_in),
            unsent: self.outgoing.unwrap_or(0).saturating_sub(end_out),
            traffic: self.traffic,
        })
    }
}

impl From<Row> for Listener {
    fn from(row: Row) -> Listener {
        Listener {
            address: row.local,
            inode: row.inode,
            queued: row.incoming,
            backlog: row.outgoing,
        }
    }
}

impl TcpState {
    /// By the kernel's number (`include/net/tcp_states.h`).
    pub(super) fn from_number(number: u8) -> Option<TcpState> {
        Some(match number {
            1 => TcpState::Established,
            3 => TcpState::HalfOpen,
            4 => TcpState::FinWait1,
            5 => TcpState::FinWait2,
            8 => TcpState::CloseWait,
            9 => TcpState::LastAck,
            10 => TcpState::Listening,
            11 => TcpState::Closing,
            _ => return None,
        })
    }

    /// The end of a direction has a place in the sequence, so that the kernel counts it as a byte that waits: the
    /// other side's until the program has read it, this side's until it is confirmed.
    fn ends(self) -> (u32, u32) {
        match self {
            TcpState::Established | TcpState::HalfOpen | TcpState::FinWait2 | TcpState::Listening => (0, 0),
            TcpState::CloseWait => (1, 0),
            TcpState::FinWait1 => (0, 1),
            TcpState::Closing | TcpState::LastAck => (1, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Row, TcpState, Traffic};

    fn traffic(quiet_in: u64, quiet_out: u64) -> Traffic {
        Traffic {
            quiet_in: Duration::from_millis(quiet_in),
            quiet_out: Duration::from_millis(quiet_out),
            confirmed: Duration::from_millis(quiet_out),
            segments: Some((1, 1)),
        }
    }

    fn row(state: TcpState, inode: u64, incoming: u32, outgoing: u32) -> Row {
        Row {
            cookie: 7,
            local: ([127, 0, 0, 1], 80).into(),
            remote: ([127, 0, 0, 1], 40_000).into(),
            inode,
            state,
            incoming,
            outgoing: Some(outgoing),
            traffic: Some(traffic(9_000, 9_000)),
        }
    }

    #[test]
    fn who_nobody_holds_counts_only_while_it_waits_to_be_accepted() {
        let counts = |state, inode| row(state, inode, 0, 0).connection().is_some();
        for state in [TcpState::Established, TcpState::CloseWait] {
            assert!(counts(state, 0) && counts(state, 5), "{state:?}");
        }
        for state in [
            TcpState::FinWait1,
            TcpState::FinWait2,
            TcpState::Closing,
            TcpState::LastAck,
        ] {
            assert!(!counts(state, 0) && counts(state, 5), "{state:?}");
        }
        for state in [TcpState::HalfOpen, TcpState::Listening] {
            assert!(!counts(state, 0) && !counts(state, 5), "{state:?}");
        }
    }

    #[test]
    fn the_end_of_a_direction_is_no_byte() {
        let waits = |state, incoming, outgoing| {
            let it = row(state, 5, incoming, outgoing).connection().unwrap();
            (it.unread, it.unsent)
        };
        assert_eq!(waits(TcpState::Established, 1, 1), (1, 1));
        assert_eq!(
            waits(TcpState::CloseWait, 1, 1),
            (0, 1),
            "read to the last byte, the end itself not"
        );
        assert_eq!(waits(TcpState::CloseWait, 11, 0), (10, 0));
        assert_eq!(waits(TcpState::CloseWait, 0, 0), (0, 0), "the end was read too");
        assert_eq!(waits(TcpState::FinWait1, 3, 1), (3, 0));
        assert_eq!(waits(TcpState::LastAck, 0, 5), (0, 4));
    }

    #[test]
    fn busy_and_idle() {
        let busy = |quiet: Option<(u64, u64)>, incoming, outgoing| {
            let row = Row {
                traffic: quiet.map(|it| traffic(it.0, it.1)),
                ..row(TcpState::Established, 5, incoming, outgoing)
            };
            row.connection().unwrap().is_busy(Duration::from_secs(1))
        };
        assert!(!busy(Some((5000, 5000)), 0, 0));
        assert!(!busy(Some((5000, 1000)), 0, 0), "answered");
        assert!(busy(Some((5000, 999)), 0, 0), "just now");
        assert!(busy(Some((5000, 5001)), 0, 0), "not answered");
        assert!(busy(Some((5000, 4000)), 1, 0));
        assert!(busy(Some((5000, 4000)), 0, 1));
        assert!(busy(None, 0, 0), "not told");
    }
}
