//! TRIES the metrics: their names and types, their values, and that what is not known is not there.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use super::{Metrics, format::Format};
use crate::control::{
    sample,
    status::{Connections, Status},
};

fn text(metrics: &Metrics, status: &Status) -> String {
    metrics.openmetrics(status)
}

/// The value of one series.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[test]
fn every_counter_begins_at_zero_and_every_name_is_there() {
    let text = text(&Metrics::new(), &sample::nothing());
    let types: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    for wanted in [
        "segue_info gauge",
        "segue_generation gauge",
        "segue_generations_started counter",
        "segue_restarts counter",
        "segue_restart_duration_seconds histogram",
        "segue_ready gauge",
        "segue_draining gauge",
        "segue_drain_duration_seconds histogram",
        "segue_connections_cut counter",
        "segue_kills counter",
        "segue_reaped counter",
        "segue_program_exits counter",
        "segue_program_start_time_seconds gauge",
        "segue_watch_changes counter",
        "process_cpu_seconds counter",
        "process_open_fds gauge",
        "process_max_fds gauge",
        "process_virtual_memory_bytes gauge",
        "process_resident_memory_bytes gauge",
        "process_start_time_seconds gauge",
        "process_threads gauge",
    ] {
        assert!(types.contains(wanted), "{wanted}: {text}");
    }
    for reason in ["hup", "watch", "crash", "command"] {
        for outcome in ["replaced", "rolled_back", "failed"] {
            let series = format!("segue_restarts_total{{reason=\"{reason}\",outcome=\"{outcome}\"}}");
            assert_eq!(value(&text, &series), Some(0.0), "{series}: {text}");
        }
    }
    for series in [
        "segue_reaped_total{kind=\"program\"}",
        "segue_reaped_total{kind=\"orphan\"}",
        "segue_program_exits_total{kind=\"code\"}",
        "segue_program_exits_total{kind=\"signal\"}",
        "segue_watch_changes_total",
        "segue_generation",
        "segue_ready",
        "segue_draining",
    ] {
        assert_eq!(value(&text, series), Some(0.0), "{series}: {text}");
    }
    let info = format!("segue_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&text, &info), Some(1.0));
    assert!(
        !text.contains("segue_connections{") && text.ends_with("\n# EOF\n"),
        "{text}"
    );
    assert!(!text.contains(".."), "a help ends with one full stop: {text}");
}

#[test]
fn what_is_told_is_counted() {
    let metrics = Metrics::new();
    metrics.generation_started();
    metrics.program_started(SystemTime::UNIX_EPOCH + Duration::from_millis(1_500));
    metrics.restart("hup", "replaced", Duration::from_millis(300));
    metrics.drained(Duration::from_secs(20));
    metrics.cut(7);
    metrics.killed();
    metrics.reaped_program();
    metrics.reaped_orphan();
    metrics.signal("TERM");
    metrics.signal("TERM");
    metrics.exited(true);
    let text = text(&metrics, &sample::status());
    for (series, wanted) in [
        ("segue_generations_started_total", 1.0),
        ("segue_program_start_time_seconds", 1.5),
        ("segue_restarts_total{reason=\"hup\",outcome=\"replaced\"}", 1.0),
        ("segue_restart_duration_seconds_bucket{le=\"0.25\"}", 0.0),
        ("segue_restart_duration_seconds_bucket{le=\"0.5\"}", 1.0),
        ("segue_restart_duration_seconds_bucket{le=\"120.0\"}", 1.0),
        ("segue_drain_duration_seconds_sum", 20.0),
        ("segue_drain_duration_seconds_bucket{le=\"600.0\"}", 1.0),
        ("segue_connections_cut_total", 7.0),
        ("segue_kills_total", 1.0),
        ("segue_reaped_total{kind=\"program\"}", 1.0),
        ("segue_reaped_total{kind=\"orphan\"}", 1.0),
        ("segue_signals_total{signal=\"TERM\"}", 2.0),
        ("segue_program_exits_total{kind=\"signal\"}", 1.0),
        ("segue_program_exits_total{kind=\"code\"}", 0.0),
    ] {
        assert_eq!(value(&text, series), Some(wanted), "{series}: {text}");
    }
}

#[test]
fn gauges_are_as_the_status_is() {
    let metrics = Metrics::new();
    let mut status = sample::status();
    let first = text(&metrics, &status);
    for (series, wanted) in [
        ("segue_generation", 4.0),
        ("segue_ready", 1.0),
        ("segue_draining", 0.0),
        ("segue_connections{state=\"idle\",generation=\"serving\"}", 12_046.0),
        ("segue_connections{state=\"idle\",generation=\"draining\"}", 53.0),
        ("segue_connections{state=\"busy\",generation=\"draining\"}", 4.0),
        ("segue_connections{state=\"queued\",generation=\"serving\"}", 2.0),
    ] {
        assert_eq!(value(&first, series), Some(wanted), "{series}: {first}");
    }
    // It does not add up from one scrape to the next, and what went is gone.
    status.generations.drain(..2);
    status.stop = Some(sample::stop());
    status.ready = false;
    let second = text(&metrics, &status);
    assert_eq!(
        value(&second, "segue_connections{state=\"busy\",generation=\"serving\"}"),
        Some(118.0)
    );
    assert!(!second.contains("generation=\"draining\""), "{second}");
    assert_eq!(value(&second, "segue_draining"), Some(1.0));
    status.generations[0].connections = None;
    assert!(!text(&metrics, &status).contains("segue_connections{"));
    status.generations[0].connections = Some(Connections {
        queued: u64::MAX,
        busy: 0,
        idle: 0,
    });
    assert!(text(&metrics, &status).contains("segue_connections{"));
}

#[test]
fn no_two_series_are_the_same_in_any_format() {
    let metrics = Metrics::new();
    metrics.signal("HUP");
    let openmetrics = text(&metrics, &sample::status());
    for format in [Format::OpenMetrics, Format::Classic, Format::Both] {
        let text = format.of(openmetrics.clone());
        let mut seen = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with("# EOF")) {
            let series = if line.starts_with('#') {
                line
            } else {
                line.rsplit_once(' ').unwrap().0
            };
            assert!(seen.insert(series.to_owned()), "{format:?}: twice {series}");
        }
        assert_eq!(text.ends_with("# EOF\n"), format != Format::Classic);
    }
}
