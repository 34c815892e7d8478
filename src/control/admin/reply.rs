//! WRITES the admin endpoint's replies: status, fields and body, out of what came of a question. Pure.

use std::time::SystemTime;

use super::super::{health::Probe, metrics::format, page, status::Status};

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// The HTTP status.
    pub(super) status: u16,
    /// Header fields beside those that every reply has.
    pub(super) fields: Vec<(&'static str, &'static str)>,
    pub(super) body: String,
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
/// The page has a style of its own, and nothing else: no script, no image, no form, and no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

impl Reply {
    /// One with a body of this kind.
    pub(super) fn new(status: u16, kind: &'static str, body: String) -> Reply {
        Reply {
            status,
            fields: vec![("content-type", kind)],
            body,
        }
    }

    /// Of any value, as JSON.
    pub(super) fn json(value: &impl serde::Serialize) -> Reply {
        match serde_json::to_string_pretty(value) {
            Ok(text) => Reply::new(200, JSON, text + "\n"),
            Err(error) => Reply::new(500, TEXT, format!("{error}\n")),
        }
    }

    /// Of a probe.
    pub(super) fn probe(probe: Probe, verbose: bool, status: &Status) -> Reply {
        let verdict = probe.judge(status);
        let body = if verbose {
            verdict.verbose()
        } else {
            verdict.reason() + "\n"
        };
        Reply::new(if verdict.holds() { 200 } else { 503 }, TEXT, body)
    }

    /// Of the status.
    pub(super) fn status(status: &Status) -> Reply {
        Reply::json(status)
    }

    /// Of the page.
    pub(super) fn page(status: &Status, now: SystemTime) -> Reply {
        let mut reply = Reply::new(200, HTML, page::page(status, now));
        reply.fields.push(("content-security-policy", POLICY));
        reply
    }

    /// Of the metrics, in the format that the client's Accept fields ask for.
    pub(super) fn metrics(openmetrics: String, accept: &str) -> Reply {
        let format = format::wanted(accept);
        Reply::new(200, format.content_type(), format.of(openmetrics))
    }

    /// When the loop is silent.
    pub(super) fn silence() -> Reply {
        Reply::new(503, TEXT, "the loop does not answer\n".into())
    }
}
