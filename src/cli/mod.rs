//! ANSWERS the command line: one file per command, every one of which writes to the writer that it is given and returns
//! an exit code.

mod arguments;
pub mod check;
mod find;
mod health;
mod install;
mod manual;
mod operate;
mod say;
pub mod settings;
mod start;
mod status;
mod table;
mod tini;
mod verify;

use std::{
    ffi::OsString,
    io::{self, Write},
    panic::catch_unwind,
    time::Duration,
};

use self::arguments::Invocation;
use crate::{
    process::inherited::Inherited,
    runtime,
    settings::{Settings, value::Value},
};

/// The command line makes no sense (EX_USAGE of sysexits.h).
const USAGE: u8 = 64;
/// A fault of segue's own (EX_SOFTWARE).
const INTERNAL: u8 = 70;

/// The whole life of the process; its exit code.
#[must_use]
pub fn main() -> u8 {
    // It is taken before anything else, so that no signal is lost and everything is seen as it was.
    catch_unwind(|| answer(Inherited::take())).unwrap_or(INTERNAL)
}

fn answer(inherited: Inherited) -> u8 {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(words) = runtime::helping::words(&arguments) {
        return runtime::helping::help(inherited, words);
    }
    let invocation = match arguments::parse(arguments) {
        Ok(invocation) => invocation,
        Err(answer) => {
            inherited.restore();
            let mut out: Box<dyn Write> = if answer.code == 0 {
                Box::new(io::stdout())
            } else {
                Box::new(io::stderr())
            };
            let written = out.write_all(answer.text.as_bytes());
            // A reader who is gone is told nothing.
            return if written.is_ok() { answer.code } else { INTERNAL };
        }
    };
    if let Invocation::Run { program, options } = invocation {
        return runtime::run(inherited, program, |settings: &mut Settings| options.apply(settings));
    }
    let vars: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let out = &mut io::stdout();
    if let Invocation::Verify { options, program } = invocation {
        return verify::verify(&options, program, vars, &inherited, out);
    }
    // The others are commands like any: a Ctrl-C ends them.
    inherited.restore();
    match invocation {
        Invocation::Run { .. } | Invocation::Verify { .. } => INTERNAL,
        Invocation::Start { program, limit } => start::start(&program, limit, vars, &inherited, out),
        Invocation::Operate(order) => operate::operate(&order, &vars, out),
        Invocation::Status(options) => status::show(&options, &vars, out),
        Invocation::Health(probe) => health::health(probe, &vars, out),
        Invocation::Check { strict, program } => check::check(vars, strict, program.as_deref(), out),
        Invocation::Settings { names, json } => settings::print(vars, &names, json, out),
        Invocation::Completions(shell) => manual::completions(arguments::command(), shell, out),
        Invocation::Man => manual::man(arguments::command(), out),
        Invocation::Install(target) => install::install(&target, out),
    }
}

/// Waits before the next look at a segue.
#[expect(clippy::disallowed_methods, reason = "a command's process has nothing else to do")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// An option that takes a duration, spelled as in the settings.
fn duration(name: &'static str, help: &'static str) -> clap::Arg {
    clap::Arg::new(name)
        .long(name)
        .value_name("D")
        .help(help)
        .value_parser(|text: &str| <Duration as Value>::parse(text).map_err(|reason| reason.to_string()))
}
