//! DECIDES by the first bytes of a connection which HTTP its client speaks. No I/O.

/// How an HTTP/2 connection begins (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// What it is; `None` as long as it can be either.
#[must_use]
pub(super) fn of(first: &[u8]) -> Option<Version> {
    if first.starts_with(PREFACE) {
        Some(Version::Http2)
    } else if PREFACE.starts_with(first) {
        None
    } else {
        Some(Version::Http1)
    }
}

#[cfg(test)]
mod tests {
    use super::{PREFACE, Version, of};

    #[test]
    fn by_its_first_bytes() {
        for (first, version) in [
            (&b""[..], None),
            (b"P", None),
            (b"PO", Some(Version::Http1)),
            (b"PRI * HTTP/1.1\r\n", Some(Version::Http1)),
            (b"GET / HTTP/1.1\r\n", Some(Version::Http1)),
            (b"\x16\x03\x01", Some(Version::Http1)),
            (&PREFACE[..23], None),
            (PREFACE, Some(Version::Http2)),
            (&[PREFACE, &[0, 0, 0, 4]].concat(), Some(Version::Http2)),
        ] {
            assert_eq!(of(first), version, "{first:?}");
        }
    }
}
