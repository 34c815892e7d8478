//! COUNTS what happens, for Prometheus. The loop tells each event; gauges are set from a status when somebody asks. Nothing
//! here decides or does anything.

pub(super) mod format;
mod names;
mod own;
mod stat;
#[cfg(test)]
mod tests;

use std::{
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime},
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::status::{Connections, Status};

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// In seconds.
const RESTART: [f64; 11] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 120.0];
const DRAIN: [f64; 11] = [0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// All metrics of segue.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    generation: Gauge,
    ready: Gauge,
    draining: Gauge,
    connections: Family<Labels<2>, Gauge>,
    generations_started: Counter,
    program_start_time: Gauge<f64, AtomicU64>,
    restarts: Counters<2>,
    restart_duration: Histogram,
    drain_duration: Histogram,
    connections_cut: Counter,
    kills: Counter,
    oom_kills: Counter,
    reaped: Counters<1>,
    signals: Family<[(&'static str, String); 1], Counter>,
    exits: Counters<1>,
    watch_changes: Counter,
    watch_backend: Family<Labels<1>, Gauge>,
    handover_method: Family<Labels<1>, Gauge>,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::default(),
            generation: Gauge::default(),
            ready: Gauge::default(),
            draining: Gauge::default(),
            connections: Family::default(),
            generations_started: Counter::default(),
            program_start_time: Gauge::default(),
            restarts: Family::default(),
            restart_duration: Histogram::new(RESTART),
            drain_duration: Histogram::new(DRAIN),
            connections_cut: Counter::default(),
            kills: Counter::default(),
            oom_kills: Counter::default(),
            reaped: Family::default(),
            signals: Family::default(),
            exits: Family::default(),
            watch_changes: Counter::default(),
            watch_backend: Family::default(),
            handover_method: Family::default(),
        };
        metrics.registry = names::registry(&metrics);
        metrics
    }

    /// A generation was begun.
    pub fn generation_started(&self) {
        self.generations_started.inc();
    }

    /// The program of the newest generation was started.
    pub fn program_started(&self, at: SystemTime) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.program_start_time.set(since.as_secs_f64());
    }

    /// A restart came out, after so long.
    pub fn restart(&self, reason: &'static str, outcome: &'static str, took: Duration) {
        self.restarts
            .get_or_create(&[("reason", reason), ("outcome", outcome)])
            .inc();
        self.restart_duration.observe(took.as_secs_f64());
    }

    /// A generation drained, for so long.
    pub fn drained(&self, took: Duration) {
        self.drain_duration.observe(took.as_secs_f64());
    }

    /// So many connections were cut at a deadline.
    pub fn cut(&self, count: u64) {
        self.connections_cut.inc_by(count);
    }

    /// A generation was killed at a deadline.
    pub fn killed(&self) {
        self.kills.inc();
    }

    /// The kernel has killed so many processes because memory was short.
    pub fn killed_for_memory(&self, processes: u64) {
        self.oom_kills.inc_by(processes);
    }

    /// A generation's program was reaped.
    pub fn reaped_program(&self) {
        self.reaped.get_or_create(&[("kind", "program")]).inc();
    }

    /// Any other process was reaped.
    pub fn reaped_orphan(&self) {
        self.reaped.get_or_create(&[("kind", "orphan")]).inc();
    }

    /// Segue received a signal of this name, of which there are no more than the kernel has signals.
    pub fn signal(&self, name: &str) {
        self.signals.get_or_create(&[("signal", name.to_owned())]).inc();
    }

    /// Watched files have changed.
    pub fn watched_files_changed(&self) {
        self.watch_changes.inc();
    }

    /// The program ended: by a signal, or with a code.
    pub fn exited(&self, by_signal: bool) {
        let kind = if by_signal { "signal" } else { "code" };
        self.exits.get_or_create(&[("kind", kind)]).inc();
    }

    /// All of it as OpenMetrics text; what a status tells is taken from this one.
    #[must_use]
    pub fn openmetrics(&self, status: &Status) -> String {
        let serving = serving(status);
        self.generation
            .set(serving.and_then(|it| it.try_into().ok()).unwrap_or_default());
        self.ready.set(status.ready.into());
        self.draining
            .set((status.draining.is_some() || status.stop.is_some()).into());
        self.set_connections(status, serving);
        self.handover_method.clear();
        if let Some(method) = &status.handover.method {
            let known = ["pidfd_getfd", "ptrace", "exchange"]
                .into_iter()
                .find(|it| it == method);
            let method = known.unwrap_or("none");
            self.handover_method.get_or_create(&[("method", method)]).set(1);
        }
        self.watch_backend.clear();
        let backend = status.watch.iter().map(|watch| watch.backend.as_str());
        for backend in ["inotify", "poll"]
            .into_iter()
            .filter(|it| backend.clone().any(|all| all.contains(it)))
        {
            self.watch_backend.get_or_create(&[("backend", backend)]).set(1);
        }
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // To write into a string does not fail. Half of the metrics would look like all of them.
            Err(std::fmt::Error) => "# EOF\n".into(),
        }
    }

    /// Where nothing is known of connections, no series say that there are none.
    fn set_connections(&self, status: &Status, serving: Option<u64>) {
        self.connections.clear();
        for generation in &status.generations {
            let Some(Connections { queued, busy, idle }) = generation.connections else {
                continue;
            };
            let role = if serving == Some(generation.number) {
                "serving"
            } else {
                "draining"
            };
            for (state, count) in [("queued", queued), ("busy", busy), ("idle", idle)] {
                let gauge = self
                    .connections
                    .get_or_create(&[("state", state), ("generation", role)]);
                gauge.inc_by(count.try_into().unwrap_or(i64::MAX));
            }
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

fn serving(status: &Status) -> Option<u64> {
    let by_role = status.generations.iter().find(|it| it.role == "serving");
    by_role.map(|it| it.number).or(status.generation)
}
