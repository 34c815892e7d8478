//! SHOWS a status to people: one small page of HTML that needs nothing else and asks for itself again. Pure. Whatever comes
//! from outside is escaped; there is no script.

mod text;

use std::time::{Duration, SystemTime};

use self::text::{Ago, Escaped, For, number};
use super::status::{Connections, Generation, Restart, Setting, Status};

const STYLE: &str = include_str!("page.css");
/// A program may listen in very many places. That many are shown.
const MOST_LISTENS: usize = 12;

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
    let why = status.handover.why.as_deref().unwrap_or_default();
    fact(
        "Hand-over",
        &Escaped(&status.handover.mode).to_string(),
        &Escaped(why).to_string(),
    );
    let unlucky = match (restarts.rolled_back, restarts.failed) {
        (0, 0) => String::new(),
        (back, 0) => format!("{} rolled back", number(back)),
        (0, failed) => format!("{} failed", number(failed)),
        (back, failed) => format!("{} rolled back, {} failed", number(back), number(failed)),
    };
    fact("Restarts", &number(restarts.replaced), &unlucky);
    fact("Connections cut", &number(status.cut), "");
    html + "</dl>\n"
}

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

fn generations(status: &Status, now: SystemTime) -> String {
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

fn restarts(restarts: &[Restart], now: SystemTime) -> String {
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
            it.why
                .as_deref()
                .map_or_else(String::new, |why| Escaped(why).to_string()),
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

fn settings(settings: &[Setting]) -> String {
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::{super::sample, page};

    /// What the page itself opens with.
    fn tags(html: &str) -> Vec<&str> {
        html.split('<')
            .skip(1)
            .filter_map(|it| it.split(['>', ' ', '\n']).next())
            .collect()
    }

    #[test]
    fn no_text_from_outside_is_html() {
        let bad = "<script>alert(1)</script>\"'&amp;";
        let text = serde_json::to_value(sample::status()).unwrap();
        let spoiled = sample::with_every_string(text, bad);
        let spoiled = page(&serde_json::from_value(spoiled).unwrap(), SystemTime::now());
        assert!(
            spoiled
                .matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;amp;")
                .count()
                >= 15,
            "{spoiled}"
        );
        assert!(!tags(&spoiled).iter().any(|tag| tag.contains("script")));
        let harmless = sample::with_every_string(serde_json::to_value(sample::status()).unwrap(), "harmless");
        let harmless = page(&serde_json::from_value(harmless).unwrap(), SystemTime::now());
        assert_eq!(tags(&spoiled), tags(&harmless));
    }

    #[test]
    fn it_needs_nothing_from_elsewhere() {
        let html = page(&sample::status(), SystemTime::now());
        for word in [
            "=\"http",
            "=\"//",
            "src=",
            "url(",
            "@import",
            "<script",
            "<link",
            "javascript",
        ] {
            assert!(!html.contains(word), "{word}");
        }
        assert!(html.contains("http-equiv=\"refresh\" content=\"5\""));
    }

    #[test]
    fn a_generation_says_how_long_it_took_to_be_ready() {
        let html = page(&sample::status(), SystemTime::now());
        assert!(
            html.contains(">after 412 ms<") && html.contains(">12\u{202f}046<"),
            "{html}"
        );
        assert!(
            html.find(">serving<") < html.find(">draining<"),
            "the newest comes first"
        );
    }

    #[test]
    fn every_state_has_its_word() {
        let mut status = sample::status();
        let word = |status: &_| {
            let html = page(status, SystemTime::now());
            let (_, rest) = html.split_once("class=\"pill ").unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        assert_eq!(word(&status), "good\">ready");
        status.draining = Some(status.since);
        assert_eq!(word(&status), "warn\">draining");
        status.stop = Some(sample::stop());
        assert_eq!(word(&status), "warn\">stopping");
        let nothing = sample::nothing();
        assert_eq!(word(&nothing), "bad\">not ready");
        let html = page(&nothing, SystemTime::now());
        assert!(html.contains("does not run") && html.contains("as by default") && html.contains("starts again"));
    }

    #[test]
    fn thousands_of_listeners_do_not_make_it_long() {
        let mut status = sample::status();
        status.generations[0].listens = (0..5000).map(|port| format!("127.0.0.1:{port}")).collect();
        let html = page(&status, SystemTime::now());
        assert!(html.contains("and 4988 more") && html.len() < 20_000, "{}", html.len());
    }
}
