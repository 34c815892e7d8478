//! ROUTES a request of the admin endpoint: from its method and target to what is wanted. Pure; no route changes anything.

use super::{
    super::health::Probe,
    reply::{Reply, TEXT},
};

/// What is answered to which path.
const ROUTES: &str = "\
/          a page for people
/livez     does segue's own loop turn? (/healthz is the same)
/readyz    does a ready generation serve?
/startupz  was a generation ever ready?
/status    how things are, as JSON
/metrics   for Prometheus
/version   of segue, as JSON
The probes list their parts with ?verbose.
";

/// What the loop is asked, and what is made of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// A verdict.
    Probe {
        /// Which.
        probe: Probe,
        /// With a line for each part?
        verbose: bool,
    },
    /// The status, as JSON.
    Status,
    /// The status, as a page.
    Page,
    /// All metrics.
    Metrics,
}

/// What is wanted, or the reply if nobody needs to be asked for it.
pub(super) fn route(method: &str, path: &str, query: Option<&str>) -> Result<Route, Reply> {
    if !matches!(method, "GET" | "HEAD") {
        let mut reply = Reply::new(405, TEXT, "only GET and HEAD: nothing can be changed here\n".into());
        reply.fields.push(("allow", "GET, HEAD"));
        return Err(reply);
    }
    let verbose = query
        .unwrap_or_default()
        .split('&')
        .any(|it| it.split('=').next() == Some("verbose"));
    let probe = |probe| Ok(Route::Probe { probe, verbose });
    match path {
        "/" => Ok(Route::Page),
        "/livez" | "/healthz" => probe(Probe::Live),
        "/readyz" => probe(Probe::Ready),
        "/startupz" => probe(Probe::Startup),
        "/status" => Ok(Route::Status),
        "/metrics" => Ok(Route::Metrics),
        "/version" => Err(Reply::json(
            &serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }),
        )),
        _ => Err(Reply::new(
            404,
            TEXT,
            format!("there is no such page; there are:\n{ROUTES}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Probe, ROUTES, Reply, Route, route};

    #[test]
    fn every_route_is_known_with_and_without_a_query() {
        let probe = |probe, verbose| Ok(Route::Probe { probe, verbose });
        for (target, wanted) in [
            ("/", Ok(Route::Page)),
            ("/livez", probe(Probe::Live, false)),
            ("/healthz", probe(Probe::Live, false)),
            ("/readyz", probe(Probe::Ready, false)),
            ("/readyz?verbose", probe(Probe::Ready, true)),
            ("/readyz?x=1&verbose=", probe(Probe::Ready, true)),
            ("/readyz?verbosely", probe(Probe::Ready, false)),
            ("/startupz", probe(Probe::Startup, false)),
            ("/status?pretty", Ok(Route::Status)),
            ("/metrics", Ok(Route::Metrics)),
        ] {
            let (path, query) = target
                .split_once('?')
                .map_or((target, None), |(path, query)| (path, Some(query)));
            for method in ["GET", "HEAD"] {
                assert_eq!(route(method, path, query), wanted, "{method} {target}");
            }
        }
        let version = route("GET", "/version", None).unwrap_err();
        assert_eq!(version.status, 200);
        let version: serde_json::Value = serde_json::from_str(&version.body).unwrap();
        assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn the_list_of_routes_is_what_is_routed() {
        let paths = ROUTES
            .lines()
            .filter_map(|line| line.split_whitespace().next().filter(|it| it.starts_with('/')));
        for path in paths.chain(["/healthz"]) {
            assert!(
                route("GET", path, None).err().is_none_or(|it| it.status == 200),
                "{path}"
            );
        }
    }

    fn is_refused(reply: &Reply, status: u16) -> bool {
        reply.status == status && reply.fields.contains(&("content-type", super::TEXT))
    }

    proptest! {
        #[test]
        fn nothing_but_get_and_head_is_let_in(method in "[A-Z]{1,9}", path in "/[a-z]{0,9}") {
            prop_assume!(method != "GET" && method != "HEAD");
            let reply = route(&method, &path, None).unwrap_err();
            prop_assert!(is_refused(&reply, 405) && reply.fields.contains(&("allow", "GET, HEAD")));
        }

        #[test]
        fn whatever_else_is_asked_for_is_not_there(path in "\\PC{0,20}", query in "\\PC{0,20}") {
            prop_assume!(path != "/");
            let reply = route("GET", &path, Some(&query)).unwrap_err();
            prop_assert!(is_refused(&reply, 404) && reply.body.contains("/readyz"));
        }
    }
}
