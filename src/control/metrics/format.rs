//! TRANSLATES metrics from OpenMetrics to Prometheus' classic text, and picks the one that a client reads. Pure.
//!
//! Only what segue itself writes is translated: no exemplars, no timestamps, no info and no state sets.

use std::collections::HashSet;

/// A way to write metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Format {
    /// Strict OpenMetrics.
    OpenMetrics,
    /// The classic text, version 0.0.4.
    Classic,
    /// What parsers of either read: the classic lines, and OpenMetrics' end.
    Both,
}

/// Out of a client's Accept fields. A browser, which does not know either, is shown text.
pub(in super::super) fn wanted(accept: &str) -> Format {
    let named: Vec<String> = accept
        .split(',')
        .filter_map(|range| range.split(';').next())
        .map(|kind| kind.trim().to_ascii_lowercase())
        .collect();
    let names = |kind: &str| named.iter().any(|it| it == kind);
    if names("application/openmetrics-text") {
        Format::OpenMetrics
    } else if names("text/plain") || names("text/html") || names("text/*") {
        Format::Classic
    } else {
        Format::Both
    }
}

impl Format {
    /// The value of Content-Type.
    pub(in super::super) fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics | Format::Both => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The text in this format.
    pub(in super::super) fn of(self, openmetrics: String) -> String {
        match self {
            Format::OpenMetrics => openmetrics,
            Format::Classic => classic(&openmetrics),
            Format::Both => classic(&openmetrics) + "# EOF\n",
        }
    }
}

/// The same, as Prometheus' classic text: there a counter's `_total` is a part of its name, and neither unit nor end is
/// told.
fn classic(openmetrics: &str) -> String {
    let counters: HashSet<&str> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), ..) => continue,
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                text.extend(["# ", what, " ", name, "_total ", rest]);
            }
            (Some("#"), Some("TYPE"), Some(name), Some("unknown")) => {
                text.extend(["# TYPE ", name, " untyped"]);
            }
            (..) => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Format, classic, wanted};

    const OPENMETRICS: &str = "\
# HELP segue_kills Kills.
# TYPE segue_kills counter
segue_kills_total 3
# HELP segue_kills_wanted Not a counter, though it begins like one.
# TYPE segue_kills_wanted gauge
segue_kills_wanted 1
# HELP segue_drain_duration_seconds How long.
# TYPE segue_drain_duration_seconds histogram
# UNIT segue_drain_duration_seconds seconds
segue_drain_duration_seconds_sum 0.5
segue_drain_duration_seconds_count 1
segue_drain_duration_seconds_bucket{le=\"+Inf\"} 1
# TYPE odd unknown
odd{text=\"# TYPE odd counter\"} 1
# EOF
";

    #[test]
    fn classic_names_counters_as_their_samples_and_knows_no_unit_and_no_end() {
        let expected = "\
# HELP segue_kills_total Kills.
# TYPE segue_kills_total counter
segue_kills_total 3
# HELP segue_kills_wanted Not a counter, though it begins like one.
# TYPE segue_kills_wanted gauge
segue_kills_wanted 1
# HELP segue_drain_duration_seconds How long.
# TYPE segue_drain_duration_seconds histogram
segue_drain_duration_seconds_sum 0.5
segue_drain_duration_seconds_count 1
segue_drain_duration_seconds_bucket{le=\"+Inf\"} 1
# TYPE odd untyped
odd{text=\"# TYPE odd counter\"} 1
";
        assert_eq!(classic(OPENMETRICS), expected);
        assert_eq!(Format::Classic.of(OPENMETRICS.into()), expected);
        assert_eq!(Format::Both.of(OPENMETRICS.into()), format!("{expected}# EOF\n"));
        assert_eq!(Format::OpenMetrics.of(OPENMETRICS.into()), OPENMETRICS);
    }

    #[test]
    fn the_format_is_the_one_that_is_named() {
        for (accept, format) in [
            ("", Format::Both),
            ("*/*", Format::Both),
            ("application/json", Format::Both),
            ("text/plain", Format::Classic),
            ("Text/Plain; version=0.0.4;q=0.3, */*;q=0.1", Format::Classic),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Classic),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(wanted(accept), format, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn samples_stay_as_they_are(lines in proptest::collection::vec("[a-z{}\"=0-9. ]{0,30}|# [A-Z]{3,6}( [a-z]{1,4}){0,3}", 0..20)) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let samples = |text: &str| -> Vec<String> {
                text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
            };
            let translated = classic(&text);
            prop_assert_eq!(samples(&translated), samples(&text));
            prop_assert!(classic(&translated).lines().count() == translated.lines().count());
        }

        #[test]
        fn no_accept_is_too_odd(accept in "\\PC{0,60}") {
            let _any = wanted(&accept);
        }
    }
}
