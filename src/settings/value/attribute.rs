//! Attributes of a process: its umask, its limits, its place when memory or the processor is short.

use super::{Reason, Value, item};

/// Permissions that new files do not get: `SEGUE_UMASK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Umask(pub u32);

/// A soft and a hard limit, as setrlimit(2) has them: `SEGUE_LIMIT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// What the program may raise that to.
    pub hard: u64,
}

/// `SEGUE_OOM_SCORE_ADJUST`, as proc(5) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score(pub i32);

/// `SEGUE_NICE`, as setpriority(2) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nice(pub i32);

/// No limit (RLIM_INFINITY).
const INFINITY: u64 = u64::MAX;

impl Value for Umask {
    const ACCEPTS: &'static str = "octal number, 0 to 777";

    fn parse(text: &str) -> Result<Self, Reason> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let mask = u32::from_str_radix(text, 8)
            .ok()
            .filter(|mask| digits && *mask <= 0o777);
        let wrong = || {
            Reason::from(format!(
                "{} is no mask, give an octal number from 0 to 777 such as 027",
                item(text)
            ))
        };
        mask.map(Umask).ok_or_else(wrong)
    }
}

impl Value for Limit {
    const ACCEPTS: &'static str = "`soft[:hard]`, numbers or `infinity`";

    fn parse(text: &str) -> Result<Self, Reason> {
        let one = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            let wrong = || {
                Reason::from(format!(
                    "{} is no limit, give a number such as 65536, or infinity",
                    item(text)
                ))
            };
            if text == "infinity" {
                Ok(INFINITY)
            } else {
                number.ok_or_else(wrong)
            }
        };
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let limit = Limit {
            soft: one(soft.trim())?,
            hard: one(hard.trim())?,
        };
        if limit.soft > limit.hard {
            return Err("the soft limit is above the hard one, give the lower one first".into());
        }
        Ok(limit)
    }
}

fn between(text: &str, least: i32, most: i32) -> Result<i32, Reason> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{} is no whole number from {least} to {most}", item(text)).into())
}

impl Value for Score {
    const ACCEPTS: &'static str = "-1000 to 1000";

    fn parse(text: &str) -> Result<Self, Reason> {
        between(text, -1000, 1000).map(Score)
    }
}

impl Value for Nice {
    const ACCEPTS: &'static str = "-20 to 19";

    fn parse(text: &str) -> Result<Self, Reason> {
        between(text, -20, 19).map(Nice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes() {
        assert_eq!(Umask::parse("027").unwrap(), Umask(0o27));
        assert_eq!(Umask::parse("0").unwrap(), Umask(0));
        assert_eq!(Limit::parse("1024").unwrap(), Limit { soft: 1024, hard: 1024 });
        assert_eq!(
            Limit::parse("1024:infinity").unwrap(),
            Limit {
                soft: 1024,
                hard: INFINITY
            }
        );
        assert_eq!(
            Limit::parse("infinity").unwrap(),
            Limit {
                soft: INFINITY,
                hard: INFINITY
            }
        );
        assert_eq!(
            (Score::parse("-1000").unwrap(), Nice::parse("19").unwrap()),
            (Score(-1000), Nice(19))
        );
    }

    #[test]
    fn no_attributes() {
        for text in ["", "8", "1000", "rwx", "+27", "-1"] {
            Umask::parse(text).unwrap_err();
        }
        for text in [
            "",
            "-1",
            "1k",
            "2:1",
            "infinity:1",
            "1:",
            ":1",
            "1:2:3",
            "99999999999999999999",
        ] {
            Limit::parse(text).unwrap_err();
        }
        for text in ["", "-1001", "1001", "x", "0.5"] {
            Score::parse(text).unwrap_err();
            Nice::parse(text).unwrap_err();
        }
    }
}
