//! PUTS a GOAWAY of our own between the frames that hyper writes to an HTTP/2 connection (RFC 9113 §6.8): it asks the client
//! to open no more streams, and takes none back. hyper's own way sends its last word one round trip after its first, which
//! a client that answers the ping at once and sends a request in the same moment has not heard. It changes no frame.

/// The first word: any stream may still come, so that none that is on its way is lost.
pub(super) const GOAWAY: [u8; 17] = [
    0, 0, 8, // bytes of payload
    7, // GOAWAY
    0, // no flags
    0, 0, 0, 0, // of the connection
    0x7f, 0xff, 0xff, 0xff, // the last stream that is taken: any
    0, 0, 0, 0, // NO_ERROR
];

/// Bytes of a frame's header.
const HEADER: usize = 9;

/// Follows the frames that are written, to know where one ends.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; 3],
    /// Bytes of the header that were written.
    have: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
    /// Was any written? The first has to be hyper's, which is SETTINGS.
    any: bool,
    /// Of our own frame, this much was written.
    pub(super) said: usize,
}

impl Frames {
    /// Does a frame end here?
    pub(super) fn is_between(&self) -> bool {
        self.any && self.have == 0 && self.left == 0
    }

    /// These were written.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) {
        self.any |= !bytes.is_empty();
        while !bytes.is_empty() {
            let wanted = if self.have < HEADER {
                HEADER.saturating_sub(self.have)
            } else {
                self.left
            };
            let (here, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.have < HEADER {
                self.head(here);
            } else {
                self.left = self.left.saturating_sub(here.len());
            }
            if self.have == HEADER && self.left == 0 {
                self.have = 0;
            }
        }
    }

    fn head(&mut self, bytes: &[u8]) {
        let length = self.header.get_mut(self.have..).unwrap_or_default();
        for (to, from) in length.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.have = self.have.saturating_add(bytes.len());
        if self.have == HEADER {
            let [high, middle, low] = self.header.map(usize::from);
            self.left = high << 16 | middle << 8 | low;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Frames, GOAWAY};

    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0, 0, 0, 9, 9, 1, 1, 1, 1];
        frame[..3].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
        frame.extend(std::iter::repeat_n(7, length));
        frame
    }

    proptest! {
        #[test]
        fn it_knows_where_frames_end(
            lengths in proptest::collection::vec(prop_oneof![Just(0), 1..20_usize, 250..70_000_usize], 1..6),
            step in 1..5_000_usize,
        ) {
            let mut frames = Frames::default();
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| frame(*length)).collect();
            let ends: Vec<usize> = lengths.iter().scan(0, |end, length| { *end += 9 + length; Some(*end) }).collect();
            let mut at = 0;
            for piece in bytes.chunks(step) {
                frames.wrote(piece);
                at += piece.len();
                prop_assert_eq!(frames.is_between(), ends.contains(&at), "{}", at);
            }
        }
    }

    #[test]
    fn our_own_frame_is_one() {
        let mut frames = Frames::default();
        assert!(!frames.is_between(), "SETTINGS come first");
        frames.wrote(&GOAWAY[..16]);
        assert!(!frames.is_between());
        frames.wrote(&GOAWAY[16..]);
        assert!(frames.is_between());
    }
}
