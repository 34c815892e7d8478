//! REMEMBERS the head of the last request that went over a connection, as it was written, so that it can be sent once more over
//! another one, and whether nobody has read it. To keep the bytes costs less than to keep a second request, which is almost never wanted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::Request;

use super::Body;

/// A client's fields, of which there are 100 at most, and those that are added.
const MOST_FIELDS: usize = 128;

/// A longer one's memory is not kept for the next.
const KEPT: usize = 4096;

/// The head; a clone is the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    bytes: Vec<u8>,
    unread: bool,
}

impl Head {
    /// Another request comes, which has no body; is its head to be remembered?
    pub(crate) fn begin(&self, wanted: bool) {
        let mut state = self.lock();
        state.wanted = wanted;
        state.bytes.clear();
        state.bytes.shrink_to(KEPT);
    }

    /// All of the head is about to be written.
    pub(crate) fn writes<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) {
        let mut state = self.lock();
        if std::mem::take(&mut state.wanted) {
            pieces.for_each(|piece| state.bytes.extend_from_slice(piece));
        }
    }

    /// The connection was reset: the other end has thrown away what was sent, or part of it, before its program read it. (For one that
    /// has read all that came, a close and an end of its process are no reset.)
    pub(crate) fn reset(&self) {
        self.lock().unread = true;
    }

    /// Did nobody read all of what was sent?
    pub(crate) fn is_unread(&self) -> bool {
        self.lock().unread
    }

    /// The same request once more, if it was written and remembered.
    pub(crate) fn again(&self) -> Option<Request<Body>> {
        parsed(&self.lock().bytes)
    }

    /// Never held over a wait, so that on the one thread nobody ever waits for it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What hyper has written, read back.
fn parsed(bytes: &[u8]) -> Option<Request<Body>> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    if head.parse(bytes) != Ok(httparse::Status::Complete(bytes.len())) {
        return None;
    }
    let mut request = Request::builder().method(head.method?).uri(head.path?);
    for field in head.headers {
        request = request.header(field.name, field.value);
    }
    request.body(Body::none()).ok()
}

#[cfg(test)]
mod tests {
    use hyper::{
        HeaderMap, Method, Request,
        header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING},
    };
    use proptest::prelude::*;

    use super::{Body, Head};
    use crate::caller::{Wire, over};

    fn request(method: Method, target: &str, fields: HeaderMap) -> Request<Body> {
        let mut request = Request::new(Body::none());
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().unwrap();
        *request.headers_mut() = fields;
        request
    }

    /// Has hyper write it, and reads it back.
    fn sent(request: Request<Body>, wanted: bool) -> Option<Request<Body>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let head = Head::default();
        head.begin(wanted);
        runtime.block_on(async {
            let (near, _far) = tokio::io::duplex(1 << 20);
            let wire = Wire::remembering(Box::new(near), head.clone());
            let (mut sender, mut driver) = over(wire, None).await.unwrap();
            let answer = sender.try_send_request(request);
            std::future::poll_fn(|context| {
                assert!(driver.poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            drop(answer);
        });
        head.again()
    }

    fn field() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
        let name = "[a-z][a-z0-9!#$%&'*+.^_`|~-]{0,20}".prop_map(|it| HeaderName::try_from(it).unwrap());
        // All that a field's value may have, obs-text included; around it is no white space.
        let value = proptest::collection::vec(prop_oneof![0x21..0x7f_u8, 0x80..0xff_u8, Just(b' ')], 0..40);
        let value = value.prop_map(|it| HeaderValue::from_bytes(it.trim_ascii()).unwrap());
        // They are hyper's own to write.
        let framing = |(name, _): &(HeaderName, HeaderValue)| ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(name);
        (name, value).prop_filter("framing", framing)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_written_is_read_back(
            fields in proptest::collection::vec(field(), 0..107),
            method in "(GET|HEAD|OPTIONS|TRACE|PUT|DELETE)",
            target in "/[a-zA-Z0-9/%._~:@!$&'()*+,;=-]{0,60}(\\?[a-z0-9=&]{0,10})?",
        ) {
            let method = Method::try_from(&*method).unwrap();
            let fields: HeaderMap = fields.into_iter().collect();
            let mut again = sent(request(method.clone(), &target, fields.clone()), true).unwrap();
            prop_assert_eq!(again.method(), method);
            prop_assert_eq!(again.uri().to_string(), target);
            // hyper says so where a body would be expected.
            let length = again.headers_mut().remove(CONTENT_LENGTH);
            prop_assert!(length.is_none_or(|it| it == "0"));
            prop_assert_eq!(again.headers(), &fields);
        }
    }

    #[test]
    fn only_what_is_wanted_is_remembered_and_only_once() {
        let get = || request(Method::GET, "/", HeaderMap::new());
        assert!(sent(get(), false).is_none());
        assert_eq!(
            sent(request(Method::OPTIONS, "*", HeaderMap::new()), true)
                .unwrap()
                .uri(),
            "*"
        );
        let head = Head::default();
        head.begin(true);
        assert!(head.again().is_none(), "nothing was written");
        for piece in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"more"] {
            head.writes([piece].into_iter());
        }
        assert!(head.again().is_some());
        head.begin(true);
        head.writes([&b"GET / HT"[..]].into_iter());
        assert!(head.again().is_none(), "it is no whole head");
        head.begin(false);
        assert!(head.again().is_none());
    }
}
