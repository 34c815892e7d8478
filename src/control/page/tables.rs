//! DRAWS the page's tables: generations, restarts, settings. Pure.

use std::time::{Duration, SystemTime};

use super::{
    super::status::{Connections, Generation, Restart, Setting, Status},
    escape::Escaped,
    text::{Ago, For, number},
};

/// A program may listen in very many places. That many are shown.
const MOST_LISTENS: usize = 12;

/// A table, or what is said instead of an empty one. Each column has a name and a class.
fn table(title: &str, columns: &[(&str, &str)], rows: &[Vec<String>], empty: &str) -> String {
    let mut html = format!("<h2>{title}</h2>\n");
    if rows.is_empty() {
        return html + &format!("<p class=\"none\">{empty}</p>\n");
    }
    html += "<table>\n<thead><tr>";
    for (name, class) in columns {
        html += &format!("<th class=\"{class}\">{name}</th>");
    }
    html += "</tr></thead>\n<tbody>\n";
    for row in rows {
        html += "<tr>";
        for ((name, class), cell) in columns.iter().zip(row) {
            html += &format!("<td class=\"{class}\" data-label=\"{name}\">{cell}</td>");
        }
        html += "</tr>\n";
    }
    html + "</tbody>\n</table>\n"
}

/// The table of generations.
pub(super) fn generations(status: &Status, now: SystemTime) -> String {
    let row = |it: &Generation| {
        let tone = match it.role.as_str() {
            "serving" => "good",
            "killed" => "bad",
            "preparing" | "starting" => "warn",
            _ => "soft",
        };
        let count = |count: fn(&Connections) -> u64| it.connections.as_ref().map(count).map(number);
        vec![
            it.number.to_string(),
            format!("<span class=\"dot {tone}\">{}</span>", Escaped(&it.role)),
            it.pid.map_or_else(String::new, |pid| pid.to_string()),
            Ago(it.since, now).to_string(),
            it.ready
                .map_or_else(|| "not yet".into(), |at| format!("after {}", For(it.since.ago(at.0)))),
            listens(&it.listens),
            count(|it| it.queued).unwrap_or_default(),
            count(|it| it.busy).unwrap_or_default(),
            count(|it| it.idle).unwrap_or_default(),
        ]
    };
    let mut columns = vec![
        ("No.", "number"),
        ("Role", "short"),
        ("Pid", "number"),
        ("Begun", "short"),
        ("Ready", "short"),
        ("Listens on", ""),
        ("Queued", "number"),
        ("Busy", "number"),
        ("Idle", "number"),
    ];
    if status.generations.iter().all(|it| it.connections.is_none()) {
        columns.truncate(6);
    }
    let rows: Vec<_> = status.generations.iter().rev().map(row).collect();
    table("Generations", &columns, &rows, "The program does not run.")
}

fn listens(places: &[String]) -> String {
    let mut shown: Vec<String> = places
        .iter()
        .take(MOST_LISTENS)
        .map(|it| format!("<code>{}</code>", Escaped(it)))
        .collect();
    let more = places.len().saturating_sub(shown.len());
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    format!("<span>{}</span>", shown.join("<br>"))
}

/// The table of the last restarts.
pub(super) fn restarts(restarts: &[Restart], now: SystemTime) -> String {
    let row = |it: &Restart| {
        let tone = match it.outcome.as_str() {
            "replaced" => "good",
            "rolled_back" => "warn",
            _ => "bad",
        };
        let generation = it.generation.map_or_else(String::new, |it| it.to_string());
        vec![
            Ago(it.at, now).to_string(),
            Escaped(&it.reason).to_string(),
            format!(
                "<span class=\"dot {tone}\">{}</span>",
                Escaped(&it.outcome.replace('_', " "))
            ),
            generation,
            For(Duration::from_millis(it.took_ms)).to_string(),
            [it.cause.as_deref(), it.why.as_deref()]
                .into_iter()
                .flatten()
                .map(|text| Escaped(text).to_string())
                .collect::<Vec<_>>()
                .join("; "),
        ]
    };
    let columns = [
        ("When", "short"),
        ("Asked by", "short"),
        ("Outcome", "short"),
        ("Generation", "number"),
        ("Took", "number short"),
        ("Why", "wide"),
    ];
    let rows: Vec<_> = restarts.iter().map(row).collect();
    table("Last restarts", &columns, &rows, "None since segue was started.")
}

/// The table of settings.
pub(super) fn settings(settings: &[Setting]) -> String {
    let row = |it: &Setting| {
        vec![
            format!("<code>{}</code>", Escaped(&it.name)),
            format!("<code>{}</code>", Escaped(&it.value)),
        ]
    };
    let rows: Vec<_> = settings.iter().map(row).collect();
    let title = "Settings <small>that differ from their defaults</small>";
    table(
        title,
        &[("Name", "wide"), ("Value", "wide")],
        &rows,
        "All are as by default.",
    )
}
