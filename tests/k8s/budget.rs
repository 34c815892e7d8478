//! What the manifests tell segue, and whether the time that the kubelet gives suffices for it:
//!
//! - terminationGracePeriodSeconds ≥ preStop + SEGUE_STOP_TIMEOUT + 5 s
//! - SEGUE_STOP_TIMEOUT ≥ SEGUE_DRAIN_DELAY + SEGUE_DRAIN_TIMEOUT

use std::{ffi::OsString, time::Duration};

use segue::settings::{self, Settings, value::Value as _};
use serde_json::Value;

use crate::pods::{containers, deployments, list};

/// For what the program left behind, `SEGUE_POST_STOP` and the kubelet itself.
const MARGIN: Duration = Duration::from_secs(5);

pub(crate) fn setting_faults(documents: &[Value]) -> Vec<String> {
    let pods = deployments(documents).map(|deployment| &deployment["spec"]["template"]["spec"]);
    pods.flat_map(containers)
        .filter_map(|container| read(container).err())
        .flatten()
        .collect()
}

pub(crate) fn faults(documents: &[Value]) -> Vec<String> {
    let pods = deployments(documents).map(|deployment| &deployment["spec"]["template"]["spec"]);
    pods.flat_map(|pod| list(pod, "containers").flat_map(move |container| too_short(pod, container)))
        .collect()
}

/// A variable's value as the container's `env` gives it.
pub(crate) fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    list(container, "env").find(|it| it["name"] == name)?["value"].as_str()
}

/// The settings of a container.
fn read(container: &Value) -> Result<Settings, Vec<String>> {
    let vars = list(container, "env").map(|it| {
        let text = |name: &str| OsString::from(it[name].as_str().unwrap_or_default());
        (text("name"), text("value"))
    });
    let tell = |warnings: Vec<settings::Warning>| warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
    let reading = settings::read(vars).map_err(|faults| vec![faults.to_string()])?;
    if reading.warnings.is_empty() {
        Ok(reading.settings)
    } else {
        Err(tell(reading.warnings))
    }
}

fn too_short(pod: &Value, container: &Value) -> Vec<String> {
    // What cannot be read is told by `setting_faults`.
    let Ok(settings) = read(container) else {
        return Vec::new();
    };
    let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30));
    let hook = match hook(&container["lifecycle"]["preStop"]) {
        Ok(hook) => hook,
        Err(fault) => return vec![fault],
    };
    let stop = settings.stop_timeout;
    let never = stop
        .is_zero()
        .then(|| "SEGUE_STOP_TIMEOUT=0 leaves the deadline to the kubelet".to_owned());
    let needed = hook + stop + MARGIN;
    let late = (grace < needed).then(|| format!("{grace:?} of grace, {needed:?} needed"));
    let phases = settings.drain_delay + settings.drain_timeout().unwrap_or_default();
    let crowded = (phases > stop).then(|| format!("delay and drain take {phases:?}, SEGUE_STOP_TIMEOUT is {stop:?}"));
    never.into_iter().chain(late).chain(crowded).collect()
}

/// How long a preStop hook takes at most.
fn hook(hook: &Value) -> Result<Duration, String> {
    if hook.is_null() {
        return Ok(Duration::ZERO);
    }
    let words: Option<Vec<&str>> = list(&hook["exec"], "command").map(Value::as_str).collect();
    match words.as_deref() {
        Some([_, "drain", "--wait", wait]) => Duration::parse(wait).map_err(|reason| reason.to_string()),
        _ => Err(format!("nobody knows how long this preStop takes: {hook}")),
    }
}
