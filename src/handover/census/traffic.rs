//! DECIDES from what the kernel remembers of a connection's data whether the program owes an answer. Pure.
//!
//! The kernel tells when data last came in and went out only in ticks (4 ms where CONFIG_HZ is 250), and a program that is
//! quick, or a client that is near, does both within one. What came last shows then in what followed: an answer is
//! confirmed by the client, and mostly a while later, because confirmations are put off (delayed ACK, RFC 9293 §3.8.6.3);
//! a request that waits is followed by nothing.

use std::time::Duration;

/// What tcp_info tells of a connection's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Time since data last came in, or since the connection began.
    pub quiet_in: Duration,
    /// Time since data last went out, or since the connection began.
    pub quiet_out: Duration,
    /// Time since anything of ours was last confirmed.
    pub confirmed: Duration,
    /// Segments with data that came in, and that went out; `None` on kernels before 4.6.
    pub segments: Option<(u32, u32)>,
}

impl Traffic {
    /// Is something to be expected of the program: an answer to what came in last?
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        if self.quiet_in != self.quiet_out {
            return self.quiet_in < self.quiet_out;
        }
        match self.segments {
            // A connection over which nothing was asked.
            Some((0, _)) => false,
            // What was never answered at all.
            Some((_, 0)) => true,
            // The only request there was: what went out is its answer.
            Some((1, _)) => false,
            Some(_) | None => self.confirmed >= self.quiet_in,
        }
    }

    /// The least of the times since data went either way.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.quiet_in.min(self.quiet_out)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Traffic;

    fn unanswered(quiet_in: u64, quiet_out: u64, confirmed: u64, segments: Option<(u32, u32)>) -> bool {
        let [quiet_in, quiet_out, confirmed] = [quiet_in, quiet_out, confirmed].map(Duration::from_millis);
        Traffic {
            quiet_in,
            quiet_out,
            confirmed,
            segments,
        }
        .is_unanswered()
    }

    #[test]
    fn what_came_last_decides() {
        assert!(unanswered(3000, 5000, 3000, Some((2, 1))));
        assert!(!unanswered(5000, 3000, 2960, Some((2, 2))));
    }

    /// As seen on Linux 6.18 with CONFIG_HZ=250: quick requests over a kept-alive connection, and then a slow one or none.
    #[test]
    fn in_the_same_tick_what_followed_decides() {
        assert!(!unanswered(300, 300, 300, Some((0, 0))), "nothing was asked");
        assert!(
            unanswered(300, 300, 300, Some((1, 0))),
            "the first request is a slow one"
        );
        assert!(
            !unanswered(300, 300, 300, Some((1, 1))),
            "one request, answered at once"
        );
        assert!(
            unanswered(300, 300, 300, Some((2, 1))),
            "a slow one followed a quick one"
        );
        assert!(
            !unanswered(300, 300, 260, Some((5, 5))),
            "the answer was confirmed after 40 ms"
        );
        assert!(unanswered(300, 300, 300, None), "older kernels: the careful answer");
    }
}
