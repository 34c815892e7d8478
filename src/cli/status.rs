//! `segue status`: how segue and its program are, as a table that people like to read, as JSON, again and again, or once a
//! state is reached.

use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal, Write},
    time::{Duration, Instant, SystemTime},
};

use clap::{Arg, ArgAction, ArgMatches, Command as Clap, builder::PossibleValuesParser};

use super::{
    duration,
    find::{Missing, find, own_settings, status},
    pause,
    say::{Paint, short},
    settings::finish,
    table::table,
};
use crate::{
    control::{client::Silence, status::Status},
    settings::Settings,
};

const NOT_RUNNING: u8 = 1;
const NOT_READY: u8 = 3;
/// The state did not come in time (EX_TEMPFAIL of sysexits.h).
const NOT_YET: u8 = 75;
/// Between two looks at a state that is waited for, and between two pictures.
const INTERVAL: Duration = Duration::from_millis(100);
const REFRESH: Duration = Duration::from_secs(1);

/// A state that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    Ready,
    Stopped,
}

/// What the command line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    json: bool,
    watch: bool,
    wait: Option<Awaited>,
    limit: Option<Duration>,
}

/// Its part of the command line.
pub(super) fn command() -> Clap {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    Clap::new("status")
        .about("Show how segue and its program are")
        .after_help(
            "Exit code: 0 ready, 1 not running, 3 running but not ready; with --wait stopped 0 it has ended, 75 not in time.\n\
             Example: segue status --wait ready --timeout 30s",
        )
        .args([
            flag("json", "As one JSON object"),
            flag("watch", "Again every second").conflicts_with("wait"),
            Arg::new("wait")
                .long("wait")
                .value_name("STATE")
                .help("Return once it is ready, or stopped")
                .value_parser(PossibleValuesParser::new(["ready", "stopped"])),
            duration("timeout", "Wait at most so long [default: without end]").requires("wait"),
        ])
}

impl Options {
    pub(super) fn of(matches: &ArgMatches) -> Options {
        let wait = matches.get_one::<String>("wait").map(String::as_str);
        Options {
            json: matches.get_flag("json"),
            watch: matches.get_flag("watch"),
            wait: wait.map(|it| {
                if it == "ready" {
                    Awaited::Ready
                } else {
                    Awaited::Stopped
                }
            }),
            limit: matches.get_one::<Duration>("timeout").copied(),
        }
    }
}

/// Shows it; the exit code.
pub(super) fn show(options: &Options, vars: &[(OsString, OsString)], out: &mut dyn Write) -> u8 {
    let settings = own_settings(vars);
    let var = |name: &str| vars.iter().find(|it| it.0 == name).map(|it| it.1.as_os_str());
    let terminal = io::stdout().is_terminal();
    let view = View {
        json: options.json,
        paint: Paint::wanted(terminal, var("NO_COLOR"), var("TERM")),
        clears: terminal && var("TERM") != Some(OsStr::new("dumb")),
    };
    match (options.wait, options.watch) {
        (Some(state), _) => wait(&settings, state, options.limit, &view, out),
        (None, true) => watch(&settings, &view, out),
        (None, false) => match look(&settings) {
            Ok(status) => view.show(&status, out),
            Err(why) => missing(&why),
        },
    }
}

fn look(settings: &Settings) -> Result<Status, Missing> {
    let mut client = find(settings)?;
    status(&mut client, true).map_err(|silence| match silence {
        Silence::Ended => Missing::NotRunning(silence.to_string()),
        Silence::Late | Silence::NotUnderstood(_) | Silence::System(_) => Missing::Closed(silence.to_string()),
    })
}

fn missing(why: &Missing) -> u8 {
    finish(&mut io::stderr(), &format!("segue status: {why}\n"), NOT_RUNNING)
}

fn wait(settings: &Settings, state: Awaited, limit: Option<Duration>, view: &View, out: &mut dyn Write) -> u8 {
    let begin = Instant::now();
    loop {
        let looked = look(settings);
        let late = limit.is_some_and(|limit| begin.elapsed() >= limit);
        match (state, looked) {
            (Awaited::Ready, Ok(status)) if status.ready || late => return view.show(&status, out),
            // One that is only about to start has no socket yet.
            (Awaited::Ready, Err(why)) if late => return missing(&why),
            (Awaited::Stopped, Err(why)) if why.is_not_running() => return finish(out, "stopped\n", 0),
            (Awaited::Stopped, Err(why)) if late => return missing(&why),
            (Awaited::Stopped, Ok(_)) if late => {
                let text = format!("segue status: not stopped within {}\n", short(begin.elapsed()));
                return finish(&mut io::stderr(), &text, NOT_YET);
            }
            (Awaited::Ready | Awaited::Stopped, Ok(_) | Err(_)) => pause(INTERVAL),
        }
    }
}

/// Until the reader is gone, or segue.
fn watch(settings: &Settings, view: &View, out: &mut dyn Write) -> u8 {
    loop {
        let status = match look(settings) {
            Ok(status) => status,
            Err(why) => return missing(&why),
        };
        let clear = if view.clears { "\x1b[H\x1b[2J" } else { "" };
        let text = format!("{clear}{}", view.text(&status));
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return view.code(&status);
        }
        pause(REFRESH);
    }
}

struct View {
    json: bool,
    paint: Paint,
    clears: bool,
}

impl View {
    fn show(&self, status: &Status, out: &mut dyn Write) -> u8 {
        finish(out, &self.text(status), self.code(status))
    }

    #[expect(clippy::unused_self, reason = "how a status is seen is what a view is")]
    fn code(&self, status: &Status) -> u8 {
        if status.ready { 0 } else { NOT_READY }
    }

    fn text(&self, status: &Status) -> String {
        if self.json {
            let json = serde_json::to_string_pretty(status).unwrap_or_default();
            return format!("{json}\n");
        }
        table(status, self.paint, SystemTime::now())
    }
}
