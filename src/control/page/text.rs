//! WRITES moments, durations and numbers so that they can stand in a page. Pure.

use std::{
    fmt::{Display, Formatter, Result, Write},
    time::{Duration, SystemTime},
};

use crate::control::status::Moment;

/// How long ago a moment was, or in how long it comes; by the clock if one points at it.
#[derive(Debug)]
pub(super) struct Ago(pub(super) Moment, pub(super) SystemTime);

impl Display for Ago {
    fn fmt(&self, to: &mut Formatter<'_>) -> Result {
        let Ago(moment, now) = *self;
        write!(to, "<time title=\"{}\">", exact(moment))?;
        match moment.0.duration_since(now) {
            Ok(to_come) if to_come >= Duration::from_secs(1) => write!(to, "in {}", For(whole(to_come)))?,
            Ok(_) => write!(to, "now")?,
            Err(_) => match whole(moment.ago(now)) {
                Duration::ZERO => write!(to, "just now")?,
                ago => write!(to, "{} ago", For(ago))?,
            },
        }
        write!(to, "</time>")
    }
}

/// By RFC 3339; nothing for what that cannot tell.
fn exact(moment: Moment) -> String {
    let mut text = String::new();
    // humantime panics before the epoch, and fails after the year 9999.
    let told =
        moment.0 >= SystemTime::UNIX_EPOCH && write!(text, "{}", humantime::format_rfc3339_millis(moment.0)).is_ok();
    if told { text } else { String::new() }
}

fn whole(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

/// A duration, in no more than two units.
#[derive(Debug)]
pub(super) struct For(pub(super) Duration);

impl Display for For {
    fn fmt(&self, to: &mut Formatter<'_>) -> Result {
        let seconds = self.0.as_secs();
        let two = |to: &mut Formatter<'_>, unit: u64, name: &str, smaller: u64, its_name: &str| {
            let (many, rest) = (seconds / unit, seconds % unit / smaller);
            match rest {
                0 => write!(to, "{many} {name}"),
                rest => write!(to, "{many} {name} {rest} {its_name}"),
            }
        };
        match seconds {
            0 => write!(to, "{} ms", self.0.as_millis()),
            1..10 if self.0.subsec_millis() >= 100 => write!(to, "{seconds}.{} s", self.0.subsec_millis() / 100),
            1..60 => write!(to, "{seconds} s"),
            60..600 => two(to, 60, "min", 1, "s"),
            600..3600 => write!(to, "{} min", seconds / 60),
            3600..86_400 => two(to, 3600, "h", 60, "min"),
            _ => two(to, 86_400, "d", 3600, "h"),
        }
    }
}

/// A number, its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Ago, For, number};
    use crate::control::status::Moment;

    #[test]
    fn durations_have_two_units_at_most() {
        for (millis, text) in [
            (0, "0 ms"),
            (340, "340 ms"),
            (1_040, "1 s"),
            (3_210, "3.2 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (61_000, "1 min 1 s"),
            (659_000, "10 min"),
            (7_325_000, "2 h 2 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(For(Duration::from_millis(millis)).to_string(), text);
        }
    }

    #[test]
    fn moments_are_told_from_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let told = |offset: i64| {
            let apart = Duration::from_millis(offset.unsigned_abs());
            let at = if offset < 0 { now - apart } else { now + apart };
            Ago(Moment(at), now).to_string()
        };
        assert_eq!(
            told(-90_000),
            "<time title=\"2001-09-09T01:45:10.000Z\">1 min 30 s ago</time>"
        );
        for (offset, text) in [(-300, "just now"), (0, "now"), (2_500, "in 2 s")] {
            assert!(told(offset).contains(&format!(">{text}<")), "{}", told(offset));
        }
        let odd = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert!(Ago(Moment(odd), now).to_string().contains("in "));
        let odd = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert!(Ago(Moment(odd), now).to_string().contains(" ago"));
    }

    #[test]
    fn thousands_are_apart() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(number(value).replace('\u{202f}', " "), text);
        }
    }
}
