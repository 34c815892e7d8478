//! NAMES each metric, says what it is, and lets those that are known beforehand begin at zero. Counts nothing.

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Labels, Metrics, own::Own};

/// Why a restart is made, and how it comes out.
const REASONS: [&str; 4] = ["hup", "watch", "crash", "command"];
const OUTCOMES: [&str; 3] = ["replaced", "rolled_back", "failed"];

/// With all of them in it. A counter's `_total` is the encoder's to add, and a unit too.
pub(super) fn registry(metrics: &Metrics) -> Registry {
    let mut to = Registry::default();
    begin_at_zero(metrics);
    let info: Family<Labels<1>, Gauge> = Family::default();
    info.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
    // A gauge, not OpenMetrics' own type for it, which classic parsers do not know.
    to.register("segue_info", "Version of segue", info);

    let it = metrics.generation.clone();
    to.register("segue_generation", "Number of the serving generation, or 0", it);
    let it = metrics.ready.clone();
    to.register("segue_ready", "1 while a ready generation serves", it);
    let it = metrics.draining.clone();
    to.register("segue_draining", "1 while a drain or stop is under way", it);
    let it = metrics.connections.clone();
    to.register("segue_connections", "Connections of the program", it);

    let it = metrics.generations_started.clone();
    to.register("segue_generations_started", "Generations begun", it);
    let (help, it) = (
        "When the program was last started, since the epoch",
        metrics.program_start_time.clone(),
    );
    to.register_with_unit("segue_program_start_time", help, Unit::Seconds, it);
    let it = metrics.exits.clone();
    to.register("segue_program_exits", "Ends of the program", it);

    let it = metrics.restarts.clone();
    to.register("segue_restarts", "Restarts that came out", it);
    let (help, it) = (
        "From the request of a restart to its outcome",
        metrics.restart_duration.clone(),
    );
    to.register_with_unit("segue_restart_duration", help, Unit::Seconds, it);
    let (help, it) = (
        "From the drain of a generation to its end",
        metrics.drain_duration.clone(),
    );
    to.register_with_unit("segue_drain_duration", help, Unit::Seconds, it);
    let it = metrics.connections_cut.clone();
    to.register("segue_connections_cut", "Connections cut at a deadline", it);
    let it = metrics.kills.clone();
    to.register("segue_kills", "Generations killed at a deadline", it);
    let it = metrics.oom_kills.clone();
    to.register(
        "segue_oom_kills",
        "Processes that the kernel killed because memory was short",
        it,
    );

    let it = metrics.reaped.clone();
    to.register("segue_reaped", "Processes reaped", it);
    let it = metrics.signals.clone();
    to.register("segue_signals", "Signals received", it);

    let help = "Bursts of changes of watched files";
    to.register("segue_watch_changes", help, metrics.watch_changes.clone());
    let help = "How changes of watched files are noticed: 1 for each way";
    to.register("segue_watch_backend", help, metrics.watch_backend.clone());

    let help = "How copies of the program's listening sockets are made: 1 for that of the serving generation";
    to.register("segue_handover_method", help, metrics.handover_method.clone());

    to.register_collector(Box::new(Own::default()));
    to
}

/// So that a first increment is seen as one.
fn begin_at_zero(metrics: &Metrics) {
    for reason in REASONS {
        for outcome in OUTCOMES {
            let labels = [("reason", reason), ("outcome", outcome)];
            drop(metrics.restarts.get_or_create(&labels));
        }
    }
    for (family, kinds) in [
        (&metrics.reaped, ["program", "orphan"]),
        (&metrics.exits, ["code", "signal"]),
    ] {
        for kind in kinds {
            drop(family.get_or_create(&[("kind", kind)]));
        }
    }
    for signal in ["HUP", "TERM"] {
        drop(metrics.signals.get_or_create(&[("signal", signal.to_owned())]));
    }
}
