//! READS what segue itself takes, out of /proc/self, whenever metrics are asked for: the standard `process_*` metrics. What
//! cannot be read is left out; nothing is guessed.

use std::{fs, sync::OnceLock};

use nix::{
    sys::resource::{RLIM_INFINITY, Resource, getrlimit},
    unistd::{SysconfVar, sysconf},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{TypedMetric, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use super::stat::Stat;

/// Reads at each encoding.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// When the system was started, in seconds: it does not change, and the file that has it can be long.
    boot: OnceLock<Option<u64>>,
}

fn configured(variable: SysconfVar) -> Option<u64> {
    let value = sysconf(variable).ok().flatten()?;
    u64::try_from(value).ok().filter(|value| *value > 0)
}

fn limit(resource: Resource) -> Option<u64> {
    let (soft, _) = getrlimit(resource).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}

fn boot() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "less than a tick in centuries")]
fn seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second as f64
}

impl Collector for Own {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut put = |name: &str, help: &str, unit: Option<Unit>, metric: &dyn Metric| {
            metric.put(&mut encoder, name, help, unit)
        };
        let stat = fs::read_to_string("/proc/self/stat")
            .ok()
            .as_deref()
            .and_then(Stat::parse);
        if let Some(stat) = stat {
            put("process_threads", "Threads", None, &ConstGauge::new(stat.threads))?;
            put(
                "process_virtual_memory",
                "Size of the address space",
                Some(Unit::Bytes),
                &ConstGauge::new(stat.virtual_memory),
            )?;
            if let Some(page) = configured(SysconfVar::PAGE_SIZE) {
                let resident = ConstGauge::new(stat.resident.saturating_mul(page));
                put("process_resident_memory", "Memory in use", Some(Unit::Bytes), &resident)?;
            }
            if let Some(ticks) = configured(SysconfVar::CLK_TCK) {
                let cpu = ConstCounter::new(seconds(stat.cpu, ticks));
                put(
                    "process_cpu",
                    "CPU time, user's and system's",
                    Some(Unit::Seconds),
                    &cpu,
                )?;
                if let Some(boot) = self.boot.get_or_init(boot) {
                    let since = seconds(boot.saturating_mul(ticks).saturating_add(stat.start), ticks);
                    let help = "When segue was started, since the epoch";
                    put("process_start_time", help, Some(Unit::Seconds), &ConstGauge::new(since))?;
                }
            }
        }
        if let Some(most) = limit(Resource::RLIMIT_AS) {
            let help = "Largest address space that is allowed";
            put(
                "process_virtual_memory_max",
                help,
                Some(Unit::Bytes),
                &ConstGauge::new(most),
            )?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // The directory that is being read is one of them.
            let open = u64::try_from(files.count()).unwrap_or(u64::MAX).saturating_sub(1);
            put("process_open_fds", "Open files", None, &ConstGauge::new(open))?;
        }
        if let Some(most) = limit(Resource::RLIMIT_NOFILE) {
            put(
                "process_max_fds",
                "Files that may be open",
                None,
                &ConstGauge::new(most),
            )?;
        }
        Ok(())
    }
}

/// A metric of any type, with its value.
trait Metric {
    fn put(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<Unit>,
    ) -> Result<(), std::fmt::Error>;
}

impl<T: EncodeMetric + TypedMetric> Metric for T {
    fn put(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<Unit>,
    ) -> Result<(), std::fmt::Error> {
        // As the registry does for all others.
        let help = format!("{help}.");
        self.encode(encoder.encode_descriptor(name, &help, unit.as_ref(), T::TYPE)?)
    }
}
