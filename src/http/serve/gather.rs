//! WRITES small pieces as one: to copy a head and a short body is cheaper than writev(2). Larger ones it leaves as they are.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{ReadBuf, Write};

/// Pieces that have so many bytes together are small.
const SMALL: usize = 2048;

/// Writes what it can of the pieces, and tells how many bytes that was.
pub(crate) fn poll_write<W: Write>(
    writer: Pin<&mut W>,
    context: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let mut filled = pieces.iter().filter(|it| !it.is_empty());
    if let (Some(only), None) = (filled.next(), filled.next()) {
        return writer.poll_write(context, only);
    }
    let total = pieces.iter().fold(0_usize, |sum, it| sum.saturating_add(it.len()));
    if total > SMALL {
        return writer.poll_write_vectored(context, pieces);
    }
    let mut room = [MaybeUninit::uninit(); SMALL];
    let mut gathered = ReadBuf::uninit(&mut room);
    for piece in pieces {
        gathered.unfilled().put_slice(piece);
    }
    writer.poll_write(context, gathered.filled())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, IoSlice},
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use hyper::rt::Write;
    use proptest::prelude::*;

    use super::{SMALL, poll_write};

    /// Takes so much at a time, and counts the calls that were given several pieces.
    struct Taker {
        most: usize,
        taken: Vec<u8>,
        vectored: usize,
    }

    impl Write for Taker {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
            let count = from.len().min(self.most);
            self.taken.extend_from_slice(&from[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            from: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.vectored += 1;
            let all: Vec<u8> = from.iter().flat_map(|it| it.iter().copied()).collect();
            self.poll_write(context, &all)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn bytes_go_in_their_order_however_many_are_taken(
            lengths in proptest::collection::vec(0..1200_usize, 0..5),
            most in 1..3000_usize,
        ) {
            let mut byte = 0_u8;
            let mut fill = |length| -> Vec<u8> {
                std::iter::repeat_with(|| { byte = byte.wrapping_add(1); byte }).take(length).collect()
            };
            let pieces: Vec<Vec<u8>> = lengths.iter().map(|length| fill(*length)).collect();
            let slices: Vec<IoSlice<'_>> = pieces.iter().map(|it| IoSlice::new(it)).collect();
            let mut taker = Taker { most, taken: Vec::new(), vectored: 0 };
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(Ok(count)) = poll_write(Pin::new(&mut taker), &mut context, &slices) else {
                panic!("it is always ready");
            };
            let all = pieces.concat();
            prop_assert_eq!(count, all.len().min(most));
            prop_assert_eq!(&taker.taken[..], &all[..count]);
            let filled = lengths.iter().filter(|it| **it > 0).count();
            prop_assert_eq!(taker.vectored, usize::from(filled > 1 && all.len() > SMALL));
        }
    }
}
