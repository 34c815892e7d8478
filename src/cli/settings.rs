//! `segue settings`: every setting, what it is, where that came from. Faulty ones are shown with their fault, never hidden.

use std::ffi::OsString;
use std::io::Write;

use serde_json::json;

use super::say::printable;
use crate::settings::{Fault, Faults, PREFIX, Reading, Row, TABLE, Warning, nearest_name, read, redacted};

const USAGE: u8 = 64;
const CANNOT_WRITE: u8 = 74;
const BAD_SETTINGS: u8 = 78;

/// Prints the settings called `names`, with or without `SEGUE_`, or all of them; returns the exit code.
///
/// 64: there is no such name; 74: `out` does not take it; 78: one that is printed is faulty.
pub fn print(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    names: &[String],
    json: bool,
    out: &mut dyn Write,
) -> u8 {
    let (text, code) = match chosen(names) {
        Ok(rows) => {
            let shown = Shown::of(vars, &rows);
            let text = if json {
                shown.json()
            } else {
                shown.columns(names.is_empty())
            };
            (
                text,
                if shown.lines.iter().any(|line| line.fault.is_some()) {
                    BAD_SETTINGS
                } else {
                    0
                },
            )
        }
        Err(unknown) => (unknown, USAGE),
    };
    finish(out, &text, code)
}

/// Writes what a command has to say; a code that says more than "cannot write" stays.
pub(super) fn finish(out: &mut dyn Write, text: &str, code: u8) -> u8 {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if code == 0 && error.kind() != std::io::ErrorKind::BrokenPipe => CANNOT_WRITE,
        Ok(()) | Err(_) => code,
    }
}

/// The rows of these names, or a line for each that is unknown.
fn chosen(names: &[String]) -> Result<Vec<&'static Row>, String> {
    let mut rows = Vec::new();
    let mut unknown = String::new();
    for name in names {
        let upper = name.to_ascii_uppercase();
        let short = upper.strip_prefix(PREFIX).unwrap_or(&upper);
        match TABLE.iter().find(|row| row.short_name() == short) {
            Some(row) => rows.push(row),
            None => {
                let nearest = nearest_name(short)
                    .map(|name| format!(", did you mean {name}?"))
                    .unwrap_or_default();
                unknown.push_str(&format!("{name}: no such setting{nearest}\n"));
            }
        }
    }
    match (unknown.is_empty(), rows.is_empty()) {
        (false, _) => Err(unknown),
        (true, true) => Ok(TABLE.iter().collect()),
        (true, false) => Ok(rows),
    }
}

/// One setting with its value.
struct Line {
    row: &'static Row,
    given: Option<String>,
    fault: Option<Fault>,
}

/// What is printed.
struct Shown {
    lines: Vec<Line>,
    warnings: Vec<Warning>,
}

impl Shown {
    fn of(vars: impl IntoIterator<Item = (OsString, OsString)>, rows: &[&'static Row]) -> Shown {
        let vars: Vec<(OsString, OsString)> = vars.into_iter().collect();
        let (faults, warnings) = match read(vars.iter().cloned()) {
            Ok(Reading { warnings, .. }) => (Vec::new(), warnings),
            Err(Faults { faults, warnings }) => (faults, warnings),
        };
        let given = |row: &Row| {
            let (_, value) = vars
                .iter()
                .find(|(name, value)| name == row.name && !value.is_empty())?;
            Some(redacted(value.to_string_lossy().trim())).filter(|text| !text.is_empty())
        };
        let fault = |row: &Row| faults.iter().find(|fault| fault.name == row.name).cloned();
        let lines = rows
            .iter()
            .map(|row| Line {
                row,
                given: given(row),
                fault: fault(row),
            })
            .collect();
        Shown { lines, warnings }
    }

    fn json(&self) -> String {
        let objects: Vec<_> = self.lines.iter().map(Line::json).collect();
        format!("{:#}\n", serde_json::Value::from(objects))
    }

    /// Columns as wide as their contents, headings if it is the whole table, then what is not a setting at all.
    fn columns(&self, whole: bool) -> String {
        let width = |column: fn(&Line) -> &str| self.lines.iter().map(|line| width(column(line))).max().unwrap_or(0);
        let (name, value) = (width(|line| line.row.name), width(Line::value).min(30));
        let mut text = String::new();
        let mut group = "";
        for line in &self.lines {
            if whole && line.row.group != group {
                let gap = if group.is_empty() { "" } else { "\n" };
                group = line.row.group;
                text.push_str(&format!("{gap}{group}\n"));
            }
            let meaning = line.row.meaning.replace('`', "");
            let shown = printable(line.value());
            text.push_str(&format!(
                "  {:name$}  {shown:value$}  {:11}  {meaning}\n",
                line.row.name,
                line.source()
            ));
            if let Some(fault) = &line.fault {
                text.push_str(&format!("  {:name$}  ^ {}\n", "", fault.reason));
            }
        }
        if whole {
            for warning in &self.warnings {
                text.push_str(&format!("\nwarning: {warning}"));
            }
            text.push_str(if self.warnings.is_empty() { "" } else { "\n" });
        }
        text
    }
}

impl Line {
    fn value(&self) -> &str {
        match self.given.as_deref().unwrap_or_else(|| self.row.shown_default()) {
            "" => "-",
            text => text,
        }
    }

    fn source(&self) -> &'static str {
        if self.given.is_some() { "environment" } else { "default" }
    }

    fn json(&self) -> serde_json::Value {
        let default = Some(self.row.shown_default()).filter(|text| !text.is_empty());
        let mut object = json!({
            "name": self.row.name,
            "value": self.given.as_deref().or(default),
            "source": self.source(),
            "default": default,
            "accepts": self.row.accepts.replace('`', ""),
            "meaning": self.row.meaning.replace('`', ""),
        });
        if let (Some(fault), Some(object)) = (&self.fault, object.as_object_mut()) {
            object.insert("fault".to_owned(), fault.reason.to_string().into());
        }
        object
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(vars: &[(&str, &str)], names: &[&str], json: bool) -> (u8, String) {
        let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut out = Vec::new();
        let code = print(vars, &names, json, &mut out);
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_setting_is_there() {
        let (code, text) = run(&[], &[], false);
        assert_eq!(code, 0);
        for row in TABLE {
            assert!(text.contains(&format!("  {} ", row.name)), "{}", row.name);
        }
    }

    #[test]
    fn a_name_may_be_short_and_tells_its_source() {
        for name in ["STOP_TIMEOUT", "SEGUE_STOP_TIMEOUT", "stop_timeout"] {
            let (code, text) = run(&[("SEGUE_STOP_TIMEOUT", "5s")], &[name], false);
            assert_eq!(code, 0);
            assert!(
                text.starts_with("  SEGUE_STOP_TIMEOUT  5s  environment  from the request"),
                "{text}"
            );
        }
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let (code, text) = run(&[], &["STOP_TIMOUT", "LOG"], false);
        assert_eq!(
            (code, text.as_str()),
            (64, "STOP_TIMOUT: no such setting, did you mean SEGUE_STOP_TIMEOUT?\n")
        );
    }

    #[test]
    fn a_fault_is_shown_where_it_is() {
        let vars = [("SEGUE_STOP_TIMEOUT", "30"), ("SEGUE_XLOG", "info")];
        let (code, text) = run(&vars, &[], false);
        assert_eq!(code, 78);
        assert!(text.contains("^ a duration needs a unit, did you mean 30s?"), "{text}");
        assert!(
            text.ends_with("warning: SEGUE_XLOG: no such setting, did you mean SEGUE_LOG?\n"),
            "{text}"
        );
        assert_eq!(run(&vars, &["LOG"], false).0, 0);
    }

    #[test]
    fn json_is_an_array_of_objects() {
        let (code, text) = run(&[("SEGUE_STOP_TIMEOUT", "30")], &["STOP_TIMEOUT", "WATCH"], true);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(code, 78);
        assert_eq!(json[0]["value"], "30");
        assert_eq!(json[0]["default"], "30s");
        assert_eq!(json[0]["source"], "environment");
        assert!(json[0]["fault"].as_str().unwrap().contains("unit"));
        assert_eq!(json[1]["value"], serde_json::Value::Null);
    }
    #[test]
    fn what_may_be_secret_is_not_shown() {
        let vars = [
            ("SEGUE_PRE_START", "./migrate --token=abc"),
            ("SEGUE_READY", "http://127.0.0.1:80/r?key=abc"),
        ];
        for json in [false, true] {
            let (code, text) = run(&vars, &["PRE_START", "READY"], json);
            assert!(
                code == 0 && !text.contains("abc") && text.contains("./migrate --token=…"),
                "{text}"
            );
        }
    }
}
