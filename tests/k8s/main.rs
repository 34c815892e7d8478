//! What k8s/ says: every manifest as `kubectl kustomize` renders it has the types that Kubernetes knows, keeps to the
//! restricted profile, gives segue settings that it reads and time that suffices, and names metrics that there are.
//! Nothing here needs a cluster. Without kubectl the tests are skipped, with `CI=true` they fail.
#![cfg(feature = "entrypoint")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::tests_outside_test_module,
    reason = "a test ends by panicking"
)]

mod budget;
mod monitoring;
mod mutations;
mod pods;
mod render;
mod shape;
mod wiring;

use render::Rendered;

/// Looks at the documents of one kustomization and says what is wrong, one line each.
type Check = fn(&[serde_json::Value]) -> Vec<String>;

/// Every check that is true of each kustomization.
const CHECKS: [(&str, Check); 5] = [
    ("types", shape::faults),
    ("restricted", pods::faults),
    ("settings", budget::setting_faults),
    ("budget", budget::faults),
    ("wiring", wiring::faults),
];

fn everywhere(name: &str) {
    let (_, check) = CHECKS.into_iter().find(|(known, _)| *known == name).unwrap();
    for Rendered { folder, documents } in render::all() {
        let faults = check(&documents);
        assert!(faults.is_empty(), "{folder}:\n{}", faults.join("\n"));
    }
}

#[test]
fn every_kustomization_renders() {
    let found: Vec<_> = render::all()
        .into_iter()
        .map(|Rendered { folder, documents }| (folder, documents.len()))
        .collect();
    let expected = [
        ("base", 4),
        ("monitoring", 3),
        ("overlays/dev", 3),
        ("overlays/inject", 3),
        ("overlays/prestop-drain", 4),
        ("overlays/reload-on-configmap", 4),
    ];
    assert!(
        found.is_empty()
            || found
                .iter()
                .map(|(folder, count)| (folder.as_str(), *count))
                .eq(expected),
        "{found:?}"
    );
}

#[test]
fn every_field_is_one_that_kubernetes_knows() {
    everywhere("types");
}

#[test]
fn every_pod_is_restricted() {
    everywhere("restricted");
}

#[test]
fn every_setting_is_read() {
    everywhere("settings");
}

#[test]
fn every_stop_has_the_time_that_it_needs() {
    everywhere("budget");
}

#[test]
fn what_names_something_else_names_what_is_there() {
    everywhere("wiring");
}

/// The list that dashboard and alerts are held against is what segue tells.
#[test]
fn the_metrics_are_those_that_segue_has() {
    let status = serde_json::json!({
        "version": "0", "pid": 1, "program": [], "since": "2026-01-01T00:00:00Z", "phase": "running", "ready": true,
        "started": true, "reason": "", "draining": null, "stop": null, "next_start": null, "generation": 1,
        "generations": [{
            "number": 1, "role": "serving", "pid": 2, "since": "2026-01-01T00:00:00Z", "ready": null, "listens": [],
            "connections": { "queued": 0, "busy": 0, "idle": 0 }
        }],
        "handover": { "mode": "transparent", "method": "ptrace", "why": null },
        "restarts": { "replaced": 0, "rolled_back": 0, "failed": 0 }, "last_restarts": [], "cut": 0, "settings": [],
        "watch": { "backend": "inotify and poll", "why": null, "files": 1, "directories": 1, "missing": [], "suspended": [] }
    });
    let text = segue::control::metrics::Metrics::new().openmetrics(&serde_json::from_value(status).unwrap());
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE segue_"));
    let told: std::collections::BTreeSet<String> = types
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            format!("segue_{name}{}", if kind == "counter" { "_total" } else { "" })
        })
        .collect();
    let listed = monitoring::METRICS.iter().map(|(name, _)| (*name).to_owned());
    let listed: std::collections::BTreeSet<String> = listed.collect();
    assert_eq!(told, listed);
}
