//! Reads each document as the type that its kind has, writes it again, and looks for what was lost on the way: Kubernetes
//! ignores a field that it does not know, and so do the types.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service},
    policy::v1::PodDisruptionBudget,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::monitoring::{PodMonitor, PrometheusRule};

pub(crate) fn faults(documents: &[Value]) -> Vec<String> {
    documents.iter().flat_map(document_faults).collect()
}

fn document_faults(document: &Value) -> Vec<String> {
    let text = |name: &str| document[name].as_str().unwrap_or_default();
    let typed = match (text("apiVersion"), text("kind")) {
        ("apps/v1", "Deployment") => again::<Deployment>(document),
        ("v1", "Service") => again::<Service>(document),
        ("v1", "ConfigMap") => again::<ConfigMap>(document),
        ("policy/v1", "PodDisruptionBudget") => again::<PodDisruptionBudget>(document),
        ("monitoring.coreos.com/v1", "PodMonitor") => again::<PodMonitor>(document),
        ("monitoring.coreos.com/v1", "PrometheusRule") => again::<PrometheusRule>(document),
        (version, kind) => Err(format!("no type is known for {version} {kind}")),
    };
    match typed {
        Ok(typed) => lost(text("kind"), document, &typed),
        Err(error) => vec![format!("{}: {error}", text("kind"))],
    }
}

fn again<T: DeserializeOwned + Serialize>(document: &Value) -> Result<Value, String> {
    let typed: T = serde_json::from_value(document.clone()).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

/// The paths of what is in `original` and not in `typed`.
fn lost(path: &str, original: &Value, typed: &Value) -> Vec<String> {
    match (original, typed) {
        (Value::Object(original), Value::Object(typed)) => original
            .iter()
            .flat_map(|(name, value)| match typed.get(name) {
                Some(typed) => lost(&format!("{path}.{name}"), value, typed),
                None => vec![format!("{path}.{name}: there is no such field")],
            })
            .collect(),
        (Value::Array(original), Value::Array(typed)) if original.len() == typed.len() => original
            .iter()
            .zip(typed)
            .enumerate()
            .flat_map(|(index, (original, typed))| lost(&format!("{path}[{index}]"), original, typed))
            .collect(),
        // A quantity may be a number, and is text when it comes back.
        (Value::Number(original), Value::String(typed)) if original.to_string() == *typed => Vec::new(),
        _ if original == typed => Vec::new(),
        _ => vec![format!("{path}: {original} is read as {typed}")],
    }
}

#[test]
fn what_is_lost_is_told() {
    let original = serde_json::json!({"a": {"b": 1, "c": [{"d": 2}]}, "cpu": 1});
    let typed = serde_json::json!({"a": {"c": [{}]}, "cpu": "1"});
    let expected = ["x.a.b: there is no such field", "x.a.c[0].d: there is no such field"];
    assert_eq!(lost("x", &original, &typed), expected);
}
