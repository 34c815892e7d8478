//! DECIDES which connections of unix sockets are busy. The kernel does not tell when anything last went over one, so that is seen by
//! looking at them again and again. Pure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::established::Established;

/// What was seen of each connection, and since when it has looked the same; `None` before the first look.
#[derive(Debug, Default)]
pub struct Quiet(Option<HashMap<u64, (Established, Instant)>>);

impl Quiet {
    /// How many are busy: bytes wait on either side, or something has changed less than `idle` ago, as does a connection that was not
    /// seen before. `open`: new ones still come, without end perhaps, so that only those of the first look count.
    pub fn busy(&mut self, connections: &[Established], idle: Duration, now: Instant, open: bool) -> usize {
        let mut seen = HashMap::new();
        let mut busy = 0;
        for it in connections {
            let since = match self.0.as_ref().map(|before| before.get(&it.inode)) {
                Some(Some((before, since))) if before == it => *since,
                Some(None) if open => continue,
                Some(_) | None => now,
            };
            seen.insert(it.inode, (*it, since));
            let at_work = it.unread > 0 || it.unsent > 0 || now.saturating_duration_since(since) < idle;
            busy += usize::from(at_work);
        }
        self.0 = Some(seen);
        busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_changed_full_and_quiet_ones() {
        let it = |inode, unread, unsent| Established { inode, unread, unsent };
        let (idle, begin) = (Duration::from_secs(1), Instant::now());
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let (mut it_is, open) = (Quiet::default(), false);
        let mut busy = |connections: &[Established], idle, now| it_is.busy(connections, idle, now, open);
        assert_eq!(busy(&[], idle, begin), 0);
        assert_eq!(busy(&[it(1, 0, 0), it(2, 5, 0)], idle, begin), 2);
        assert_eq!(busy(&[it(1, 0, 0), it(2, 0, 0)], idle, at(999)), 2);
        assert_eq!(busy(&[it(1, 0, 0), it(2, 0, 0)], idle, at(1_000)), 1);
        assert_eq!(busy(&[it(1, 0, 0), it(2, 0, 0)], idle, at(1_999)), 0);
        assert_eq!(busy(&[it(1, 0, 9), it(3, 0, 0)], Duration::ZERO, at(9_000)), 1);
        assert_eq!(
            busy(&[it(1, 0, 9)], idle, at(99_000)),
            1,
            "what is not read is never over"
        );
    }
}
