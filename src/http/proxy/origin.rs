//! TELLS the program where a request comes from: the usual fields, and the standard one (RFC 7239). What proxies before us have
//! said stays; where they have used one of the two, the other is left out, as it would contradict that.

use std::{cell::RefCell, net::IpAddr};

use hyper::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};

use super::fields::{Present, join};

pub(super) static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A client, in the words of the fields: written down once for all of its requests.
#[derive(Debug)]
pub struct Origin {
    address: Option<HeaderValue>,
    /// How its element of Forwarded begins.
    element: String,
    /// The host that it asked last, and the whole element: it mostly asks the same one again.
    last: RefCell<Option<(Box<[u8]>, HeaderValue)>>,
}

impl Origin {
    /// `None` is a client without an address (of a unix socket).
    #[must_use]
    pub fn new(client: Option<IpAddr>) -> Origin {
        // An IPv4 client of a dual-stack socket is an IPv4 client.
        let client = client.map(|it| it.to_canonical());
        Origin {
            address: client.and_then(|it| HeaderValue::try_from(it.to_string()).ok()),
            element: match client {
                Some(IpAddr::V4(ip)) => format!("for={ip}"),
                Some(IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
                None => "for=unknown".to_owned(),
            },
            last: RefCell::new(None),
        }
    }

    /// Adds to a request's fields who asked, for what host, and how.
    pub(super) fn tell(&self, headers: &mut HeaderMap, present: Present) {
        let host = headers.get(HOST).filter(|it| !it.is_empty()).cloned();
        // What a client's Connection names is gone by now, whether it was there or not.
        let usual = [
            (present.x_forwarded_for, &X_FORWARDED_FOR),
            (present.x_forwarded_host, &X_FORWARDED_HOST),
            (present.x_forwarded_proto, &X_FORWARDED_PROTO),
        ];
        let usual = usual
            .iter()
            .any(|(present, name)| *present && headers.contains_key(*name));
        let standard = present.forwarded && headers.contains_key(FORWARDED);
        let forwarded = if usual && !standard {
            None
        } else {
            self.forwarded(host.as_ref())
        };
        let (address, host) = if standard && !usual {
            (None, None)
        } else {
            (self.address.clone(), host)
        };
        for (present, name, more) in [
            (present.x_forwarded_for, &X_FORWARDED_FOR, address),
            (present.forwarded, &FORWARDED, forwarded),
        ] {
            let value = more.and_then(|more| match present {
                true => join(headers, name, b", ", Some(more.as_bytes())),
                false => Some(more),
            });
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        let http = (usual || !standard).then(|| HeaderValue::from_static("http"));
        for (present, name, value) in [
            (present.x_forwarded_host, &X_FORWARDED_HOST, host),
            (present.x_forwarded_proto, &X_FORWARDED_PROTO, http),
        ] {
            if let Some(value) = value
                && !(present && headers.contains_key(name))
            {
                headers.insert(name, value);
            }
        }
    }

    fn forwarded(&self, host: Option<&HeaderValue>) -> Option<HeaderValue> {
        let Some(host) = host else { return self.element(None) };
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((asked, element)) if **asked == *host.as_bytes() => Some(element.clone()),
            Some(_) | None => {
                let element = self.element(Some(host))?;
                *last = Some((host.as_bytes().into(), element.clone()));
                Some(element)
            }
        }
    }

    fn element(&self, host: Option<&HeaderValue>) -> Option<HeaderValue> {
        const HOST_IS: &str = ";host=";
        const PROTO: &str = ";proto=http";
        let host = host.and_then(|it| it.to_str().ok());
        let room = self.element.len() + HOST_IS.len() + host.map_or(0, str::len) + 2 + PROTO.len();
        let mut element = String::with_capacity(room);
        element.push_str(&self.element);
        if let Some(host) = host {
            // Whatever is no token wants quotes, a comma or a semicolon above all: a client must not say more than its host there.
            let quote = if host.bytes().all(is_of_token) { "" } else { "\"" };
            element.extend([HOST_IS, quote, host, quote]);
        }
        element.push_str(PROTO);
        HeaderValue::try_from(element).ok()
    }
}

/// RFC 9110, section 5.6.2.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
