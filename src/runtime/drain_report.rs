//! TELLS of a drain: who is waited for and until when, and whom its deadline cuts. Decides nothing.

use super::Supervisor;

impl Supervisor {
    /// The final stop begins to wait.
    pub(super) fn tell_who_is_waited_for(&mut self, generation: u64) {
        let busy = self.busy(generation).filter(|busy| *busy > 0);
        let (Some(busy), Some(at_most)) = (busy, self.settings.drain_timeout()) else {
            return;
        };
        tracing::info!(
            generation,
            busy,
            at_most_seconds = at_most.as_secs_f64(),
            setting = "SEGUE_DRAIN_TIMEOUT",
            "waiting for busy connections before sending the stop signal"
        );
    }

    /// The stop signal is about to be sent, or SIGKILL: tells of connections that it cuts.
    pub(super) fn tell_what_is_cut(&mut self, generation: u64, killed: bool) {
        let Some(it) = self.generations.get_mut(&generation) else {
            return;
        };
        let (waited, replaced) = (it.draining.take().is_some(), it.replaced.is_some());
        let last = self.state.current() == Some(generation) && self.stopped_by.is_some();
        if !(waited || (killed && (replaced || last))) {
            return;
        }
        let Some(busy) = self.busy(generation).filter(|busy| *busy > 0) else {
            return;
        };
        let waited_for = !self.drains_itself(generation);
        if killed || waited_for {
            let cut = u64::try_from(busy).unwrap_or_default();
            self.desk.cut += cut;
            self.desk.tally.count(move |metrics| metrics.cut(cut));
        }
        if killed {
            tracing::warn!(
                generation,
                cut = busy,
                at = "SEGUE_STOP_TIMEOUT",
                "connections cut at the deadline"
            );
        } else if !waited_for {
            tracing::warn!(generation, busy, "connections are busy after SEGUE_DRAIN_TIMEOUT");
        } else {
            tracing::warn!(
                generation,
                cut = busy,
                at = "SEGUE_DRAIN_TIMEOUT",
                "connections cut at the deadline"
            );
        }
    }
}
