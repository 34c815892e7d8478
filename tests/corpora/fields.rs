//! What holds for every head that the proxy passes on.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    header::{HeaderName, HeaderValue},
};
use segue::proxy::{
    fields::{Origin, to_client, to_program},
    refusal::refusal,
};

/// Fields that end at each hop, but for those that ask the program for another protocol or for trailers.
const HOP_BY_HOP: [&str; 4] = ["transfer-encoding", "keep-alive", "proxy-connection", "x-dropped"];

/// The first line is method, target, version and the client's address; a line each for the fields.
pub fn check(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut words = first.split_ascii_whitespace();
    let method = words
        .next()
        .and_then(|it| it.parse::<Method>().ok())
        .unwrap_or(Method::GET);
    let target: Uri = words.next().and_then(|it| it.parse().ok()).unwrap_or_default();
    let version = match words.next() {
        Some("HTTP/1.0") => Version::HTTP_10,
        Some("HTTP/2") => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let client = words.next().and_then(|it| it.parse().ok());
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    request(method, target, version, headers.clone(), client);
    response(headers);
}

fn request(method: Method, target: Uri, version: Version, headers: HeaderMap, client: Option<IpAddr>) {
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .version(version)
        .body(())
        .unwrap();
    *request.headers_mut() = headers;
    let before = request.headers().clone();
    if let Some(refused) = refusal(&request) {
        assert!(refused.status().is_client_error() || refused.status() == StatusCode::NOT_IMPLEMENTED);
        assert!(refused.why().ends_with('\n'));
        return;
    }
    to_program(&mut request, &Origin::new(client));
    let after = request.headers();
    assert_eq!(request.version(), Version::HTTP_11);
    assert!(
        request.uri().authority().is_none() && request.uri().scheme().is_none(),
        "{}",
        request.uri()
    );
    hop_by_hop(&before, after);
    assert_eq!(after.get_all("host").iter().count(), 1);
    assert!(after.get_all("cookie").iter().count() <= 1);
    for name in ["content-length", "trailer", "authorization", "range"] {
        let ends = ["authorization", "range"].contains(&name) && names(&before, name);
        assert_eq!(
            if ends { Vec::new() } else { all(&before, name) },
            all(after, name),
            "{name} is passed on"
        );
    }
    origin(&before, after, client);
    // A second proxy adds itself and changes nothing else.
    let kept = after.clone();
    let mut again = Request::builder().uri("/").body(()).unwrap();
    *again.headers_mut() = kept.clone();
    to_program(&mut again, &Origin::new(client));
    for name in kept
        .keys()
        .filter(|it| !["forwarded", "x-forwarded-for"].contains(&it.as_str()))
    {
        assert_eq!(all(&kept, name.as_str()), all(again.headers(), name.as_str()), "{name}");
    }
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// Does Connection name it?
fn names(headers: &HeaderMap, name: &str) -> bool {
    let connection = headers.get_all("connection").iter().filter_map(|it| it.to_str().ok());
    let mut named = connection.flat_map(|it| it.split(',')).map(str::trim);
    named.any(|it| it.eq_ignore_ascii_case(name))
}

/// What is of one hop only ends here, and so does what Connection names.
fn hop_by_hop(before: &HeaderMap, after: &HeaderMap) {
    for name in &HOP_BY_HOP[..3] {
        assert!(!after.contains_key(*name), "{name}");
    }
    assert!(!names(before, HOP_BY_HOP[3]) || !after.contains_key(HOP_BY_HOP[3]));
    if let Some(connection) = after.get("connection") {
        assert!(
            connection == "upgrade" && after.contains_key("upgrade") || connection == "te" && after["te"] == "trailers"
        );
    } else {
        assert!(!after.contains_key("upgrade") && !after.contains_key("te"));
    }
}

/// The last to be named is the client, as it is known here, whatever it said of itself.
fn origin(before: &HeaderMap, after: &HeaderMap, client: Option<IpAddr>) {
    let client = client.map(|it| it.to_canonical());
    if let (Some(ip), [said]) = (client, &all(after, "x-forwarded-for")[..]) {
        assert_eq!(
            said.rsplit(|byte| *byte == b',').next().unwrap().trim_ascii(),
            ip.to_string().as_bytes()
        );
    }
    // One that is not well-formed may hide what comes behind it.
    let said_before = all(before, "forwarded").concat();
    let forwarded = all(after, "forwarded");
    let ([only], false) = (&forwarded[..], said_before.contains(&b'"')) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(only) else { return };
    let last = elements(text).pop().unwrap();
    let host = after["host"].to_str().unwrap();
    let who = match client {
        Some(IpAddr::V6(ip)) => format!("[{ip}]"),
        Some(ip) => ip.to_string(),
        None => "unknown".into(),
    };
    let mut expected = vec![("for".to_owned(), who)];
    if !host.is_empty() {
        expected.push(("host".into(), host.into()));
    }
    expected.push(("proto".into(), "http".into()));
    assert_eq!(last, expected, "{text}");
}

/// RFC 7239, section 4: elements of pairs, whose values are tokens or quoted.
fn elements(text: &str) -> Vec<Vec<(String, String)>> {
    let (mut elements, mut pair, mut quoted) = (vec![Vec::new()], String::new(), false);
    let end = |elements: &mut Vec<Vec<(String, String)>>, pair: &mut String| {
        if let Some((name, value)) = std::mem::take(pair).split_once('=') {
            let token = value
                .chars()
                .all(|it| it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(it));
            let value = value
                .strip_prefix('"')
                .and_then(|it| it.strip_suffix('"'))
                .or(token.then_some(value));
            let value = value.unwrap_or("neither a token nor quoted");
            elements
                .last_mut()
                .unwrap()
                .push((name.trim().to_owned(), value.to_owned()));
        }
    };
    for letter in text.chars() {
        match letter {
            ';' if !quoted => end(&mut elements, &mut pair),
            ',' if !quoted => {
                end(&mut elements, &mut pair);
                elements.push(Vec::new());
            }
            _ => {
                quoted ^= letter == '"';
                pair.push(letter);
            }
        }
    }
    end(&mut elements, &mut pair);
    elements
}

fn response(headers: HeaderMap) {
    for status in [
        StatusCode::OK,
        StatusCode::SWITCHING_PROTOCOLS,
        StatusCode::UPGRADE_REQUIRED,
    ] {
        let mut answer = Response::new(());
        *answer.headers_mut() = headers.clone();
        *answer.status_mut() = status;
        to_client(&mut answer);
        let upgrades = status != StatusCode::OK && headers.contains_key("upgrade");
        assert_eq!(answer.headers().contains_key("upgrade"), upgrades);
        assert_eq!(answer.headers().contains_key("connection"), upgrades);
        assert!(HOP_BY_HOP[..3].iter().all(|name| !answer.headers().contains_key(*name)));
        assert_eq!((answer.version(), answer.status()), (Version::HTTP_11, status));
        for name in ["set-cookie", "content-length", "location"] {
            let ends = name != "content-length" && names(&headers, name);
            assert_eq!(
                if ends { Vec::new() } else { all(&headers, name) },
                all(answer.headers(), name),
                "{name}"
            );
        }
        let once = answer.headers().clone();
        to_client(&mut answer);
        assert_eq!(*answer.headers(), once, "twice is once");
    }
}
