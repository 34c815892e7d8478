//! What an HTTP probe asks for, and where. Plain HTTP only, no user names, no names to look up.

use super::{Address, Reason, Value};

/// One GET request that is answered with 2xx or 3xx when the program is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProbe {
    /// Where to connect; never a unix socket.
    pub address: Address,
    /// What the Host header says.
    pub host: String,
    /// Path and query, percent-encoded; begins with a slash.
    pub path: String,
}

impl Value for HttpProbe {
    const ACCEPTS: &'static str = "`http:URL`";

    /// Reads `http://HOST:PORT/path` and what is left when `http:`, or `http://`, is left out; port 80 is the default.
    fn parse(text: &str) -> Result<Self, Reason> {
        if strip(text, "https:").is_some() {
            return Err(
                "https is not supported, probe a plain port, or let a command do it, such as \
                        exec:curl -fks https://127.0.0.1:8443/ready"
                    .into(),
            );
        }
        let rest = strip(text, "http:").unwrap_or(text);
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a path has printable ASCII only, percent-encode the rest, such as %20 for a space".into());
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(HttpProbe {
            address: address(authority)?,
            host: host(authority),
            path: format!("{slash}{path}"),
        })
    }
}

fn address(authority: &str) -> Result<Address, Reason> {
    if authority.is_empty() || authority == "unix:" {
        return Err("no address in it, give one such as http://127.0.0.1:8080/ready".into());
    }
    if authority.contains('@') {
        return Err("user names are not supported, let a command do it, such as exec:curl -fs URL".into());
    }
    let port_follows = match authority.rsplit_once(']') {
        Some((_, rest)) => rest.starts_with(':'),
        None => authority.contains(':'),
    };
    if port_follows {
        Address::parse(authority)
    } else {
        Address::parse(&format!("{authority}:80"))
    }
}

/// The Host header of RFC 9112: as written, save that all interfaces have no name.
fn host(authority: &str) -> String {
    if authority.starts_with(':') {
        format!("localhost{authority}")
    } else {
        authority.to_owned()
    }
}

/// What follows a prefix in either case.
fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, String, String) {
        let probe = HttpProbe::parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        (probe.address.to_string(), probe.host, probe.path)
    }

    #[test]
    fn an_url_may_be_short() {
        for (text, address, host, path) in [
            ("//127.0.0.1:8080/ready", "127.0.0.1:8080", "127.0.0.1:8080", "/ready"),
            (
                "http://127.0.0.1:8080/a?b=c#d",
                "127.0.0.1:8080",
                "127.0.0.1:8080",
                "/a?b=c",
            ),
            ("HTTP://localhost", "localhost:80", "localhost", "/"),
            (":8080/ready", ":8080", "localhost:8080", "/ready"),
            ("127.0.0.1:8080?x", "127.0.0.1:8080", "127.0.0.1:8080", "/?x"),
            ("//[::1]/", "[::1]:80", "[::1]", "/"),
            ("//[::1]:81/", "[::1]:81", "[::1]:81", "/"),
            ("10.0.0.1/x", "10.0.0.1:80", "10.0.0.1", "/x"),
        ] {
            assert_eq!(
                read(text),
                (address.to_owned(), host.to_owned(), path.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn each_slip_is_told_what_would_be_right() {
        for (text, why) in [
            ("", "no address"),
            ("/ready", "no address"),
            ("https://127.0.0.1/", "exec:curl"),
            ("//me:secret@127.0.0.1/", "user names"),
            ("//app/ready", "no name service"),
            ("//127.0.0.1/a b", "%20"),
            ("//127.0.0.1:0/", "port 0"),
            ("unix:/run/a.sock", "no address"),
        ] {
            let reason = HttpProbe::parse(text).unwrap_err().to_string();
            assert!(reason.contains(why), "{text}: {reason}");
        }
    }
}
