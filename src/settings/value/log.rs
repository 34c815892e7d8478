//! How much is logged: one level, or one per module.

use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::choice::none_of;
use super::{Reason, Value, item};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is logged: `SEGUE_LOG`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter {
    /// As it was given.
    pub text: String,
    /// The same, ready to filter.
    pub targets: Targets,
    /// The level of every module that is not named.
    pub level: LevelFilter,
    /// Modules are named, so that lines tell theirs.
    pub by_module: bool,
}

impl Value for LogFilter {
    const ACCEPTS: &'static str =
        "`off`, `error`, `warn`, `info`, `debug`, `trace`, or levels per module: `info,segue::machine=debug`";

    /// `Targets` alone would take a misspelt level for the name of a module.
    fn parse(text: &str) -> Result<Self, Reason> {
        let parts = || text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let mut level = LevelFilter::OFF;
        let mut by_module = false;
        for part in parts() {
            let (module, word) = part
                .rsplit_once('=')
                .map_or((None, part), |(module, word)| (Some(module), word));
            if !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
                return Err(format!("{} is no level: {}", item(word), none_of(word, &LEVELS)).into());
            }
            match module {
                Some("") => return Err("no module before the equals sign, such as segue::machine=debug".into()),
                Some(_) => by_module = true,
                None => level = LevelFilter::from_str(word).unwrap_or(level),
            }
        }
        if parts().next().is_none() {
            return Err("no level in it, give one such as info".into());
        }
        let joined: Vec<&str> = parts().collect();
        match joined.join(",").parse() {
            Ok(targets) => Ok(LogFilter {
                text: text.to_owned(),
                targets,
                level,
                by_module,
            }),
            Err(error) => Err(format!("{error}, give levels such as info,segue::machine=debug").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::*;

    #[test]
    fn levels() {
        for word in ["off", "error", "WARN", "info", "debug", "trace"] {
            let filter = LogFilter::parse(word).unwrap();
            assert_eq!(filter.targets.default_level(), Some(filter.level), "{word}");
        }
        assert_eq!(LogFilter::parse("info").unwrap().level, LevelFilter::INFO);
    }

    #[test]
    fn levels_per_module() {
        let filter = LogFilter::parse("info, segue::machine=debug,").unwrap();
        assert_eq!(filter.level, LevelFilter::INFO);
        assert!(filter.targets.would_enable("segue::machine", &tracing::Level::DEBUG));
        assert!(!filter.targets.would_enable("segue::process", &tracing::Level::DEBUG));
    }

    #[test]
    fn a_misspelt_level_is_no_module() {
        for text in ["inf", "segue", "segue=inf", "=info", "info;debug", ",", ""] {
            LogFilter::parse(text).unwrap_err();
        }
        let reason = LogFilter::parse("segue=inf").unwrap_err().to_string();
        assert!(reason.contains("did you mean info?"), "{reason}");
    }
}
