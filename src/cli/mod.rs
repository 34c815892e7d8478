//! ANSWERS the command line: one file per command, every one of which writes to the writer that it is given and returns
//! an exit code.

mod arguments;
pub mod check;
pub mod settings;
mod tini;
mod verify;

use std::{
    ffi::OsString,
    io::{self, Write},
    panic::catch_unwind,
};

use self::arguments::Invocation;
use crate::{process::inherited::Inherited, runtime, settings::Settings};

/// The command line makes no sense (EX_USAGE of sysexits.h).
const USAGE: u8 = 64;
/// A fault of segue's own (EX_SOFTWARE).
const INTERNAL: u8 = 70;

/// The whole life of the process; its exit code.
#[must_use]
pub fn main() -> u8 {
    // Before anything else, so that no signal is lost and everything is seen as it was.
    let inherited = Inherited::take();
    catch_unwind(|| answer(inherited)).unwrap_or(INTERNAL)
}

fn answer(inherited: Inherited) -> u8 {
    let arguments: Vec<OsString> = std::env::args_os().collect();
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
    match invocation {
        Invocation::Run { program, options } => {
            runtime::run(inherited, program, |settings: &mut Settings| options.apply(settings))
        }
        Invocation::Check { strict, program } => {
            inherited.restore();
            check::check(std::env::vars_os(), strict, program.as_deref(), &mut io::stdout())
        }
        Invocation::Settings { names, json } => {
            inherited.restore();
            settings::print(std::env::vars_os(), &names, json, &mut io::stdout())
        }
        Invocation::Verify { options, program } => {
            let environment = std::env::vars_os().collect();
            verify::verify(&options, program, environment, &inherited, &mut io::stdout())
        }
    }
}
