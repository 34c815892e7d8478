//! `segue restart`, `stop`, `drain` and `signal`: tell a running segue what to do, wait for it, and show how it goes.

use std::{
    ffi::OsString,
    io::{self, Write},
    time::{Duration, Instant, SystemTime},
};

use clap::{Arg, ArgAction, ArgMatches, Command as Clap};

use super::{
    duration,
    find::{find, own_settings, status},
    pause,
    say::{amount, short},
    settings::finish,
};
use crate::{
    control::{
        client::{Client, Silence},
        protocol::{Answer, Command},
        status::{Restart, Status},
    },
    settings::{
        Settings,
        value::{ReadyTimeout, RestartMode, Signal, Value},
    },
};

/// It did not come out as it was to.
const FAILED: u8 = 1;
/// It is still under way (EX_TEMPFAIL of sysexits.h).
const STILL_UNDER_WAY: u8 = 75;
/// Between two looks at what was asked for.
const INTERVAL: Duration = Duration::from_millis(100);

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// `segue restart`.
    Restart { wait: bool, limit: Option<Duration> },
    /// `segue stop`.
    Stop { wait: bool, limit: Option<Duration> },
    /// `segue drain`.
    Drain { limit: Option<Duration> },
    /// `segue signal`.
    Signal(Signal),
}

/// Their parts of the command line.
pub(super) fn commands() -> [Clap; 4] {
    let no_wait = || {
        let flag = Arg::new("no-wait").long("no-wait").action(ArgAction::SetTrue);
        flag.help("Return at once").conflicts_with("timeout")
    };
    [
        Clap::new("restart")
            .alias("reload")
            .about("Replace the program by a new generation, and tell how that came out")
            .after_help(
                "Exit code: 0 the new generation serves, 1 it was rolled back (and why), 75 still under way at the limit.\n\
                 Example: segue restart && echo deployed",
            )
            .args([no_wait(), duration("timeout", "Wait at most so long [default: as long as the settings allow it to take]")]),
        Clap::new("stop")
            .about("Stop gracefully, and show how the connections finish")
            .after_help("Exit code: 0 it has ended, 75 not within the limit.\nExample: segue stop --timeout 1m")
            .args([no_wait(), duration("timeout", "Wait at most so long [default: until it has ended]")]),
        Clap::new("drain")
            .about("Be ready no more, and wait until no connection is busy; the program goes on")
            .after_help(
                "For preStop: load balancers look away while everything is still served. It lasts SEGUE_DRAIN_DELAY at least, \
                 which the stop that follows is spared. Asking again only waits.\n\
                 Exit code: 0 no connection is busy, 75 some still are at the limit.\n\
                 Example: segue drain --wait 20s",
            )
            .arg(duration("wait", "Wait at most so long [default: SEGUE_DRAIN_DELAY and SEGUE_DRAIN_TIMEOUT together]")),
        Clap::new("signal")
            .about("Send a signal to the program of the serving generation")
            .after_help("Example: segue signal USR1")
            .arg(
                Arg::new("name").value_name("NAME").required(true).help("Such as USR1, SIGUSR1 or 10").value_parser(
                    |text: &str| Signal::parse(text).map_err(|reason| reason.to_string()),
                ),
            ),
    ]
}

/// What the command line says.
pub(super) fn order(name: &str, matches: &ArgMatches) -> Option<Order> {
    let limit = |name: &str| matches.get_one::<Duration>(name).copied();
    let wait = || !matches.get_flag("no-wait");
    Some(match name {
        "restart" => Order::Restart {
            wait: wait(),
            limit: limit("timeout"),
        },
        "stop" => Order::Stop {
            wait: wait(),
            limit: limit("timeout"),
        },
        "drain" => Order::Drain { limit: limit("wait") },
        "signal" => Order::Signal(*matches.get_one::<Signal>("name")?),
        _ => return None,
    })
}

/// Does it; the exit code.
pub(super) fn operate(order: &Order, vars: &[(OsString, OsString)], out: &mut dyn Write) -> u8 {
    let settings = own_settings(vars);
    let (name, done) = match order {
        Order::Restart { wait, limit } => ("restart", restart(&settings, *wait, *limit, out)),
        Order::Stop { wait, limit } => ("stop", stop(&settings, *wait, *limit, out)),
        Order::Drain { limit } => ("drain", drain(&settings, *limit, out)),
        Order::Signal(signal) => ("signal", signal_program(&settings, *signal)),
    };
    done.unwrap_or_else(|why| finish(&mut io::stderr(), &format!("segue {name}: {why}\n"), FAILED))
}

/// Why it could not be done.
type Why = Box<dyn std::error::Error>;

fn restart(settings: &Settings, wait: bool, limit: Option<Duration>, out: &mut dyn Write) -> Result<u8, Why> {
    let mut client = find(settings)?;
    let begin = Instant::now();
    let limit = limit.or_else(|| restart_limit(settings)).filter(|_| wait);
    match client.ask_for(&Command::Restart { wait }, limit) {
        Ok(Answer::Restart(restart)) => Ok(tell_restart(&mut client, &restart, out)),
        Ok(Answer::Done {}) => Ok(finish(
            out,
            "a restart was asked for; segue status tells how it comes out\n",
            0,
        )),
        Ok(answer) => Err(refusal(answer)),
        Err(Silence::Late) => {
            let text = format!(
                "segue restart: still under way after {}; segue status tells how it comes out\n",
                short(begin.elapsed())
            );
            Ok(finish(&mut io::stderr(), &text, STILL_UNDER_WAY))
        }
        Err(silence) => Err(silence.into()),
    }
}

/// The longest that a restart can take by the settings: two of them, for one may be under way; `None` without an end.
fn restart_limit(settings: &Settings) -> Option<Duration> {
    let ready = match settings.ready_timeout {
        // Only the running segue knows what the first generation took.
        ReadyTimeout::Auto => return None,
        ReadyTimeout::After(_) => settings.ready_timeout.limit(None)?,
    };
    let one = ready.saturating_add(settings.probation);
    let first = match settings.restart_mode {
        // The old one has no say in how long it takes.
        RestartMode::Overlap => settings.retire_timeout().unwrap_or_default(),
        RestartMode::Auto | RestartMode::StopFirst => settings.retire_timeout()?,
    };
    Some(one.saturating_add(first).saturating_mul(2))
}

fn tell_restart(client: &mut Client, restart: &Restart, out: &mut dyn Write) -> u8 {
    let new = restart
        .generation
        .map_or_else(|| "the new generation".to_owned(), |it| format!("generation {it}"));
    let took = short(Duration::from_millis(restart.took_ms));
    let why = restart.why.as_deref().unwrap_or("?");
    let (text, code) = match restart.outcome.as_str() {
        "replaced" => {
            let evidence = restart.evidence.as_ref();
            let evidence = evidence.filter(|_| restart.mode.as_deref() == Some("stop-first"));
            let evidence = evidence.map(|it| format!(" (stop-first: {it})")).unwrap_or_default();
            let serves = restart.why.as_ref().map(|why| format!("runs, after {took}: {why}"));
            let serves = serves.unwrap_or_else(|| format!("serves, after {took}"));
            (format!("{new} {serves}{evidence}\n"), 0)
        }
        "rolled_back" => {
            let old = status(client, false).ok().and_then(|it| it.generation);
            let old = old.map(|it| format!("; generation {it} goes on")).unwrap_or_default();
            let remedy = restart.remedy.as_deref();
            let remedy = remedy.map(|it| format!("what may help: {it}\n")).unwrap_or_default();
            (
                format!("{new} was rolled back after {took}: {why}{old}\n{remedy}"),
                FAILED,
            )
        }
        _ => (format!("the restart failed after {took}: {why}\n"), FAILED),
    };
    if code == 0 {
        finish(out, &text, 0)
    } else {
        finish(&mut io::stderr(), &format!("segue restart: {text}"), code)
    }
}

fn stop(settings: &Settings, wait: bool, limit: Option<Duration>, out: &mut dyn Write) -> Result<u8, Why> {
    let begin = Instant::now();
    let mut stopping = find(settings)?;
    if !wait {
        return match stopping.ask(&Command::Stop { wait })? {
            Answer::Done {} => Ok(finish(out, "a stop was asked for\n", 0)),
            answer @ (Answer::Status(_) | Answer::Restart(_) | Answer::Stopped { .. } | Answer::Error(_)) => {
                Err(refusal(answer))
            }
        };
    }
    let mut watching = find(settings)?;
    stopping.say(&Command::Stop { wait })?;
    let mut shown = String::new();
    let code = loop {
        match stopping.hear(Some(INTERVAL)) {
            Ok(Answer::Stopped { code }) => break Some(code),
            Ok(answer @ (Answer::Status(_) | Answer::Restart(_) | Answer::Done {} | Answer::Error(_))) => {
                return Err(refusal(answer));
            }
            Err(Silence::Ended) => break None,
            Err(Silence::Late) => {}
            Err(silence @ (Silence::NotUnderstood(_) | Silence::System(_))) => return Err(silence.into()),
        }
        let line = status(&mut watching, true).map(|status| stop_line(&status));
        match line {
            Ok(line) if line != shown => {
                finish(out, &format!("{line}\n"), 0);
                shown = line;
            }
            // What is wrong, if anything is, the other connection tells.
            Ok(_) | Err(_) => {}
        }
        if limit.is_some_and(|limit| begin.elapsed() >= limit) {
            let text = format!("segue stop: not within {}; it goes on\n", short(begin.elapsed()));
            return Ok(finish(&mut io::stderr(), &text, STILL_UNDER_WAY));
        }
    };
    let code = code.map(|code| format!(", with code {code}")).unwrap_or_default();
    Ok(finish(
        out,
        &format!("stopped, after {}{code}\n", short(begin.elapsed())),
        0,
    ))
}

/// What the stop waits for, in a line that changes when that does, and not with every moment.
fn stop_line(status: &Status) -> String {
    let roles: Vec<&str> = status.generations.iter().map(|it| it.role.as_str()).collect();
    let what = if roles.contains(&"draining") || roles.contains(&"serving") {
        "connections finish"
    } else if roles.is_empty() {
        "the last command runs"
    } else {
        "the program ends"
    };
    format!("{what}: {}", connections(status))
}

fn connections(status: &Status) -> String {
    let counted: Option<Vec<_>> = status.generations.iter().map(|it| it.connections).collect();
    let Some(counted) = counted else {
        return "connections cannot be counted".into();
    };
    let (waiting, idle) = counted
        .iter()
        .fold((0, 0), |sum, it| (sum.0 + it.queued + it.busy, sum.1 + it.idle));
    format!("{} busy, {idle} idle", amount(waiting, "connection"))
}

fn drain(settings: &Settings, limit: Option<Duration>, out: &mut dyn Write) -> Result<u8, Why> {
    let mut client = find(settings)?;
    let begin = Instant::now();
    match client.ask(&Command::Drain) {
        Ok(Answer::Done {}) => {}
        Ok(answer) => return Err(refusal(answer)),
        Err(silence) => return Err(silence.into()),
    }
    let limit = limit.or_else(|| Some(settings.drain_delay.saturating_add(settings.drain_timeout()?)));
    let mut shown = String::new();
    loop {
        let status = match status(&mut client, true) {
            Ok(status) => status,
            // There is nothing left that could be busy.
            Err(Silence::Ended) => return Ok(finish(out, "segue has ended\n", 0)),
            Err(silence) => return Err(silence.into()),
        };
        let since = status.draining.map(|it| it.ago(SystemTime::now()));
        let looked_away = since.is_some_and(|since| since >= settings.drain_delay);
        let mut busy = status
            .generations
            .iter()
            .map(|it| it.connections.map(|it| it.queued + it.busy));
        if looked_away && busy.all(|it| it == Some(0)) {
            return Ok(finish(out, &format!("not ready; {}\n", connections(&status)), 0));
        }
        let line = if looked_away {
            connections(&status)
        } else {
            // Without the time that is left, which would be another line each time.
            let delay = short(settings.drain_delay);
            format!("{}, and SEGUE_DRAIN_DELAY={delay} is not over", connections(&status))
        };
        if line != shown {
            shown.clone_from(&line);
            finish(out, &format!("not ready, waiting: {line}\n"), 0);
        }
        if limit.is_some_and(|limit| begin.elapsed() >= limit) {
            let text = format!("segue drain: after {} still {line}\n", short(begin.elapsed()));
            return Ok(finish(&mut io::stderr(), &text, STILL_UNDER_WAY));
        }
        pause(INTERVAL);
    }
}

fn signal_program(settings: &Settings, signal: Signal) -> Result<u8, Why> {
    let mut client = find(settings)?;
    match client.ask(&Command::Signal {
        signal: signal.number(),
    })? {
        Answer::Done {} => Ok(0),
        answer @ (Answer::Error(_) | Answer::Status(_) | Answer::Restart(_) | Answer::Stopped { .. }) => {
            Err(refusal(answer))
        }
    }
}

fn refusal(answer: Answer) -> Why {
    match answer {
        Answer::Error(why) => why.into(),
        Answer::Status(_) | Answer::Restart(_) | Answer::Stopped { .. } | Answer::Done {} => {
            "the answer is to another question".into()
        }
    }
}
