//! Reads what needs no type of its own: switches, counts, paths, patterns, and lists and absences of anything.

use std::path::PathBuf;

use super::{Reason, Value, item};

impl Value for bool {
    const ACCEPTS: &'static str = "`true`, `false`";

    fn parse(text: &str) -> Result<Self, Reason> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("neither true nor false, give one of true, false, 1, 0, yes, no, on, off".into()),
        }
    }
}

impl Value for u32 {
    const ACCEPTS: &'static str = "count";

    fn parse(text: &str) -> Result<Self, Reason> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err("not a count, give a whole number such as 5".into());
        }
        text.parse()
            .map_err(|_| format!("too large, at most {}", u32::MAX).into())
    }
}

impl Value for String {
    const ACCEPTS: &'static str = "pattern";
    const LIST: &'static str = "list of patterns";

    fn parse(text: &str) -> Result<Self, Reason> {
        Ok(text.to_owned())
    }
}

impl Value for PathBuf {
    const ACCEPTS: &'static str = "path";
    const LIST: &'static str = "list of paths";

    fn parse(text: &str) -> Result<Self, Reason> {
        if text.contains('\0') {
            return Err("a path cannot contain a zero byte".into());
        }
        Ok(PathBuf::from(text))
    }
}

/// Nothing is an absent value; only a default can be nothing, for an empty variable counts as unset.
impl<T: Value> Value for Option<T> {
    const ACCEPTS: &'static str = T::ACCEPTS;

    fn parse(text: &str) -> Result<Self, Reason> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::parse(text).map(Some)
        }
    }
}

/// Comma-separated, trimmed, empty items dropped; every bad item is named.
impl<T: Value> Value for Vec<T> {
    const ACCEPTS: &'static str = T::LIST;

    fn parse(text: &str) -> Result<Self, Reason> {
        let mut values = Vec::new();
        let mut bad = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match T::parse(part) {
                Ok(value) => values.push(value),
                Err(reason) if part == text => return Err(reason),
                Err(reason) => bad.push(format!("{}: {reason}", item(part))),
            }
        }
        if !bad.is_empty() {
            return Err(bad.join("; ").into());
        }
        T::together(&values)?;
        Ok(values)
    }
}

/// A value that remembers whether somebody asked for it, where another setting may decide if nobody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<T> {
    /// The environment says so.
    Given(T),
    /// The table says so.
    Default(T),
}

impl<T> Choice<T> {
    /// The value, whoever chose it.
    pub fn value(&self) -> &T {
        match self {
            Choice::Given(value) | Choice::Default(value) => value,
        }
    }

    /// The value if the environment chose it.
    pub fn given(&self) -> Option<&T> {
        match self {
            Choice::Given(value) => Some(value),
            Choice::Default(_) => None,
        }
    }
}

impl<T: Value> Value for Choice<T> {
    const ACCEPTS: &'static str = T::ACCEPTS;

    fn parse(text: &str) -> Result<Self, Reason> {
        T::parse(text).map(Choice::Given)
    }

    fn from_default(text: &str) -> Result<Self, Reason> {
        T::from_default(text).map(Choice::Default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches() {
        for text in ["true", "TRUE", "1", "yes", "On"] {
            assert_eq!(bool::parse(text), Ok(true), "{text}");
        }
        for text in ["false", "False", "0", "no", "OFF"] {
            assert_eq!(bool::parse(text), Ok(false), "{text}");
        }
        for text in ["", "2", "y", "enabled"] {
            bool::parse(text).unwrap_err();
        }
    }

    #[test]
    fn counts() {
        assert_eq!(u32::parse("0"), Ok(0));
        assert_eq!(u32::parse("4294967295"), Ok(u32::MAX));
        for text in ["", "-1", "+1", "1.5", "4294967296", "five", "1 000"] {
            u32::parse(text).unwrap_err();
        }
    }

    #[test]
    fn lists_are_trimmed_and_empties_dropped() {
        assert_eq!(Vec::<u32>::parse(" 1, 2 ,,3,"), Ok(vec![1, 2, 3]));
        assert_eq!(Vec::<u32>::parse(","), Ok(vec![]));
    }

    #[test]
    fn every_bad_item_of_a_list_is_named() {
        let reason = Vec::<u32>::parse("x,2,y").unwrap_err().to_string();
        assert!(
            reason.contains("\"x\": not a count") && reason.contains("\"y\": not a count"),
            "{reason}"
        );
        assert_eq!(Vec::<u32>::parse("x").unwrap_err(), u32::parse("x").unwrap_err());
    }

    #[test]
    fn nothing_is_an_absent_value() {
        assert_eq!(Option::<u32>::parse(""), Ok(None));
        assert_eq!(Option::<u32>::parse("1"), Ok(Some(1)));
    }

    #[test]
    fn a_path_has_no_zero_byte() {
        assert_eq!(PathBuf::parse("a/b"), Ok(PathBuf::from("a/b")));
        PathBuf::parse("a\0b").unwrap_err();
    }

    #[test]
    fn a_choice_remembers_who_made_it() {
        assert_eq!(Choice::<u32>::parse("1").unwrap().given(), Some(&1));
        assert_eq!(Choice::<u32>::from_default("1").unwrap().given(), None);
    }
}
