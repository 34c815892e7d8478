//! Picks segue's own variables out of an environment. What envy would stumble over (values that are not UTF-8, empty values,
//! a doubled prefix, names that differ in case) never reaches it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::nearest::nearest;
use super::table::{Raw, TABLE, row};
use super::{Fault, PREFIX, Row, Warning};

/// The one setting that an empty value does not unset: nobody is to run as root by a template that came out empty.
const USER: &str = "SEGUE_USER";

/// What an environment says about segue.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Name and text of every setting that is set.
    pub(super) given: Vec<(&'static str, String)>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
}

/// Sorts out the variables. Of a name that occurs twice the first counts, as for getenv(3).
pub(super) fn gather(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Gathered {
    let mut gathered = Gathered::default();
    for (name, value) in vars {
        let bytes = name.as_bytes();
        if !bytes.starts_with(PREFIX.as_bytes()) || is_injected(bytes) {
            continue;
        }
        if is_blank(&value) {
            if name == USER && !gathered.faults.iter().any(|fault| fault.name == USER) {
                let why = "empty, which would be root; give a user such as app or 1000, or leave the setting out";
                gathered.faults.push(Fault::new(USER, "", why));
            }
            continue;
        }
        match name.to_str().map(|name| (name, row(name))) {
            Some((_, Some(row))) => gathered.setting(row, &value),
            Some((name, None)) => {
                gathered.warnings.push(Warning::Unknown {
                    name: name.to_owned(),
                    nearest: nearest_name(name),
                });
            }
            None => gathered.warnings.push(Warning::NotUtf8 {
                name: name.to_string_lossy().into_owned(),
            }),
        }
    }
    gathered
}

impl Gathered {
    fn setting(&mut self, row: &'static Row, value: &OsStr) {
        let seen = self
            .given
            .iter()
            .map(|(name, _)| *name)
            .chain(self.faults.iter().map(|fault| fault.name));
        if seen.into_iter().any(|name| name == row.name) {
            return;
        }
        match value.to_str() {
            Some(text) => self.given.push((row.name, text.to_owned())),
            None => self.faults.push(Fault::new(
                row.name,
                value.to_string_lossy(),
                "not UTF-8, give plain text",
            )),
        }
    }

    /// Lets envy fill the raw settings.
    pub(super) fn raw(&self) -> Result<Raw, envy::Error> {
        envy::prefixed(PREFIX).from_iter(self.given.iter().map(|(name, text)| ((*name).to_owned(), text.clone())))
    }
}

/// Whether the cluster or segue itself sets this name: the links of a Service called segue, and what an outer segue tells its
/// program.
pub(super) fn is_injected(name: &[u8]) -> bool {
    name == b"SEGUE_GENERATION"
        || name == b"SEGUE_PORT"
        || name.starts_with(b"SEGUE_PORT_")
        || name.starts_with(b"SEGUE_SERVICE_")
}

/// The setting that was probably meant; the prefix counts for nothing.
pub(crate) fn nearest_name(name: &str) -> Option<&'static str> {
    let short = name.strip_prefix(PREFIX).unwrap_or(name);
    let short = nearest(short, TABLE.iter().map(Row::short_name))?;
    TABLE.iter().find(|row| row.short_name() == short).map(|row| row.name)
}

/// An empty value means unset; one of nothing but white space comes from the same templates.
fn is_blank(value: &OsStr) -> bool {
    value.as_bytes().trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn not_utf8(prefix: &str) -> OsString {
        OsString::from_vec([prefix.as_bytes(), b"\xff"].concat())
    }

    #[test]
    fn envy_trap_a_foreign_value_that_is_not_utf8_is_none_of_ours() {
        let gathered = gather([("LANG".into(), not_utf8("")), (not_utf8("X"), "1".into())]);
        assert!(gathered.given.is_empty() && gathered.faults.is_empty() && gathered.warnings.is_empty());
    }

    #[test]
    fn envy_trap_a_value_that_is_not_utf8_is_a_fault() {
        let gathered = gather([("SEGUE_LOG".into(), not_utf8("info"))]);
        assert_eq!(
            gathered.faults,
            [Fault::new("SEGUE_LOG", "info\u{fffd}", "not UTF-8, give plain text")]
        );
    }

    #[test]
    fn envy_trap_a_name_that_is_not_utf8_is_a_warning() {
        let gathered = gather([(not_utf8("SEGUE_"), "1".into())]);
        assert_eq!(
            gathered.warnings,
            [Warning::NotUtf8 {
                name: "SEGUE_\u{fffd}".into()
            }]
        );
    }

    #[test]
    fn envy_trap_empty_is_unset() {
        let gathered = gather(vars(&[
            ("SEGUE_STOP_TIMEOUT", ""),
            ("SEGUE_KEEP_ENV", " \n"),
            ("SEGUE_XX", ""),
        ]));
        assert!(gathered.given.is_empty() && gathered.warnings.is_empty());
    }

    #[test]
    fn envy_trap_a_doubled_prefix_is_another_name() {
        let gathered = gather(vars(&[("SEGUE_SEGUE_LOG", "debug")]));
        assert!(gathered.given.is_empty());
        assert_eq!(
            gathered.warnings,
            [Warning::Unknown {
                name: "SEGUE_SEGUE_LOG".into(),
                nearest: None
            }]
        );
    }

    #[test]
    fn envy_trap_names_that_differ_in_case_are_no_duplicates() {
        let gathered = gather(vars(&[
            ("SEGUE_LOG", "debug"),
            ("SEGUE_log", "warn"),
            ("segue_log", "warn"),
        ]));
        assert_eq!(gathered.given, [("SEGUE_LOG", "debug".to_owned())]);
        let nearest = Some("SEGUE_LOG");
        assert_eq!(
            gathered.warnings,
            [Warning::Unknown {
                name: "SEGUE_log".into(),
                nearest
            }]
        );
        gathered.raw().unwrap();
    }

    #[test]
    fn envy_trap_of_a_name_set_twice_the_first_counts() {
        let gathered = gather(vars(&[("SEGUE_LOG", "debug"), ("SEGUE_LOG", "warn")]));
        assert_eq!(gathered.given, [("SEGUE_LOG", "debug".to_owned())]);
        gathered.raw().unwrap();
    }

    #[test]
    fn service_links_and_an_outer_segue_are_ignored() {
        let gathered = gather(vars(&[
            ("SEGUE_PORT", "tcp://10.0.0.1:80"),
            ("SEGUE_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("SEGUE_SERVICE_HOST", "10.0.0.1"),
            ("SEGUE_GENERATION", "3"),
        ]));
        assert!(gathered.given.is_empty() && gathered.warnings.is_empty());
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        assert_eq!(nearest_name("SEGUE_STOP_TIMOUT"), Some("SEGUE_STOP_TIMEOUT"));
        assert_eq!(nearest_name("STOP_TIMOUT"), Some("SEGUE_STOP_TIMEOUT"));
        assert_eq!(nearest_name("SEGUE_XYZ"), None);
        assert_eq!(nearest_name("SEGUE_"), None);
    }
}
