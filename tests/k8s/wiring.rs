//! Whatever names something else names what is there: selectors and labels, ports and probes, volumes and mounts.

use segue::settings::value::{Address, Admin, Value as _};
use serde_json::{Value, json};

use crate::{
    budget::variable,
    pods::{deployments, list},
};

pub(crate) fn faults(documents: &[Value]) -> Vec<String> {
    let unnamed = documents
        .iter()
        .filter(|it| it["metadata"]["labels"]["app.kubernetes.io/name"].is_null());
    let unnamed = unnamed.map(|it| format!("{} has no label app.kubernetes.io/name", it["kind"]));
    let selectors = documents.iter().filter_map(|it| selects_nothing(it, documents));
    let services = documents.iter().flat_map(|it| service_faults(it, documents));
    let budgets = documents.iter().filter_map(|it| no_room(it, documents));
    let pods = deployments(documents).flat_map(|it| pod_faults(it, documents));
    unnamed
        .chain(selectors)
        .chain(services)
        .chain(budgets)
        .chain(pods)
        .collect()
}

/// Whether every label of a selector is among the labels of the deployment's pods.
pub(crate) fn selects(selector: &Value, deployment: &Value) -> bool {
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let wanted = selector.as_object().filter(|wanted| !wanted.is_empty());
    wanted.is_some_and(|wanted| wanted.iter().all(|(name, value)| labels[name] == *value))
}

fn selects_nothing(document: &Value, documents: &[Value]) -> Option<String> {
    let selector = &document["spec"]["selector"];
    let selector = selector.get("matchLabels").unwrap_or(selector);
    // What is monitored is in another kustomization.
    let found = selector.is_null()
        || document["kind"] == "PodMonitor"
        || if document["kind"] == "Deployment" {
            selects(selector, document)
        } else {
            deployments(documents).any(|it| selects(selector, it))
        };
    (!found).then(|| format!("{} selects nothing with {selector}", document["kind"]))
}

fn service_faults(service: &Value, documents: &[Value]) -> Vec<String> {
    if service["kind"] != "Service" {
        return Vec::new();
    }
    let expected = json!({"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"});
    let only_http = list(&service["spec"], "ports").eq([&expected]);
    let other = (!only_http).then(|| format!("the Service has ports other than http: {}", service["spec"]["ports"]));
    let selected = deployments(documents).filter(|it| selects(&service["spec"]["selector"], it));
    let portless =
        selected.filter(|it| container_port(&it["spec"]["template"]["spec"]["containers"][0], "http").is_none());
    other
        .into_iter()
        .chain(portless.map(|_| "no container has the port http".to_owned()))
        .collect()
}

fn container_port(container: &Value, name: &str) -> Option<u64> {
    list(container, "ports").find(|port| port["name"] == name)?["containerPort"].as_u64()
}

/// A disruption budget that lets no pod go keeps a node for ever.
fn no_room(budget: &Value, documents: &[Value]) -> Option<String> {
    let (most, least) = (budget["spec"].get("maxUnavailable"), budget["spec"].get("minAvailable"));
    let selector = &budget["spec"]["selector"]["matchLabels"];
    let replicas = deployments(documents).find(|it| selects(selector, it))?["spec"]["replicas"]
        .as_u64()
        .unwrap_or(1);
    let room = match (most.and_then(Value::as_u64), least.and_then(Value::as_u64)) {
        (Some(most), None) => most >= 1 && most < replicas,
        (None, Some(least)) => least < replicas,
        _ => false,
    };
    (budget["kind"] == "PodDisruptionBudget" && !room).then(|| format!("no room: {} of {replicas}", budget["spec"]))
}

fn pod_faults(deployment: &Value, documents: &[Value]) -> Vec<String> {
    let pod = &deployment["spec"]["template"]["spec"];
    let spread = list(pod, "topologySpreadConstraints")
        .filter(|it| !selects(&it["labelSelector"]["matchLabels"], deployment))
        .map(|it| format!("a spread over {} selects other pods", it["topologyKey"]));
    let volumes = list(pod, "volumes").filter_map(|volume| {
        let name = volume["configMap"].get("name")?;
        let found = documents
            .iter()
            .any(|it| it["kind"] == "ConfigMap" && it["metadata"]["name"] == *name);
        (!found).then(|| format!("there is no ConfigMap {name}"))
    });
    let mounts = crate::pods::containers(pod).flat_map(|container| list(container, "volumeMounts"));
    let mounts = mounts
        .filter(|mount| !list(pod, "volumes").any(|volume| volume["name"] == mount["name"]))
        .map(|mount| format!("there is no volume {}", mount["name"]));
    let containers = list(pod, "containers").flat_map(container_faults);
    spread.chain(volumes).chain(mounts).chain(containers).collect()
}

fn container_faults(container: &Value) -> Vec<String> {
    let admin = variable(container, "SEGUE_ADMIN").map(Admin::parse);
    let Some(Ok(Admin::At(Address::AnyInterface(admin)))) = admin else {
        return vec![format!("SEGUE_ADMIN is no port on all interfaces: {admin:?}")];
    };
    let probes = [
        ("startupProbe", "/startupz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/livez"),
    ];
    let probes = probes.into_iter().filter_map(|(probe, path)| {
        let get = &container[probe]["httpGet"];
        let port = container_port(container, get["port"].as_str().unwrap_or_default());
        let right = get["path"] == path && port == Some(admin.into());
        (!right).then(|| format!("{probe} asks {get} instead of {path} on {admin}"))
    });
    let listen = variable(container, "SEGUE_LISTEN").map(|text| text.trim_start_matches(':').parse().ok());
    let port = container_port(container, "http");
    let elsewhere = listen
        .filter(|listen| *listen != port)
        .map(|it| format!("SEGUE_LISTEN is {it:?}, http {port:?}"));
    let unmounted = ["SEGUE_ENV_FILES", "SEGUE_WATCH"].into_iter().filter_map(|name| {
        let path = variable(container, name)?;
        let mounted =
            list(container, "volumeMounts").any(|mount| mount["mountPath"] == path && mount["subPath"].is_null());
        (!mounted).then(|| format!("{name}: nothing is mounted at {path}"))
    });
    probes.chain(elsewhere).chain(unmounted).collect()
}
