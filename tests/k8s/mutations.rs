//! Every check can fail: each line breaks one thing in the manifests, and the check that is for it has to tell.

use serde_json::Value;

use crate::{CHECKS, monitoring, render};

/// Where: the kustomization, the kind, the path in it. What: JSON that is put there; `null` takes away what there is. Who tells,
/// and a part of what it says.
const MUTATIONS: &str = r#"
base | Deployment | /spec/template/spec/restartPolice | "Always" | types | restartPolice
base | Deployment | CONTAINER/livenessProbe/periodSecond | 1 | types | livenessProbe.periodSecond:
base | Deployment | /spec/replicas | "three" | types | invalid type
base | Service | /spec/ports/0/targetport | 1 | types | ports[0].targetport
base | PodDisruptionBudget | /spec/maxUnavailible | 1 | types | maxUnavailible
base | ConfigMap | /date | {} | types | ConfigMap.date
base | ConfigMap | /kind | "ConfigMop" | types | no type is known
monitoring | PrometheusRule | /spec/groups/0/rules/0/fore | "5m" | types | unknown field `fore`
monitoring | PodMonitor | /spec/jobLable | "x" | types | unknown field `jobLable`
base | Deployment | POD/securityContext/runAsUser | 0 | restricted | securityContext
base | Deployment | POD/securityContext/runAsGroup | 0 | restricted | securityContext
base | Deployment | POD/securityContext/runAsNonRoot | null | restricted | securityContext
base | Deployment | POD/securityContext/seccompProfile/type | "Unconfined" | restricted | seccomp
base | Deployment | POD/automountServiceAccountToken | null | restricted | automount
base | Deployment | POD/enableServiceLinks | true | restricted | enableServiceLinks
base | Deployment | POD/hostNetwork | true | restricted | hostNetwork
base | Deployment | POD/volumes/0 | {"name": "x", "hostPath": {}} | restricted | neither
base | Deployment | /spec/strategy/rollingUpdate/maxUnavailable | 1 | restricted | strategy
base | Deployment | CONTAINER/securityContext/privileged | true | restricted | privileged
base | Deployment | CONTAINER/securityContext/readOnlyRootFilesystem | null | restricted | readOnly
base | Deployment | CONTAINER/securityContext/allowPrivilegeEscalation | true | restricted | allow
base | Deployment | CONTAINER/securityContext/capabilities/add | ["CHOWN"] | restricted | CHOWN
base | Deployment | CONTAINER/terminationMessagePolicy | null | restricted | terminationMessagePolicy
base | Deployment | CONTAINER/resources/limits/memory | null | restricted | limits/memory
base | Deployment | CONTAINER/ports/0/hostPort | 80 | restricted | hostPort
overlays/inject | Deployment | POD/initContainers/0/securityContext | {} | restricted | "segue"
base | Deployment | CONTAINER/env/0/name | "SEGUE_LISTN" | settings | did you mean SEGUE_LISTEN
base | Deployment | CONTAINER/env/2/value | "5" | settings | needs a unit
overlays/reload-on-configmap | Deployment | CONTAINER/env/1/value | "30" | settings | needs a unit
base | Deployment | POD/terminationGracePeriodSeconds | 44 | budget | 45s needed
base | Deployment | POD/terminationGracePeriodSeconds | null | budget | 30s of grace
base | Deployment | CONTAINER/env/2/value | "21s" | budget | delay and drain
base | Deployment | CONTAINER/env/3/value | "0" | budget | leaves the deadline
overlays/prestop-drain | Deployment | CONTAINER/lifecycle/preStop/exec/command/3 | "21s" | budget | 46s
overlays/prestop-drain | Deployment | CONTAINER/lifecycle/preStop/exec/command/1 | "x" | budget | nobody
base | Service | /spec/selector/app.kubernetes.io~1name | "other" | wiring | selects nothing
base | Service | /spec/ports/0/targetPort | "admin" | wiring | ports other than http
base | Service | /metadata/labels | null | wiring | has no label
base | Deployment | /spec/selector/matchLabels/app.kubernetes.io~1name | "x" | wiring | selects nothing
base | PodDisruptionBudget | /spec/selector/matchLabels/x | "y" | wiring | selects nothing
base | PodDisruptionBudget | /spec/maxUnavailable | 0 | wiring | no room
base | Deployment | /spec/replicas | 1 | wiring | no room
base | Deployment | CONTAINER/startupProbe/httpGet/path | "/startup" | wiring | startupProbe
base | Deployment | CONTAINER/readinessProbe/httpGet/port | "http" | wiring | readinessProbe
base | Deployment | CONTAINER/livenessProbe | null | wiring | livenessProbe
base | Deployment | CONTAINER/ports/1/containerPort | 9001 | wiring | on 9000
base | Deployment | CONTAINER/ports/0/containerPort | 80 | wiring | SEGUE_LISTEN
base | Deployment | CONTAINER/env/1/value | "127.0.0.1:9000" | wiring | no port on all interfaces
base | Deployment | CONTAINER/volumeMounts/0/mountPath | "/x" | wiring | nothing is mounted
base | Deployment | CONTAINER/volumeMounts/0/name | "x" | wiring | there is no volume
base | ConfigMap | /metadata/name | "x" | wiring | there is no ConfigMap
base | Deployment | POD/topologySpreadConstraints/0/labelSelector/matchLabels/x | "y" | wiring | selects other pods
"#;

const POD: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// Puts a value at a path, or takes what is there away.
fn put(document: &mut Value, path: &str, value: Value) {
    let (parent, name) = path.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/");
    let parent = document
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("there is no {parent}"));
    match parent.as_object_mut() {
        Some(fields) if value.is_null() => drop(fields.remove(&name).unwrap()),
        Some(fields) => drop(fields.insert(name, value)),
        None => parent[name.parse::<usize>().unwrap()] = value,
    }
}

#[test]
fn every_check_can_fail() {
    let rendered = render::all();
    if rendered.is_empty() {
        return;
    }
    for line in MUTATIONS.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(" | ").collect();
        let [folder, kind, path, value, check, expected] = words.try_into().unwrap();
        let rendered = rendered.iter().find(|rendered| rendered.folder == folder).unwrap();
        let mut documents = rendered.documents.clone();
        let document = documents.iter_mut().find(|document| document["kind"] == kind).unwrap();
        let path = path.replace("CONTAINER", CONTAINER).replace("POD", POD);
        put(document, &path, serde_json::from_str(value).unwrap());
        let (_, check) = CHECKS.into_iter().find(|(name, _)| *name == check).unwrap();
        let faults = check(&documents).join("\n");
        assert!(faults.contains(expected), "{line}: it says\n{faults}");
    }
}

#[test]
fn a_metric_that_there_is_not_is_told() {
    for (right, wrong, expected) in [
        ("segue_kills_total", "segue_kill_total", "no metric segue_kill_total"),
        ("outcome=\\\"failed", "outcome=\\\"broken", "outcome=broken"),
        (
            "segue_restarts_total{outcome",
            "segue_restarts_total{result",
            "result=failed",
        ),
    ] {
        let text = monitoring::rules().to_string();
        assert!(text.contains(right), "{right}");
        let faults = monitoring::faults(&serde_json::from_str(&text.replace(right, wrong)).unwrap()).join("\n");
        assert!(faults.contains(expected), "{faults}");
    }
    let text = monitoring::dashboard()
        .to_string()
        .replace("duration_seconds_bucket", "duration_seconds");
    assert!(!monitoring::faults(&serde_json::from_str(&text).unwrap()).is_empty());
}
