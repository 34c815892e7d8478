//! What a line of the table of settings is, and the macro that makes everything else from the one list: the raw strings that
//! envy fills, the typed settings, the table that is printed.

/// One setting as it is printed.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its heading in the table.
    pub group: &'static str,
    /// The variable's full name.
    pub name: &'static str,
    /// What is read when the variable is unset; empty for nothing.
    pub default: &'static str,
    /// What stands in for an empty default, in words; empty if nothing does.
    pub otherwise: &'static str,
    /// What may be given, in Markdown.
    pub accepts: &'static str,
    /// What it is for, in Markdown.
    pub meaning: &'static str,
    /// Whether this version does it.
    pub availability: Availability,
}

impl Row {
    /// The default as people read it: a value, words, or nothing.
    pub fn shown_default(&self) -> &'static str {
        if self.default.is_empty() {
            self.otherwise
        } else {
            self.default
        }
    }

    /// What this version does not do, if anything.
    pub fn limit(&self) -> Option<String> {
        match self.availability {
            Availability::Now => None,
            Availability::Later => Some("not available yet".to_owned()),
            Availability::NotYet { kinds, .. } => Some(format!("not available yet: {}", kinds.join(", "))),
        }
    }

    /// The name without `SEGUE_`.
    pub fn short_name(&self) -> &'static str {
        self.name.strip_prefix(super::PREFIX).unwrap_or(self.name)
    }
}

/// Whether this version does what a setting asks for.
#[derive(Clone, Copy, Debug)]
pub enum Availability {
    /// It does.
    Now,
    /// It reads the setting and refuses it.
    Later,
    /// It refuses some kinds of value, and names what to use now.
    NotYet {
        /// The kinds, see `Value::kind`.
        kinds: &'static [&'static str],
        /// What does work.
        instead: &'static str,
    },
}

impl Availability {
    /// Why a value of this kind is refused, if it is.
    pub(super) fn refusal(self, kind: &str) -> Option<String> {
        let version = env!("CARGO_PKG_VERSION");
        match self {
            Availability::Now => None,
            Availability::Later => Some(format!("not available yet in segue {version}, leave it unset")),
            Availability::NotYet { kinds, instead } => kinds
                .contains(&kind)
                .then(|| format!("not available yet in segue {version}, use {instead}")),
        }
    }
}

/// Reads one setting. A fault is kept and the default stands in, so that the other settings can still be compared.
pub(super) fn value<T: super::value::Value>(
    row: &'static Row,
    given: Option<String>,
    faults: &mut Vec<super::Fault>,
) -> Option<T> {
    if let Some(text) = given {
        match T::parse(text.trim()) {
            Ok(value) => return Some(value),
            Err(reason) => faults.push(super::Fault::new(row.name, text, reason)),
        }
    }
    match T::from_default(row.default) {
        Ok(value) => Some(value),
        Err(reason) => {
            faults.push(super::Fault::new(row.name, row.default, reason));
            None
        }
    }
}

/// Makes `Settings`, `Raw` and `TABLE` from rows of
/// `field "NAME": Type = "default" ("otherwise"), availability, "meaning";` in groups.
macro_rules! settings {
    ($($group:literal {
        $($field:ident $name:literal: $type:ty = $default:literal $(($otherwise:literal))?, $availability:expr, $meaning:literal;)*
    })*) => {
        /// Every setting, typed, in the order of the table. A field is called like its variable, without `SEGUE_`.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $($(
                #[doc = concat!("`", $name, "`: ", $meaning, ".")]
                pub $field: $type,
            )*)*
        }

        /// The same as text, for envy to fill.
        #[derive(Debug, Default, serde::Deserialize)]
        pub(super) struct Raw {
            $($($field: Option<String>,)*)*
        }

        /// Every setting, for people.
        pub const TABLE: &[Row] = &[
            $($(
                Row {
                    group: $group,
                    name: $name,
                    default: $default,
                    otherwise: concat!($($otherwise)?),
                    accepts: <$type as Value>::ACCEPTS,
                    meaning: $meaning,
                    availability: $availability,
                },
            )*)*
        ];

        impl Raw {
            /// Reads every value; `None` only if a default is itself faulty.
            pub(super) fn read(self, faults: &mut Vec<Fault>) -> Option<Settings> {
                let mut rows = TABLE.iter();
                $($(let $field = rows.next().and_then(|row| value(row, self.$field, faults));)*)*
                Some(Settings { $($($field: $field?,)*)* })
            }
        }

        impl Settings {
            /// The kind of each value, in the order of the table.
            pub(super) fn kinds(&self) -> [&'static str; TABLE.len()] {
                [$($(self.$field.kind(),)*)*]
            }
        }

        #[cfg(test)]
        const FIELDS: &[&str] = &[$($(stringify!($field),)*)*];
    };
}

pub(super) use settings;
