//! The alerts and the dashboard name metrics that there are, with labels and values that they have; promtool reads the
//! alerts, and each of them fires when what it is for happens.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{pods::deployments, render, wiring::selects};

/// The labels of a metric, and the values that they have; none where they are open.
type Labels = &'static [(&'static str, &'static [&'static str])];

/// Every metric of segue's own; those with the label `le` are histograms.
pub(crate) const METRICS: [(&str, Labels); 19] = [
    ("segue_info", &[("version", &[])]),
    ("segue_generation", &[]),
    ("segue_generations_started_total", &[]),
    (
        "segue_restarts_total",
        &[
            ("reason", &["hup", "watch", "crash", "command"]),
            ("outcome", &["replaced", "rolled_back", "failed"]),
        ],
    ),
    ("segue_restart_duration_seconds", &[("le", &[])]),
    ("segue_ready", &[]),
    ("segue_draining", &[]),
    (
        "segue_connections",
        &[
            ("state", &["queued", "busy", "idle"]),
            ("generation", &["serving", "draining"]),
        ],
    ),
    ("segue_drain_duration_seconds", &[("le", &[])]),
    ("segue_connections_cut_total", &[]),
    ("segue_kills_total", &[]),
    ("segue_oom_kills_total", &[]),
    ("segue_reaped_total", &[("kind", &["program", "orphan"])]),
    ("segue_signals_total", &[("signal", &[])]),
    ("segue_program_exits_total", &[("kind", &["code", "signal"])]),
    ("segue_program_start_time_seconds", &[]),
    ("segue_watch_changes_total", &[]),
    ("segue_watch_backend", &[("backend", &[])]),
    ("segue_handover_method", &[("method", &[])]),
];

/// What Prometheus adds.
const TARGET: [&str; 5] = ["namespace", "job", "pod", "container", "instance"];

macro_rules! object {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Debug, Deserialize, Serialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(crate) struct $name { $($field: $type),* }
    };
}

object!(PrometheusRule {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: RuleSpec
});
object!(PodMonitor {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: MonitorSpec
});
object!(Metadata { name: String, labels: BTreeMap<String, String> });
object!(RuleSpec { groups: Vec<Group> });
object!(Group { name: String, rules: Vec<Rule> });
object!(MonitorSpec { job_label: String, selector: Selector, pod_metrics_endpoints: Vec<Endpoint> });
object!(Selector { match_labels: BTreeMap<String, String> });
object!(Endpoint {
    port: String,
    path: String,
    interval: String
});

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasting: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// Every text in a document that names one of segue's metrics.
fn expressions(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => text.contains("segue_").then_some(text.as_str()).into_iter().collect(),
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        Value::Object(fields) => fields.values().flat_map(expressions).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// The metrics that an expression names, each with what stands in braces after it.
fn named(expression: &str) -> Vec<(&str, &str)> {
    let starts = expression.match_indices("segue_").map(|(at, _)| &expression[at..]);
    starts
        .map(|rest| {
            let end = rest
                .find(|it: char| !it.is_ascii_lowercase() && it != '_')
                .unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            (name, matchers.map_or("", |(matchers, _)| matchers))
        })
        .collect()
}

/// The metric that a series belongs to.
fn metric(series: &str) -> Option<(&'static str, Labels)> {
    METRICS.into_iter().find(|(name, labels)| {
        let part = series.strip_prefix(name).unwrap_or("?");
        part.is_empty() && labels.iter().all(|(label, _)| *label != "le")
            || ["_bucket", "_sum", "_count"].contains(&part) && labels.iter().any(|(label, _)| *label == "le")
    })
}

pub(crate) fn faults(document: &Value) -> Vec<String> {
    let named = expressions(document).into_iter().flat_map(named);
    named
        .flat_map(|(series, matchers)| match metric(series) {
            Some((_, labels)) => matchers.split(',').filter_map(|it| matcher_fault(it, labels)).collect(),
            None => vec![format!("there is no metric {series}")],
        })
        .collect()
}

fn matcher_fault(matcher: &str, labels: Labels) -> Option<String> {
    let (label, value) = matcher.trim().split_once('=').filter(|_| !matcher.is_empty())?;
    let label = label.trim_end_matches('!');
    let value = value.trim_start_matches('~').trim_matches('"');
    if TARGET.contains(&label) {
        return None;
    }
    let known = labels.iter().find(|(name, _)| *name == label);
    let right = known.is_some_and(|(_, known)| known.is_empty() || value.split('|').all(|it| known.contains(&it)));
    (!right).then(|| format!("{label}={value} matches nothing"))
}

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

pub(crate) fn dashboard() -> Value {
    serde_json::from_str(&file("k8s/monitoring/grafana-dashboard.json")).unwrap()
}

pub(crate) fn rules() -> Value {
    render::documents(&file("k8s/monitoring/prometheus-rules.yaml")).remove(0)
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    assert_eq!((faults(&dashboard()), faults(&rules())), (Vec::new(), Vec::new()));
}

#[test]
fn the_dashboard_shows_every_metric() {
    let dashboard = dashboard();
    let shown = expressions(&dashboard).into_iter().flat_map(named);
    let shown: Vec<&str> = shown.filter_map(|(series, _)| Some(metric(series)?.0)).collect();
    for (name, _) in METRICS {
        assert!(shown.contains(&name), "{name}");
    }
}

#[test]
fn panels_are_apart_and_ask_the_chosen_source() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let number = |panel: &Value, name: &str| panel["gridPos"][name].as_u64().unwrap();
    let mut taken = std::collections::BTreeSet::new();
    let mut ids = std::collections::BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}", panel["title"]);
        for x in 0..number(panel, "w") {
            for y in 0..number(panel, "h") {
                let (x, y) = (number(panel, "x") + x, number(panel, "y") + y);
                assert!(x < 24 && taken.insert((x, y)), "{} lies on another", panel["title"]);
            }
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
    }
}

#[test]
fn the_monitor_finds_the_pods_and_their_port() {
    let (Some(monitoring), Some(base)) = (render::one("monitoring"), render::one("base")) else {
        return;
    };
    let monitor = monitoring.iter().find(|it| it["kind"] == "PodMonitor").unwrap();
    let deployment = deployments(&base).next().unwrap();
    assert!(selects(&monitor["spec"]["selector"]["matchLabels"], deployment));
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    let ports = &deployment["spec"]["template"]["spec"]["containers"][0]["ports"];
    assert!(ports.as_array().unwrap().iter().any(|it| it["name"] == *port));
    // The alert that segue is absent names the job, which is called after the label.
    let job = deployment["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        .as_str()
        .unwrap();
    let rules = rules();
    let absent = format!("absent(segue_info{{job=\"{job}\"}})");
    assert!(expressions(&rules).contains(&absent.as_str()), "no alert has {absent}");
}

#[test]
fn promtool_reads_every_alert_and_each_fires() {
    if !render::available("promtool", &["--version"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // JSON is YAML.
    fs::write(folder.path().join("rules.yaml"), rules()["spec"].to_string()).unwrap();
    fs::write(folder.path().join("alerts.yaml"), file("tests/k8s/alerts.yaml")).unwrap();
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "alerts.yaml"]] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(&folder)
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .concat();
        assert!(output.status.success(), "{told}");
    }
    for rule in rules()["spec"]["groups"][0]["rules"].as_array().unwrap() {
        let line = format!("alertname: {}\n", rule["alert"].as_str().unwrap());
        assert!(file("tests/k8s/alerts.yaml").contains(&line), "no test has {line}");
    }
}
