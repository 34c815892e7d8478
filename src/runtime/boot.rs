//! SETS UP what has to be there before generation 1: settings, sockets, the subreaper. Up to here a failure is a
//! message and an exit code; nothing has been started.

use std::ffi::OsString;

use nix::unistd::getpid;

use super::{
    doors::Doors,
    front::Front,
    identity::{self, Decision},
    trapping::Trapping,
};
use crate::{
    handover::{inherited as passed, listener::Place, sockets::Sockets},
    machine::{Limits, Mode, Policy},
    process::{inherited::Inherited, send, terminal},
    settings::{
        self, Reading, Settings,
        value::{Address, Handover, Listen, LogFormat, Ready, RestartMode, RestartPolicy},
    },
    telemetry::log::Form,
};

/// Wrong settings (EX_CONFIG of sysexits.h).
pub(super) const BAD_SETTINGS: u8 = 78;
/// The system refused something (EX_OSERR).
pub(super) const SYSTEM_REFUSED: u8 = 71;

/// Why segue cannot even begin: the lines to print, and the exit code.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) lines: Vec<String>,
    pub(super) code: u8,
}

/// What is there once everything is set up.
#[derive(Debug)]
pub(super) struct Booted {
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) sockets: Sockets,
    /// What is served by segue itself.
    pub(super) front: Option<Front>,
    pub(super) trapping: Trapping,
    /// Why there is no hand-over although it was hoped for.
    pub(super) no_handover: Option<String>,
    /// Were the sockets in our environment for us?
    pub(super) given_sockets: bool,
    /// Name and text of every setting that is set.
    pub(super) given: Vec<(&'static str, String)>,
    /// For the log, once there is one.
    pub(super) warnings: Vec<String>,
    /// The same, of what is no fault.
    pub(super) note: Option<String>,
    pub(super) doors: Doors,
}

/// `adjust` has the last word on the settings: options of a command line.
pub(super) fn boot(
    environment: &[(OsString, OsString)],
    inherited: &Inherited,
    adjust: impl FnOnce(&mut Settings),
) -> Result<Booted, Refusal> {
    let refused = |lines| Refusal {
        lines,
        code: BAD_SETTINGS,
    };
    let reading = settings::read(environment.iter().cloned());
    let Reading {
        mut settings,
        warnings,
        given,
    } = reading.map_err(|faults| {
        let warnings = faults.warnings.iter().map(ToString::to_string);
        refused(faults.faults.iter().map(ToString::to_string).chain(warnings).collect())
    })?;
    adjust(&mut settings);
    let given_sockets = passed::are_ours(environment);
    let faults = settings.cross_check(given_sockets);
    if !faults.is_empty() {
        return Err(refused(faults.iter().map(ToString::to_string).collect()));
    }
    let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let note = identity(&settings).map_err(|why| refused(vec![why]))?;
    if let Some(signal) = settings.parent_death_signal
        && let Err(error) = send::when_parent_dies(signal.number())
    {
        warnings.push(format!("SEGUE_PARENT_DEATH_SIGNAL: {error}"));
    }

    let is_init = getpid().as_raw() == 1;
    if !is_init && let Err(error) = send::become_subreaper() {
        warnings.push(format!(
            "orphans go elsewhere: becoming a subreaper was refused ({error})"
        ));
    }
    let doors = Doors::open(&settings, inherited)?;
    let mut sockets = Sockets::default();
    let front = Front::open(&settings)?;
    if front.is_some() {
        warnings.extend(given_sockets.then(|| "SEGUE_PROXY: the sockets in LISTEN_FDS are not used".into()));
    } else if settings.handover == Handover::None {
        warnings.extend((!settings.listen.is_empty()).then(|| "SEGUE_HANDOVER=none: SEGUE_LISTEN is not used".into()));
    } else {
        sockets.add_given(passed::take(environment));
        bind(&settings.listen, &mut sockets)?;
    }
    let (trapping, no_handover) = trapping(&settings, given_sockets)?;
    let limits = limits(&settings);
    Ok(Booted {
        settings,
        limits,
        sockets,
        front,
        trapping,
        no_handover,
        given_sockets,
        given,
        warnings,
        note,
        doors,
    })
}

/// As whom the program is to run: a mistake is told before anything starts. There may be something to know about it.
pub(crate) fn identity(settings: &Settings) -> Result<Option<String>, String> {
    let Some(user) = &settings.user else { return Ok(None) };
    match identity::decide(user, settings.supplementary_groups.as_ref()) {
        Ok(Decision::Become(_, _, note) | Decision::Stay(note)) => Ok(note.map(|note| format!("SEGUE_USER: {note}"))),
        Err(why) => Err(format!("SEGUE_USER: {why}")),
    }
}

/// Are the program's own binds to be answered? `auto` is transparent where no sockets are declared.
fn trapping(settings: &Settings, given_sockets: bool) -> Result<(Trapping, Option<String>), Refusal> {
    let required = match settings.handover {
        Handover::Transparent => true,
        Handover::Auto if !settings.proxy.is_empty() => return Ok((Trapping::No, None)),
        Handover::Auto if settings.listen.is_empty() && !given_sockets => false,
        Handover::Auto | Handover::ListenFds | Handover::Proxy | Handover::None => return Ok((Trapping::No, None)),
    };
    match Trapping::new(required) {
        Ok(trapping) => Ok((trapping, None)),
        Err(why) if required => Err(Refusal {
            lines: vec![format!(
                "SEGUE_HANDOVER=\"transparent\": {why}; use auto, listen-fds, proxy or none"
            )],
            code: SYSTEM_REFUSED,
        }),
        Err(why) => Ok((Trapping::No, Some(why))),
    }
}

fn bind(addresses: &[Listen], sockets: &mut Sockets) -> Result<(), Refusal> {
    let mut lines = Vec::new();
    for Listen { name, address } in addresses {
        let name = name.clone().unwrap_or_else(|| "unknown".into());
        for (suffix, bound) in bind_one(&name, address, sockets) {
            if let Err(error) = bound {
                lines.push(format!(
                    "SEGUE_LISTEN: cannot listen on {address}{suffix}: {}",
                    reason(&error)
                ));
            }
        }
    }
    if lines.is_empty() {
        Ok(())
    } else {
        Err(Refusal {
            lines,
            code: SYSTEM_REFUSED,
        })
    }
}

fn bind_one(name: &str, address: &Address, sockets: &mut Sockets) -> Vec<(&'static str, std::io::Result<()>)> {
    match address {
        Address::Tcp(address) => vec![("", sockets.add_tcp(name.into(), Place::single(*address)))],
        Address::AnyInterface(port) => vec![("", sockets.add_tcp(name.into(), Place::any(*port)))],
        Address::Localhost(port) => crate::readiness::probe::loopbacks(*port)
            .into_iter()
            .filter(|address| address.is_ipv4() || crate::handover::listener::has_ipv6())
            .map(|address| {
                let family = if address.is_ipv4() { " (IPv4)" } else { " (IPv6)" };
                (family, sockets.add_tcp(name.into(), Place::single(address)))
            })
            .collect(),
        Address::Unix(path) => vec![("", sockets.add_unix(name.into(), path))],
    }
}

pub(super) fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => "somebody else listens there (address in use)".into(),
        Some(libc::EADDRNOTAVAIL) => "this machine does not have that address".into(),
        Some(libc::EACCES) => {
            "permission denied; ports below net.ipv4.ip_unprivileged_port_start need a privilege".into()
        }
        _ => error.to_string(),
    }
}

fn limits(settings: &Settings) -> Limits {
    let never_if_zero = |wait: std::time::Duration| (!wait.is_zero()).then_some(wait);
    Limits {
        stop_timeout: never_if_zero(settings.stop_timeout),
        drain_delay: settings.drain_delay,
        drain_timeout: settings.drain_timeout(),
        retire_timeout: settings.retire_timeout(),
        retire_drain_timeout: settings.retire_drain_timeout(),
        ready_timeout: settings.ready_timeout.limit(None),
        probation: settings.probation,
        // What else is to show readiness has been said, and in proxy mode a program that does not listen has no use.
        survival_proves: settings.ready == Ready::Auto && settings.proxy.is_empty(),
        mode: match settings.restart_mode {
            // Chosen before each restart.
            RestartMode::Auto | RestartMode::Overlap => Mode::Overlap,
            RestartMode::StopFirst => Mode::StopFirst,
        },
        policy: match settings.restart {
            RestartPolicy::Never => Policy::Never,
            RestartPolicy::OnFailure => Policy::OnFailure,
            RestartPolicy::Always => Policy::Always,
        },
        restart_delay: settings.restart_delay,
        restart_max_delay: settings.restart_max_delay,
        restart_limit: (settings.restart_limit > 0).then_some(settings.restart_limit),
        stable_delay: settings.stable_delay,
        pre_start: settings.pre_start.is_some(),
        post_stop: settings.post_stop.is_some(),
        success_codes: settings.success_codes.codes.clone(),
        success_signal: settings.success_codes.stop.then(|| settings.stop_signal().number()),
    }
}

/// The form of log lines.
pub(super) fn form(settings: &Settings) -> Form {
    match settings.log_format {
        LogFormat::Json => Form::Json,
        LogFormat::Text => Form::Text,
        LogFormat::Auto if terminal::is_stderr() => Form::Text,
        LogFormat::Auto => Form::Json,
    }
}
