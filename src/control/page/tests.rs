//! TRIES the page: that it is complete, short, and escapes whatever comes from outside.

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
