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

    /// The name without `SEGUE_`.
    pub fn short_name(&self) -> &'static str {
        self.name.strip_prefix(super::PREFIX).unwrap_or(self.name)
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
/// `field "NAME": Type = "default" ("otherwise"), "meaning";` in groups.
macro_rules! settings {
    ($($group:literal {
        $($field:ident $name:literal: $type:ty = $default:literal $(($otherwise:literal))?, $meaning:literal;)*
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

        #[cfg(test)]
        const FIELDS: &[&str] = &[$($(stringify!($field),)*)*];
    };
}

pub(super) use settings;
