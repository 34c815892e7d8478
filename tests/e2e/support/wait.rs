//! Waits for a state, with a deadline. The only place where a test sleeps.

use std::{
    thread,
    time::{Duration, Instant},
};

/// TESTS_SLOW: how many times longer things take on this machine than on a usual one (in translation, `tests/vm`).
pub fn slowness() -> u32 {
    let slow = std::env::var("TESTS_SLOW").ok().and_then(|text| text.parse().ok());
    slow.unwrap_or(1).max(1)
}

/// Long enough for a loaded machine, short enough to be waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until `state` is there; panics with `what` if it does not come.
pub fn until<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = state() {
            return value;
        }
        let patience = PATIENCE * slowness();
        assert!(begin.elapsed() < patience, "{what}: not within {patience:?}");
        thread::sleep(Duration::from_millis(3));
    }
}

/// Looks at a state for some time; panics if it is ever not there.
pub fn throughout(time: Duration, what: &str, mut state: impl FnMut() -> bool) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        assert!(state(), "{what}: not for {time:?}, but for {:?}", begin.elapsed());
        thread::sleep(Duration::from_millis(3));
    }
}
