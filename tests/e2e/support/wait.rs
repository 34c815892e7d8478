//! Waits for a state, with a deadline. The only place where a test sleeps.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Long enough for a loaded machine, short enough to be waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until `state` is there; panics with `what` if it does not come.
pub fn until<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = state() {
            return value;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
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
