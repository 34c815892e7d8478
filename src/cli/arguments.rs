//! PARSES the command line. The words that run a program are told apart by hand, because that is what happens a
//! million times and must cost nothing; everything else goes through clap.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Arg, ArgAction, Command, value_parser};
use clap_complete::Shell;

use super::{USAGE, health, install, manual, operate, start, status, tini, verify};
use crate::{control::health::Probe, settings::value::HttpProbe};

/// The words that are commands; any other is a program.
const COMMANDS: [&str; 15] = [
    "start",
    "restart",
    "reload",
    "stop",
    "drain",
    "signal",
    "status",
    "health",
    "check",
    "settings",
    "verify",
    "completions",
    "man",
    "install",
    "help",
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Invocation {
    /// Run a program.
    Run {
        program: Vec<OsString>,
        options: tini::Options,
    },
    /// Run a program in the background.
    Start {
        program: Vec<OsString>,
        limit: Option<Duration>,
    },
    /// Tell the running segue what to do.
    Operate(operate::Order),
    /// Show how it is.
    Status(status::Options),
    /// Tell whether it is well.
    Health(Probe),
    /// Look at everything that could be wrong.
    Check {
        strict: bool,
        program: Option<Vec<OsString>>,
    },
    /// Show the settings.
    Settings { names: Vec<String>, json: bool },
    /// Prove that a program loses no request in restarts.
    Verify {
        options: verify::Options,
        program: Vec<OsString>,
    },
    /// Print completions for a shell.
    Completions(Shell),
    /// Print the manual page.
    Man,
    /// Copy the binary.
    Install(PathBuf),
}

/// A command line that is answered by a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) code: u8,
}

impl Answer {
    pub(super) fn usage(text: impl Into<String>) -> Answer {
        Answer {
            text: format!("segue: {}\n", text.into()),
            code: USAGE,
        }
    }
}

/// Parses the arguments, the zeroth included.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Invocation, Answer> {
    let mut words = arguments.into_iter();
    let own_name = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    if let Some(name) = tini::NAMES
        .iter()
        .find(|name| Path::new(&own_name).file_name() == Some(OsStr::new(name)))
    {
        let (program, options) = tini::parse(name, words)?;
        return Ok(Invocation::Run { program, options });
    }
    let Some(first) = words.first() else {
        return Err(no_program());
    };
    match first.to_str() {
        Some("--") => run(&words, 1),
        Some("run") => match words.get(1).and_then(|word| word.to_str()) {
            Some("--") => run(&words, 2),
            Some(option) if option.starts_with('-') => by_clap(words),
            Some(_) => run(&words, 1),
            None => run(&words, 1),
        },
        Some(name) if COMMANDS.contains(&name) => by_clap(words),
        Some(option) if option.starts_with('-') => by_clap(words),
        Some(_) | None => run(&words, 0),
    }
}

fn run(words: &[OsString], skip: usize) -> Result<Invocation, Answer> {
    let program: Vec<OsString> = words.iter().skip(skip).cloned().collect();
    if program.is_empty() {
        return Err(no_program());
    }
    Ok(Invocation::Run {
        program,
        options: tini::Options::default(),
    })
}

fn no_program() -> Answer {
    Answer::usage("no program to run; say which: segue -- PROGRAM [ARG…], or see segue --help")
}

fn by_clap(words: Vec<OsString>) -> Result<Invocation, Answer> {
    let matches = command()
        .no_binary_name(true)
        .try_get_matches_from(words)
        .map_err(|error| Answer {
            text: error.render().to_string(),
            code: if error.use_stderr() { USAGE } else { 0 },
        })?;
    let program = |matches: &clap::ArgMatches| -> Option<Vec<OsString>> {
        Some(matches.get_many::<OsString>("program")?.cloned().collect())
    };
    match matches.subcommand() {
        Some(("check", matches)) => Ok(Invocation::Check {
            strict: matches.get_flag("strict"),
            program: program(matches),
        }),
        Some(("settings", matches)) => Ok(Invocation::Settings {
            names: matches
                .get_many::<String>("name")
                .map(|names| names.cloned().collect())
                .unwrap_or_default(),
            json: matches.get_flag("json"),
        }),
        Some(("verify", matches)) => Ok(Invocation::Verify {
            options: verify::Options {
                url: matches.get_one::<HttpProbe>("url").cloned(),
                restarts: matches.get_one::<u32>("restarts").copied().unwrap_or_default(),
                rate: matches.get_one::<u32>("rate").copied().unwrap_or_default(),
                json: matches.get_flag("json"),
            },
            program: program(matches).ok_or_else(no_program)?,
        }),
        Some(("start", matches)) => Ok(Invocation::Start {
            program: program(matches).ok_or_else(no_program)?,
            limit: start::limit(matches),
        }),
        Some(("status", matches)) => Ok(Invocation::Status(status::Options::of(matches))),
        Some(("health", matches)) => Ok(Invocation::Health(health::probe(matches))),
        Some(("completions", matches)) => manual::shell(matches)
            .map(Invocation::Completions)
            .ok_or_else(no_program),
        Some(("man", _)) => Ok(Invocation::Man),
        Some(("install", matches)) => install::target(matches).map(Invocation::Install).ok_or_else(no_program),
        Some((name @ ("restart" | "stop" | "drain" | "signal"), matches)) => operate::order(name, matches)
            .map(Invocation::Operate)
            .ok_or_else(no_program),
        Some(("run", matches)) => program(matches).map_or_else(|| Err(no_program()), |program| run(&program, 0)),
        Some(_) | None => Err(no_program()),
    }
}

/// The whole command line, described.
pub(super) fn command() -> Command {
    let program = |help: &'static str| {
        let program = Arg::new("program").value_name("PROGRAM").help(help).num_args(1..);
        program
            .value_parser(value_parser!(OsString))
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
    };
    Command::new("segue")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A container entrypoint that restarts any program without dropping a connection")
        .after_help(
            "Every setting is an environment variable: see segue settings.\n\
             kill -HUP restarts the program, kill -TERM stops it gracefully.\n\
             Other commands than run and start are for a segue that runs already, in the same container.\n\n\
             Examples:\n  segue -- nginx -g 'daemon off;'\n  SEGUE_LISTEN=:8080 segue ./server\n  segue check -- ./server",
        )
        .override_usage("segue [run] [--] PROGRAM [ARG…]\n       segue COMMAND")
        .subcommand_required(true)
        .disable_help_subcommand(false)
        .subcommand(
            Command::new("run")
                .about("Run PROGRAM here, in the foreground (the word may be left out)")
                .after_help("Example: SEGUE_STOP_TIMEOUT=1m segue run -- ./server --port 8080")
                .arg(program("What to run, and its arguments")),
        )
        .subcommand(start::command().arg(program("What to run, and its arguments").required(true)))
        .subcommands(operate::commands())
        .subcommands([status::command(), health::command()])
        .subcommand(
            Command::new("check")
                .about("Look for everything that is wrong with the settings, PROGRAM, addresses and paths")
                .after_help("Exit code: 0 nothing is wrong, 78 something is.\nExample: segue check --strict -- ./server")
                .arg(Arg::new("strict").long("strict").help("Warnings are faults too").action(ArgAction::SetTrue))
                .arg(program("What would be run")),
        )
        .subcommand(
            Command::new("settings")
                .about("Show every setting: value, where it came from, default, meaning")
                .after_help("Example: segue settings STOP_TIMEOUT READY")
                .arg(Arg::new("name").value_name("NAME").help("Only these, with or without SEGUE_").num_args(0..))
                .arg(Arg::new("json").long("json").help("As JSON").action(ArgAction::SetTrue)),
        )
        .subcommand(verify::command().arg(program("What to prove it of").required(true)))
        .subcommands(manual::commands())
        .subcommand(install::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, Answer> {
        parse(line.split(' ').map(OsString::from).collect())
    }

    fn program(line: &str) -> Vec<String> {
        match parsed(line) {
            Ok(Invocation::Run { program, .. }) => {
                program.into_iter().map(|word| word.into_string().unwrap()).collect()
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_end_at_the_first_word_that_is_none() {
        assert_eq!(program("segue sh -c x"), ["sh", "-c", "x"]);
        assert_eq!(program("segue -- sh -c x"), ["sh", "-c", "x"]);
        assert_eq!(program("segue run sh -- x"), ["sh", "--", "x"]);
        assert_eq!(program("segue run -- check"), ["check"]);
        assert_eq!(program("segue -- restart"), ["restart"]);
        assert_eq!(program("/sbin/docker-init -s -- sh -g"), ["sh", "-g"]);
        assert_eq!(program("tini sh -g"), ["sh", "-g"]);
    }

    #[test]
    fn nothing_to_run_is_a_usage_error() {
        for line in [
            "segue",
            "segue --",
            "segue run",
            "segue run --",
            "tini",
            "tini --",
            "segue --nonsense sh",
        ] {
            let answer = parsed(line).unwrap_err();
            assert_eq!(answer.code, USAGE, "{line}: {}", answer.text);
        }
    }

    #[test]
    fn every_command_is_described_with_an_example() {
        let described = command();
        for name in COMMANDS.iter().filter(|it| !["help", "reload"].contains(it)) {
            let it = described.find_subcommand(name).unwrap_or_else(|| panic!("{name}"));
            let help = it.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example") && help.contains(name), "{name}: {help}");
            assert_eq!(parsed(&format!("segue {name} --help")).unwrap_err().code, 0, "{name}");
        }
        for it in described
            .get_subcommands()
            .map(Command::get_name)
            .filter(|it| *it != "run")
        {
            assert!(COMMANDS.contains(&it), "{it} would be run as a program");
        }
    }

    #[test]
    fn operating_commands() {
        let restart = |wait, limit| Ok(Invocation::Operate(operate::Order::Restart { wait, limit }));
        assert_eq!(parsed("segue restart"), restart(true, None));
        assert_eq!(parsed("segue reload --no-wait"), restart(false, None));
        assert_eq!(
            parsed("segue restart --timeout 1m30s"),
            restart(true, Some(Duration::from_secs(90)))
        );
        let drain = operate::Order::Drain {
            limit: Some(Duration::from_millis(500)),
        };
        assert_eq!(parsed("segue drain --wait 500ms"), Ok(Invocation::Operate(drain)));
        assert_eq!(parsed("segue health"), Ok(Invocation::Health(Probe::Ready)));
        assert_eq!(parsed("segue health live"), Ok(Invocation::Health(Probe::Live)));
        for (slip, why) in [
            ("restart --timeout 5", "did you mean 5s"),
            ("signal", "NAME"),
            ("signal TREM", "TERM"),
            ("health dead", "startup"),
            ("status --wait now", "stopped"),
            ("status --timeout 5s", "--wait"),
            ("completions csh", "zsh"),
            ("start", "PROGRAM"),
        ] {
            let answer = parsed(&format!("segue {slip}")).unwrap_err();
            assert!(
                answer.code == USAGE && answer.text.contains(why),
                "{slip}: {}",
                answer.text
            );
        }
    }

    #[test]
    fn help_and_version_are_no_errors() {
        for line in [
            "segue --help",
            "segue help",
            "segue --version",
            "segue check --help",
            "segue settings --help",
            "segue verify --help",
        ] {
            assert_eq!(parsed(line).unwrap_err().code, 0, "{line}");
        }
    }

    #[test]
    fn commands() {
        let strict = Invocation::Check {
            strict: true,
            program: Some(vec!["sh".into(), "-x".into()]),
        };
        assert_eq!(parsed("segue check --strict -- sh -x"), Ok(strict));
        let names = Invocation::Settings {
            names: vec!["READY".into()],
            json: true,
        };
        assert_eq!(parsed("segue settings --json READY"), Ok(names));
        command().debug_assert();
    }

    #[test]
    fn verify_has_defaults_and_knows_slips() {
        let options = |url: Option<&str>, restarts, rate, json| verify::Options {
            url: url.map(|url| verify::url(url).unwrap()),
            restarts,
            rate,
            json,
        };
        for (line, options) in [
            ("segue verify -- sh -x", options(None, 5, 500, false)),
            (
                "segue verify --url http://127.0.0.1:80/a --restarts 1 --rate 9 --json sh -x",
                options(Some("http://127.0.0.1:80/a"), 1, 9, true),
            ),
        ] {
            let program = vec!["sh".into(), "-x".into()];
            assert_eq!(parsed(line), Ok(Invocation::Verify { options, program }), "{line}");
        }
        for (slip, why) in [
            ("--url https://127.0.0.1/", "https"),
            ("--url http://app:80/", "no name service"),
            ("--url 127.0.0.1:80", "http://HOST:PORT/path"),
            ("--rate 0", "1"),
            ("--rate fast", "fast"),
            ("--restarts -1", "-1"),
        ] {
            let answer = parsed(&format!("segue verify {slip} -- sh")).unwrap_err();
            assert!(
                answer.code == USAGE && answer.text.contains(why),
                "{slip}: {}",
                answer.text
            );
        }
        assert_eq!(parsed("segue verify --json").unwrap_err().code, USAGE);
    }
}
