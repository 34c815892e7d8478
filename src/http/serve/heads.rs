//! READS along where the heads of HTTP/1 requests end, so that it is known how many more have come than are answered, and
//! whether one tells the length of its body in two ways (RFC 9112 §6.3), of which hyper would pass one over in silence. It
//! changes nothing and keeps nothing of what it reads.

/// So many first bytes of a line tell what it is.
const PREFIX: usize = 32;

/// A body up to this length, in bytes, is followed to its end. Of a longer one it is not worth while.
const FOLLOWED: u64 = 16 * 1024;

/// Where in the bytes it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Within a head.
    Head,
    /// Within a body, of which so many bytes are left.
    Body(u64),
    /// Within a body whose end it does not know.
    Lost,
}

/// The reader.
#[derive(Debug)]
pub(super) struct Heads {
    place: Place,
    /// The line so far, as much of it as matters.
    line: [u8; PREFIX],
    length: usize,
    /// Is a line of this head complete?
    begun: bool,
    body: Option<Length>,
    chunked: bool,
}

/// What Content-Length says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    /// Nothing that is read here; hyper knows, or refuses it.
    Unread,
}

/// What a piece of bytes has brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Heads that ended in it.
    pub(super) heads: u32,
    /// Did one of them tell its body's length in two ways?
    pub(super) ambiguous: bool,
    /// Does it end within another head?
    pub(super) part: bool,
}

impl Heads {
    pub(super) fn new() -> Heads {
        Heads {
            place: Place::Head,
            line: [0; PREFIX],
            length: 0,
            begun: false,
            body: None,
            chunked: false,
        }
    }

    /// All that came is answered: what comes next is a head.
    pub(super) fn answered(&mut self) {
        if self.place == Place::Lost {
            *self = Heads::new();
        }
    }

    /// Is there anything to be learnt from what comes?
    pub(super) fn is_lost(&self) -> bool {
        self.place == Place::Lost
    }

    /// Reads on.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        while !bytes.is_empty() {
            match self.place {
                Place::Lost => break,
                Place::Body(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(here..).unwrap_or_default();
                    let left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
                    self.place = if left == 0 { Place::Head } else { Place::Body(left) };
                }
                Place::Head => {
                    let end = memchr::memchr(b'\n', bytes);
                    let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |it| it.saturating_add(1)));
                    self.take(line);
                    bytes = rest;
                    if end.is_some() {
                        self.end_line(&mut seen);
                    }
                }
            }
        }
        seen.part = self.place == Place::Head && (self.begun || self.length > 0);
        seen
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = self.line.get_mut(self.length..).unwrap_or_default();
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.length = self.length.saturating_add(bytes.len()).min(PREFIX);
    }

    fn end_line(&mut self, seen: &mut Seen) {
        let line = self.line.get(..self.length).unwrap_or_default();
        let text = line.trim_ascii_end();
        if let [b't' | b'T' | b'c' | b'C', ..] = text {
            self.chunked |= names(text, b"transfer-encoding").is_some();
            if let Some(value) = names(text, b"content-length") {
                let number = std::str::from_utf8(value.trim_ascii())
                    .ok()
                    .and_then(|it| it.parse().ok());
                // The line may go on.
                let number = number.filter(|_| self.length < PREFIX);
                self.body = Some(number.map_or(Length::Unread, Length::Bytes));
            }
        }
        // Empty lines before a request are none of it (RFC 9112 §2.2).
        let ends = text.is_empty() && line.len() <= 2;
        self.length = 0;
        if !ends {
            self.begun = true;
            return;
        }
        if !std::mem::take(&mut self.begun) {
            return;
        }
        seen.heads = seen.heads.saturating_add(1);
        let (body, chunked) = (self.body.take(), std::mem::take(&mut self.chunked));
        seen.ambiguous |= chunked && body.is_some();
        self.place = match body {
            _ if chunked => Place::Lost,
            Some(Length::Unread) => Place::Lost,
            Some(Length::Bytes(0)) | None => Place::Head,
            Some(Length::Bytes(length)) if length > FOLLOWED => Place::Lost,
            Some(Length::Bytes(length)) => Place::Body(length),
        };
    }
}

/// The value of a field, if it has this name.
fn names<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    let value = rest.trim_ascii_start().strip_prefix(b":")?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Heads, Seen};

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const BOTH: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\nX: y\r\ntransfer-ENCODING: chunked\r\n\r\n";

    fn seen(heads: u32, ambiguous: bool) -> Seen {
        Seen {
            heads,
            ambiguous,
            part: false,
        }
    }

    fn part(heads: u32) -> Seen {
        Seen {
            part: true,
            ..seen(heads, false)
        }
    }

    #[test]
    fn heads_are_counted_and_bodies_are_not_taken_for_any() {
        let post = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{BOTH}", BOTH.len());
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100));
        for (bytes, expected) in [
            (GET.to_owned(), seen(1, false)),
            (GET.repeat(7), seen(7, false)),
            (GET.replace('\r', ""), seen(1, false)),
            (format!("\r\n\r\n{GET}"), seen(1, false)),
            (long, seen(1, false)),
            (post.clone(), seen(1, false)),
            (format!("{post}{GET}"), seen(2, false)),
            (BOTH.to_owned(), seen(1, true)),
            (BOTH.replace(':', " :"), seen(1, true)),
            (format!("{GET}{BOTH}"), seen(2, true)),
            (BOTH.replace("transfer", "x-transfer"), seen(1, false)),
            (GET[..GET.len() - 2].to_owned(), part(0)),
            (format!("{GET}{post}\r\nG"), part(2)),
            (format!("{GET}\r\n"), seen(1, false)),
            (post[..post.len() - 1].to_owned(), seen(1, false)),
        ] {
            assert_eq!(Heads::new().read(bytes.as_bytes()), expected, "{bytes}");
        }
    }

    #[test]
    fn it_finds_back_when_all_is_answered() {
        let mut heads = Heads::new();
        let chunked = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\r\n\r\n\r\r\n0\r\n\r\n{GET}");
        assert_eq!(heads.read(chunked.as_bytes()), seen(1, false));
        heads.answered();
        assert_eq!(heads.read(GET.as_bytes()), seen(1, false));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_what_pieces_they_come(cuts in proptest::collection::vec(0..400_usize, 0..8)) {
            let text = format!("{GET}{GET}POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n\r\n\r\n{BOTH}");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut heads = Heads::new();
            let pieces = cuts.windows(2).map(|ends| heads.read(&text.as_bytes()[ends[0]..ends[1]]));
            let all = pieces.fold(seen(0, false), |all, one| seen(all.heads + one.heads, all.ambiguous | one.ambiguous));
            prop_assert_eq!(all, seen(4, true));
        }

        #[test]
        fn anything_can_be_read(bytes: Vec<u8>) {
            let _ = Heads::new().read(&bytes);
        }
    }
}
