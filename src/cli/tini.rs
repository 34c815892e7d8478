//! SPEAKS tini's command line when segue is called by the name of another init, so that `docker run --init` and old
//! entrypoints work unchanged. What those options mean is said in segue's settings.

use std::ffi::OsString;

use super::arguments::Answer;
use crate::settings::{
    Settings,
    value::{Signal, Value},
};

/// The names under which segue is taken for one of these. Docker looks for `tini version` in the answer to `--version`.
pub(super) const NAMES: [&str; 3] = ["tini", "docker-init", "catatonit"];

/// What the options ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// `-g`: signals go to the process group.
    group: bool,
    /// `-v`: tell more, once or more often.
    verbose: u8,
    /// Was segue called by another's name?
    quiet: bool,
    /// `-e`: exit codes reported as 0.
    success: Vec<u8>,
    /// `-p`: what segue gets when its parent ends.
    parent_death: Option<Signal>,
}

impl Options {
    /// Has the last word, as a command line has over the environment.
    pub(super) fn apply(&self, settings: &mut Settings) {
        settings.stop_group |= self.group;
        settings.success_codes.codes.extend(&self.success);
        settings.parent_death_signal = self.parent_death.or(settings.parent_death_signal);
        let level = match self.verbose {
            // The others say nothing unless something is wrong.
            0 if self.quiet && std::env::var_os("SEGUE_LOG").is_none() => "warn",
            0 => return,
            1 => "debug",
            _ => "trace",
        };
        if let Ok(filter) = Value::parse(level) {
            settings.log = filter;
        }
    }
}

/// Parses tini's options and catatonit's, which are among them: options end at the first word that is none.
pub(super) fn parse(name: &str, words: Vec<OsString>) -> Result<(Vec<OsString>, Options), Answer> {
    let mut options = Options {
        quiet: true,
        ..Options::default()
    };
    let mut words = words.into_iter();
    let mut program = Vec::new();
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--") => break,
            Some("--version" | "-V") => {
                let version = env!("CARGO_PKG_VERSION");
                return Err(Answer {
                    text: format!("tini version 0.19.0 (segue {version})\n"),
                    code: 0,
                });
            }
            Some("-h" | "--help") => {
                let text = format!(
                    "{name} [-s] [-g] [-v] [-w] [-l] [-e CODE] [-p SIGNAL] [--] PROGRAM [ARG…]\n(segue, see segue --help)\n"
                );
                return Err(Answer { text, code: 0 });
            }
            // A subreaper segue is where it has to be; it warns by itself; it has no licence to print but its file.
            Some("-s" | "-w" | "-l" | "-L" | "-P") => {}
            Some("-g") => options.group = true,
            Some(verbose)
                if verbose.len() > 1
                    && verbose
                        .strip_prefix('-')
                        .is_some_and(|it| it.bytes().all(|it| it == b'v')) =>
            {
                options.verbose = u8::try_from(verbose.len() - 1).unwrap_or(u8::MAX);
            }
            Some("-e") => {
                let code = words.next().and_then(|code| code.to_str()?.parse().ok());
                options
                    .success
                    .push(code.ok_or_else(|| Answer::usage("-e takes an exit code, 0 to 255"))?);
            }
            Some("-p") => {
                let signal = words.next().and_then(|signal| Signal::parse(signal.to_str()?).ok());
                let message = "-p takes a signal, such as SIGTERM";
                options.parent_death = Some(signal.ok_or_else(|| Answer::usage(message))?);
            }
            Some(option) if option.starts_with('-') => {
                return Err(Answer::usage(format!(
                    "{name}: unknown option {option:?}; options go before PROGRAM"
                )));
            }
            Some(_) | None => {
                program.push(word);
                break;
            }
        }
    }
    program.extend(words);
    if program.is_empty() {
        return Err(Answer::usage(format!(
            "no program to run; say which: {name} -- PROGRAM [ARG…]"
        )));
    }
    Ok((program, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_become_settings() {
        let words = ["-s", "-g", "-vv", "-e", "143", "--", "sh"]
            .map(OsString::from)
            .to_vec();
        let (program, options) = parse("tini", words).unwrap();
        assert_eq!(program, ["sh"]);
        let mut settings = crate::settings::read([]).unwrap().settings;
        options.apply(&mut settings);
        assert!(settings.stop_group);
        assert_eq!(
            (settings.success_codes.codes.as_slice(), settings.log.text.as_str()),
            (&[143][..], "trace")
        );
    }

    #[test]
    fn docker_asks_for_the_version() {
        let answer = parse("docker-init", vec!["--version".into()]).unwrap_err();
        assert!(answer.code == 0 && answer.text.starts_with("tini version 0.19.0"));
    }

    #[test]
    fn nonsense_is_named() {
        let answer = parse("tini", ["-e", "x", "sh"].map(OsString::from).to_vec()).unwrap_err();
        assert!(answer.text.contains("exit code"), "{}", answer.text);
        let answer = parse("tini", ["-q", "sh"].map(OsString::from).to_vec()).unwrap_err();
        assert!(answer.text.contains("\"-q\""), "{}", answer.text);
    }
}
