//! `segue completions SHELL`, `segue man`: printed from the command line's own description and the table of settings.

use std::io::{self, Write};

use clap::{Arg, ArgMatches, Command as Clap, value_parser};
use clap_complete::Shell;

use super::settings::finish;
use crate::settings::TABLE;

/// Their parts of the command line.
pub(super) fn commands() -> [Clap; 2] {
    [
        Clap::new("completions")
            .about("Print completions for a shell")
            .after_help("Example: segue completions bash > /etc/bash_completion.d/segue")
            .arg(
                Arg::new("shell")
                    .value_name("SHELL")
                    .help("bash, elvish, fish, powershell or zsh")
                    .required(true)
                    .value_parser(value_parser!(Shell)),
            ),
        Clap::new("man")
            .about("Print the manual page")
            .after_help("Example: segue man > /usr/local/share/man/man1/segue.1"),
    ]
}

/// Which shell?
pub(super) fn shell(matches: &ArgMatches) -> Option<Shell> {
    matches.get_one::<Shell>("shell").copied()
}

/// Prints the completions.
pub(super) fn completions(mut command: Clap, shell: Shell, out: &mut dyn Write) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "segue", &mut script);
    finish(out, &String::from_utf8_lossy(&script), 0)
}

/// Prints the manual page: every command, every setting, the signals and the exit codes.
pub(super) fn man(command: Clap, out: &mut dyn Write) -> u8 {
    match page(command) {
        Ok(page) => finish(out, &String::from_utf8_lossy(&page), 0),
        Err(error) => finish(&mut io::stderr(), &format!("segue man: {error}\n"), super::INTERNAL),
    }
}

fn page(command: Clap) -> io::Result<Vec<u8>> {
    let commands: Vec<Clap> = command
        .get_subcommands()
        .filter(|it| !it.is_hide_set())
        .cloned()
        .collect();
    let manual = clap_mangen::Man::new(command).manual("Segue");
    let mut page = Vec::new();
    manual.render_title(&mut page)?;
    manual.render_name_section(&mut page)?;
    manual.render_synopsis_section(&mut page)?;
    manual.render_description_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    for command in commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(page, ".SS {}\n{}", escaped(command.get_name()), escaped(&about))?;
        for argument in command
            .get_arguments()
            .filter(|it| !it.is_hide_set() && it.get_id() != "help")
        {
            let long = argument.get_long().map(|long| format!("--{long}"));
            let value = argument
                .get_value_names()
                .and_then(|names| names.first().map(ToString::to_string));
            let value = value.filter(|_| argument.get_action().takes_values());
            let name = [long, value].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            writeln!(page, ".TP\n\\fB{}\\fR\n{}", escaped(&name), escaped(&help))?;
        }
        if let Some(more) = command.get_after_help() {
            for line in more.to_string().lines() {
                writeln!(page, ".PP\n{}", escaped(line))?;
            }
        }
    }
    writeln!(
        page,
        ".SH SETTINGS\nEnvironment variables. An empty value counts as unset."
    )?;
    let mut group = "";
    for row in TABLE {
        if row.group != group {
            group = row.group;
            writeln!(page, ".SS {}", escaped(group))?;
        }
        let default = match row.shown_default() {
            "" => String::new(),
            default => format!(" [{default}]"),
        };
        let meaning = format!("{}. Takes: {}.", row.meaning, row.accepts).replace('`', "");
        writeln!(
            page,
            ".TP\n\\fB{}\\fR{}\n{}",
            row.name,
            escaped(&default),
            escaped(&meaning)
        )?;
    }
    page.write_all(TAIL.as_bytes())?;
    Ok(page)
}

/// What is printed in the README too.
const TAIL: &str = "\
.SH SIGNALS
TERM (SEGUE_STOP_ON) stops gracefully, HUP (SEGUE_ON_HUP) restarts, every other one goes to the program.
.SH EXIT STATUS
Of run: the program's own code; 128+N when signal N ended it; 126 it cannot be executed; 127 it was not found;
64 the command line makes no sense; 78 bad settings; 71 the system refused something before the first start;
70 a fault of segue's own. Of the other commands: see there.
.SH SEE ALSO
.BR sd_notify (3),
.BR seccomp_unotify (2),
.BR socket (7)
";

/// Text that roff takes as it is: no line of it begins a request, no word is an escape.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}
