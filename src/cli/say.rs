//! SAYS amounts and times as people read them, in colour where that is wanted. Pure.

use std::{ffi::OsStr, time::Duration};

/// `1 connection`, `2 connections`.
pub(super) fn amount(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A duration to two parts: `12ms`, `1.05s`, `3m 4s`, `2d 5h`.
pub(super) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = |big: u64, unit: &str, small: u64, below: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit} {small}{below}")
        }
    };
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..10 => format!("{}.{:02}s", seconds, duration.subsec_millis() / 10),
        10..60 => format!("{seconds}s"),
        60..3_600 => parts(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => parts(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => parts(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// How long ago, in whole seconds.
pub(super) fn ago(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "just now".into(),
        1..60 => format!("{}s ago", duration.as_secs()),
        _ => format!("{} ago", short(duration)),
    }
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Colour,
}

impl Paint {
    /// Colours for a terminal, unless `NO_COLOR` (<https://no-color.org>) or a dumb terminal says otherwise.
    pub(super) fn wanted(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Paint {
        let refused = no_color.is_some_and(|it| !it.is_empty()) || term == Some(OsStr::new("dumb"));
        if terminal && !refused {
            Paint::Colour
        } else {
            Paint::Plain
        }
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(super) fn heading(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// Columns as wide as their contents; the last one is as long as it is. Colour comes afterwards, and counts for nothing.
pub(super) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// One line, and nothing that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    let escaped = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (milliseconds, said) in [
            (7, "7ms"),
            (1_056, "1.05s"),
            (12_900, "12s"),
            (184_000, "3m 4s"),
            (180_000, "3m"),
            (7_500_000, "2h 5m"),
            (190_800_000, "2d 5h"),
        ] {
            assert_eq!(short(Duration::from_millis(milliseconds)), said);
        }
        assert_eq!(ago(Duration::from_millis(900)), "just now");
        assert_eq!(ago(Duration::from_millis(2_900)), "2s ago");
        assert_eq!(ago(Duration::from_secs(61)), "1m 1s ago");
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let wanted = |terminal, no_color: Option<&str>, term: Option<&str>| {
            Paint::wanted(terminal, no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert_eq!(wanted(true, None, Some("xterm")), Paint::Colour);
        assert_eq!(wanted(true, Some(""), None), Paint::Colour);
        assert_eq!(wanted(true, Some("1"), None), Paint::Plain);
        assert_eq!(wanted(true, None, Some("dumb")), Paint::Plain);
        assert_eq!(wanted(false, None, None), Paint::Plain);
        assert_eq!(Paint::Plain.good("x"), "x");
    }

    #[test]
    fn columns_are_as_wide_as_their_contents() {
        let rows = [vec!["a".into(), "b".into()], vec!["ccc".into(), "d".into()]];
        assert_eq!(columns(&rows), ["a    b", "ccc  d"]);
    }
}
