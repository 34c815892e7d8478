//! Reads lengths of time: a number always has a unit, because half of the tools around a container mean seconds by a bare
//! one and the other half milliseconds.

use std::time::Duration;

use super::{Reason, Value};

/// Longer ones are slips, and adding one to a clock must not overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600 + 25 * 24 * 3600);

impl Value for Duration {
    const ACCEPTS: &'static str = "duration";

    fn parse(text: &str) -> Result<Self, Reason> {
        if text.starts_with('-') {
            return Err("a duration cannot be negative, give 0 or for example 30s".into());
        }
        let number = text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if number && text.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
            let number: String = text.chars().take(20).collect();
            return Err(format!("a duration needs a unit, did you mean {number}s?").into());
        }
        if text.contains('M') {
            return Err(format!("M is months, did you mean {}?", super::item(&text.replace('M', "m"))).into());
        }
        match humantime::parse_duration(text) {
            Ok(duration) if duration <= LONGEST => Ok(duration),
            Ok(_) | Err(humantime::DurationError::NumberOverflow) => Err("too long, at most 100years".into()),
            Err(humantime::DurationError::UnknownUnit { .. }) => {
                Err("no such unit, one of ms, s, m, h, d, for example 1m30s".into())
            }
            Err(_) => Err("not a duration, give a number with a unit such as 500ms, 30s or 1m30s".into()),
        }
    }
}

/// The shortest way to write a duration that reads back as the same.
pub(crate) fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_have_units() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("1.5s", 1500),
            ("2h", 7_200_000),
        ] {
            assert_eq!(Duration::parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_bare_number_suggests_seconds() {
        for text in ["30", "1.5"] {
            let reason = Duration::parse(text).unwrap_err().to_string();
            assert_eq!(reason, format!("a duration needs a unit, did you mean {text}s?"));
        }
    }

    #[test]
    fn everything_else_says_why() {
        for (text, why) in [
            ("-5s", "negative"),
            ("99999999999999999999s", "too long"),
            ("99999999999999999999", "needs a unit"),
            ("101years", "too long"),
            ("30x", "no such unit"),
            ("5M", "months"),
            ("soon", "not a duration"),
            ("", "not a duration"),
            ("1,5s", "not a duration"),
        ] {
            let reason = Duration::parse(text).unwrap_err().to_string();
            assert!(reason.contains(why), "{text}: {reason}");
        }
        Duration::parse("100years").unwrap();
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(seconds in 0..=LONGEST.as_secs() - 1, nanos in 0..1_000_000_000_u32) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(Duration::parse(&show(duration)), Ok(duration));
        }
    }
}
