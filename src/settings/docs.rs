//! Prints the table of settings as Markdown, for README and docs/configuration.md. Never writes a file.

use super::{Row, TABLE, read};

/// What somebody might write who thinks of other tools.
const EXAMPLE: [(&str, &str); 6] = [
    ("SEGUE_STOP_TIMEOUT", "30"),
    ("SEGUE_STOP_SIGNAL", "SIGTREM"),
    ("SEGUE_RESTART_MODE", "stop_first"),
    ("SEGUE_LISTEN", "web=0.0.0.0:80,8443"),
    ("SEGUE_READY", "https://127.0.0.1:8443/ready"),
    ("SEGUE_KEEP_EVN", "true"),
];

/// Name, default and meaning of each.
pub fn short_table() -> String {
    let mut text = String::from("| setting | default | meaning |\n|---|---|---|\n");
    for row in TABLE {
        line(&mut text, &[&code(row.name), &default(row), row.meaning]);
    }
    text
}

/// Everything about every setting, a table per group.
pub fn full_table() -> String {
    let mut text = String::new();
    let mut group = "";
    for row in TABLE {
        if row.group != group {
            let gap = if group.is_empty() { "" } else { "\n" };
            group = row.group;
            text.push_str(&format!(
                "{gap}### {group}\n\n| setting | accepts | default | meaning |\n|---|---|---|---|\n"
            ));
        }
        line(&mut text, &[&code(row.name), row.accepts, &default(row), row.meaning]);
    }
    text
}

/// An environment with faults and what segue says of it.
pub fn faults_example() -> String {
    let vars = EXAMPLE.iter().map(|(name, value)| (name.into(), value.into()));
    let Err(faults) = read(vars) else { return String::new() };
    let mut text = String::from("```sh\n");
    for (name, value) in EXAMPLE {
        text.push_str(&format!("{name}={value}\n"));
    }
    text.push_str(&format!("```\n\n```text\n{faults}\n"));
    for warning in faults.warnings {
        text.push_str(&format!("{warning}\n"));
    }
    text + "```\n"
}

fn line(text: &mut String, cells: &[&str]) {
    text.push_str(&format!("| {} |\n", cells.join(" | ")));
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn default(row: &Row) -> String {
    if row.default.is_empty() {
        row.otherwise.to_owned()
    } else {
        code(row.default)
    }
}
