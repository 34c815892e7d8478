//! SHOWS a status to people: one small page of HTML that needs nothing else and asks for itself again. Pure. Whatever comes
//! from outside is escaped; there is no script.

mod escape;
mod tables;
mod text;

use std::time::SystemTime;

use self::{
    escape::Escaped,
    tables::{generations, restarts, settings},
    text::{Ago, number},
};
use super::status::Status;

const STYLE: &str = include_str!("page.css");

/// The page.
#[must_use]
pub(super) fn page(status: &Status, now: SystemTime) -> String {
    let program = status.program.join(" ");
    let (tone, word) = state(status);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"refresh\" content=\"5\">\n<title>{word}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{}</h1><span class=\"pill {tone}\">{word}</span></header>\n<p class=\"reason\">{}</p>\n",
        Escaped(&program),
        Escaped(&program),
        Escaped(&status.reason),
    );
    html += &notices(status, now);
    html += &facts(status, now);
    html += &generations(status, now);
    html += &restarts(&status.last_restarts, now);
    html += &settings(&status.settings);
    html += "<footer>Renewed every 5 seconds · <a href=\"/status\">status</a> · <a href=\"/metrics\">metrics</a> · \
             <a href=\"/readyz?verbose\">readyz</a></footer>\n</body>\n</html>\n";
    html
}

fn state(status: &Status) -> (&'static str, &'static str) {
    match (&status.stop, status.draining, status.ready) {
        (Some(_), _, _) => ("warn", "stopping"),
        (None, Some(_), _) => ("warn", "draining"),
        (None, None, true) => ("good", "ready"),
        (None, None, false) => ("bad", "not ready"),
    }
}

fn notices(status: &Status, now: SystemTime) -> String {
    let mut html = String::new();
    let mut notice = |text: String| html += &format!("<p class=\"notice\">{text}</p>\n");
    if let Some(stop) = &status.stop {
        let end = match stop.deadline {
            Some(deadline) => format!("; whatever is left is killed {}", Ago(deadline, now)),
            None => "; it may take as long as it needs".into(),
        };
        notice(format!("A stop was asked for {}{end}.", Ago(stop.since, now)));
    }
    if let Some(since) = status.draining {
        notice(format!(
            "Not ready on purpose: <code>segue drain</code> was asked for {}.",
            Ago(since, now)
        ));
    }
    if let Some(at) = status.next_start {
        notice(format!(
            "The program ended by itself. It starts again {}.",
            Ago(at, now)
        ));
    }
    html
}

fn facts(status: &Status, now: SystemTime) -> String {
    let restarts = status.restarts;
    let mut html = String::from("<dl>\n");
    let mut fact = |name: &str, value: &str, small: &str| {
        let small = if small.is_empty() {
            String::new()
        } else {
            format!("<small>{small}</small>")
        };
        html += &format!("<div><dt>{name}</dt><dd>{value}{small}</dd></div>\n");
    };
    let phase = format!("{}, pid {}", Escaped(&status.phase), status.pid);
    fact("segue", &Escaped(&status.version).to_string(), &phase);
    fact("Started", &Ago(status.since, now).to_string(), "");
    let how = match (&status.handover.method, &status.handover.why) {
        (Some(method), None) => format!("by {method}"),
        (Some(_) | None, why) => why.clone().unwrap_or_default(),
    };
    fact(
        "Hand-over",
        &Escaped(&status.handover.mode).to_string(),
        &Escaped(&how).to_string(),
    );
    let unlucky = match (restarts.rolled_back, restarts.failed) {
        (0, 0) => String::new(),
        (back, 0) => format!("{} rolled back", number(back)),
        (0, failed) => format!("{} failed", number(failed)),
        (back, failed) => format!("{} rolled back, {} failed", number(back), number(failed)),
    };
    fact("Restarts", &number(restarts.replaced), &unlucky);
    fact("Connections cut", &number(status.cut), "");
    if let Some(watch) = &status.watch {
        fact(
            "Watched files",
            &number(watch.files),
            &Escaped(&watch.to_string()).to_string(),
        );
    }
    html + "</dl>\n"
}

#[cfg(test)]
mod tests;
