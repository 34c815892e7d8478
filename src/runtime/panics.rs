//! SURVIVES faults of segue's own: a panic must not end PID 1. It is logged (by the hook that `telemetry` sets), what was
//! under way is lost, and life goes on.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// A panic that comes again and again must not become a busy loop.
const PAUSE: Duration = Duration::from_millis(100);

/// Does the work; `None`, after a pause, if it panicked.
pub(super) async fn survive<T>(work: impl FnOnce() -> T) -> Option<T> {
    survive_wait(async { work() }).await
}

/// Waits for the future; `None`, after a pause, if it panicked.
pub(super) async fn survive_wait<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let outcome = poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    });
    let outcome = outcome.await;
    if outcome.is_none() {
        tokio::time::sleep(PAUSE).await;
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{PAUSE, survive, survive_wait};

    #[test]
    fn a_panic_is_a_pause_and_no_end() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let begin = Instant::now();
            let mut turns = 1;
            assert_eq!(survive(|| turns += 1).await, Some(()));
            assert!(survive(|| panic!("in a turn")).await.is_none());
            assert!(survive_wait(async { panic!("while waiting") }).await.is_none());
            assert_eq!(survive_wait(async { turns }).await, Some(2));
            assert!(begin.elapsed() >= 2 * PAUSE);
        });
    }
}
