//! Reads the settings: every `SEGUE_*` variable becomes a typed value, or a line that says what is wrong and what would be
//! right, all of them at once. Nothing here looks at the system, prints or panics, whatever the bytes.

mod conflicts;
mod docs;
mod fault;
mod gather;
mod nearest;
mod redact;
mod row;
mod table;
pub mod value;

use std::ffi::OsString;

pub use docs::{faults_example, full_table, short_table};
pub use fault::{Fault, Faults, Reason, Warning};
pub(crate) use gather::nearest_name;
pub use redact::redacted;
pub use row::Row;
pub use table::{Settings, TABLE, row};

/// What every name begins with.
pub const PREFIX: &str = "SEGUE_";

/// Settings without a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The values.
    pub settings: Settings,
    /// What is probably a mistake.
    pub warnings: Vec<Warning>,
    /// Name and text of every setting that is set, in the order of the environment.
    pub given: Vec<(&'static str, String)>,
}

/// Reads the settings from an environment, such as `std::env::vars_os()`.
///
/// # Errors
///
/// Every fault of every variable, and every contradiction between them.
pub fn read(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Reading, Faults> {
    let gathered = gather::gather(vars);
    let raw = gathered.raw();
    let gather::Gathered {
        given,
        mut faults,
        warnings,
    } = gathered;
    let settings = match raw {
        Ok(raw) => raw.read(&mut faults),
        Err(error) => {
            faults.push(Fault::new("SEGUE_*", "", error.to_string()));
            None
        }
    };
    if let Some(settings) = &settings {
        conflicts::contradictions(settings, &given, &mut faults);
    }
    match settings {
        Some(settings) if faults.is_empty() => Ok(Reading {
            settings,
            warnings,
            given,
        }),
        _ => {
            faults.sort_by_key(|fault| TABLE.iter().position(|row| row.name == fault.name));
            Err(Faults { faults, warnings })
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    pub(crate) fn read_text(pairs: &[(&str, &str)]) -> Reading {
        read(vars(pairs)).unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// One line per fault.
    pub(crate) fn faults(pairs: &[(&str, &str)]) -> Vec<String> {
        read(vars(pairs))
            .unwrap_err()
            .to_string()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn an_empty_environment_is_all_defaults() {
        let reading = read_text(&[]);
        assert_eq!((reading.warnings.len(), reading.given.len()), (0, 0));
        assert_eq!(reading.settings.stop_timeout.as_secs(), 30);
        assert_eq!(reading.settings.stop_on.0, [value::Signal::TERM]);
    }

    #[test]
    fn what_is_given_counts() {
        let reading = read_text(&[
            ("PATH", "/bin"),
            ("SEGUE_STOP_TIMEOUT", " 2m "),
            ("SEGUE_LISTEN", "web=:80"),
        ]);
        assert_eq!(reading.settings.stop_timeout.as_secs(), 120);
        assert_eq!(reading.settings.listen[0].name.as_deref(), Some("web"));
        assert_eq!(reading.given[0], ("SEGUE_STOP_TIMEOUT", " 2m ".to_owned()));
    }

    #[test]
    fn a_fault_is_told_in_one_line() {
        let line = r#"SEGUE_STOP_TIMEOUT="30": a duration needs a unit, did you mean 30s?"#;
        assert_eq!(faults(&[("SEGUE_STOP_TIMEOUT", "30")]), [line]);
    }

    #[test]
    fn every_kind_of_fault_is_told_at_once_and_in_order() {
        let mut vars = vars(&[
            ("SEGUE_KEEP_ENV", "maybe"),
            ("SEGUE_STOP_ON", "KILL"),
            ("SEGUE_STOP_SIGNAL", "TREM"),
            ("SEGUE_DRAIN", "always"),
            ("SEGUE_RESTART_DELAY", "1m"),
            ("SEGUE_RESTART_LIMIT", "many"),
            ("SEGUE_LISTEN", "web:80"),
            ("SEGUE_READY", "https://127.0.0.1"),
            ("SEGUE_WATCH", "/"),
            ("SEGUE_WATCH_JITTER", "1"),
            ("SEGUE_PRE_START", "sh -c 'x"),
            ("SEGUE_STOP_TIMOUT", "5s"),
        ]);
        vars.push(("SEGUE_LOG".into(), OsString::from_vec(vec![0xff])));
        let Faults { faults, warnings } = read(vars).unwrap_err();
        let names: Vec<&str> = faults
            .iter()
            .map(|fault| fault.name.trim_start_matches(PREFIX))
            .collect();
        let expected = [
            "STOP_ON",
            "STOP_SIGNAL",
            "DRAIN",
            "LISTEN",
            "READY",
            "RESTART_DELAY",
            "RESTART_LIMIT",
            "PRE_START",
            "WATCH",
            "WATCH_JITTER",
            "LOG",
            "KEEP_ENV",
        ];
        assert_eq!(names, expected);
        assert_eq!(
            warnings[0].to_string(),
            "SEGUE_STOP_TIMOUT: no such setting, did you mean SEGUE_STOP_TIMEOUT?"
        );
    }

    fn any_text() -> impl Strategy<Value = OsString> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(OsString::from_vec),
            any::<String>().prop_map(OsString::from),
            "(tcp:|http:|exec:|unix:/|signal:|[a-z]+=)?[\\[\\]:/@.,'\"a-zA-Z0-9 +-]{0,20}".prop_map(OsString::from),
        ]
    }

    fn any_name() -> impl Strategy<Value = OsString> {
        let known = proptest::sample::select(TABLE).prop_map(|row| OsString::from(row.name));
        let prefixed = any_text().prop_map(|text| OsString::from_iter([OsString::from(PREFIX), text]));
        prop_oneof![4 => known, 1 => prefixed, 1 => any_text()]
    }

    proptest! {
        #[test]
        fn nothing_panics(vars in proptest::collection::vec((any_name(), any_text()), 0..30)) {
            match read(vars) {
                Ok(_) => {}
                Err(faults) => {
                    prop_assert!(!faults.faults.is_empty());
                    prop_assert_eq!(faults.to_string().lines().count(), faults.faults.len());
                }
            }
        }
    }
}
