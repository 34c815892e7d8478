//! The restricted profile of the pod security standards, and what goes beyond it here: a read-only root, no token, no
//! service links. The whole security context is compared, so that nothing can be added to it unseen.

use serde_json::{Value, json};

pub(crate) fn faults(documents: &[Value]) -> Vec<String> {
    deployments(documents).flat_map(deployment_faults).collect()
}

pub(crate) fn deployments(documents: &[Value]) -> impl Iterator<Item = &Value> {
    documents.iter().filter(|document| document["kind"] == "Deployment")
}

pub(crate) fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[name].as_array().into_iter().flatten()
}

/// Containers and init containers.
pub(crate) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(pod, "initContainers").chain(list(pod, "containers"))
}

fn deployment_faults(deployment: &Value) -> Vec<String> {
    let pod = &deployment["spec"]["template"]["spec"];
    let context = json!({
        "runAsNonRoot": true,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let of_pod = [
        ("securityContext", context),
        ("automountServiceAccountToken", json!(false)),
        ("enableServiceLinks", json!(false)),
        ("hostNetwork", Value::Null),
        ("hostPID", Value::Null),
        ("hostIPC", Value::Null),
        ("shareProcessNamespace", Value::Null),
    ];
    let update = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let strategy = unlike("Deployment", &deployment["spec"], "strategy", &update);
    let of_pod = of_pod
        .iter()
        .filter_map(|(name, expected)| unlike("pod", pod, name, expected));
    let volumes = list(pod, "volumes").filter_map(|volume| {
        let harmless = volume.get("configMap").or_else(|| volume.get("emptyDir")).is_some();
        (!harmless).then(|| format!("volume {} is neither configMap nor emptyDir", volume["name"]))
    });
    let containers = containers(pod).flat_map(container_faults);
    strategy
        .into_iter()
        .chain(of_pod)
        .chain(volumes)
        .chain(containers)
        .collect()
}

fn container_faults(container: &Value) -> Vec<String> {
    let name = container["name"].to_string();
    let context = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    let expected = [
        ("securityContext", context),
        ("terminationMessagePolicy", json!("FallbackToLogsOnError")),
    ];
    let unlike = expected
        .iter()
        .filter_map(|(field, expected)| unlike(&name, container, field, expected));
    let resources = ["/requests/cpu", "/requests/memory", "/limits/memory"]
        .into_iter()
        .filter(|path| container["resources"].pointer(path).is_none())
        .map(|path| format!("{name}: resources{path} is missing"));
    let ports = list(container, "ports")
        .filter(|port| port.get("hostPort").is_some())
        .map(|_| format!("{name}: a hostPort"));
    unlike.chain(resources).chain(ports).collect()
}

fn unlike(owner: &str, value: &Value, field: &str, expected: &Value) -> Option<String> {
    let found = &value[field];
    (found != expected).then(|| format!("{owner}: {field} is {found} instead of {expected}"))
}
