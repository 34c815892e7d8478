//! TRIES the states: lives of connections by hand, and that in any life nobody who is answered is evictable.

use proptest::prelude::*;

use super::{Event, Progress, State};

fn life(events: &[Event]) -> State {
    let (teller, state) = Progress::new();
    events.iter().for_each(|event| super::tell(&teller, *event));
    state.borrow().state
}

#[test]
fn the_lives_of_a_connection() {
    use Event::{Begun, Blocked, Read, Sent, ShutDown, Written};
    for (events, state) in [
        (&[Read][..], State::New),
        (&[Read, Begun], State::Active),
        (&[Read, Begun, Sent], State::Active),
        (&[Read, Begun, Written], State::Active),
        (&[Read, Begun, Written, Sent], State::Idle),
        (&[Read, Begun, Written, Sent, Read], State::Heading),
        (&[Read, Begun, Written, Sent, Read, Begun], State::Active),
        // Pipelined: the second began before the first was sent.
        (&[Begun, Written, Begun, Sent], State::Active),
        (&[Begun, Written, Begun, Sent, Written, Sent], State::Idle),
        (&[Begun, Written, Blocked], State::Stalled),
        (&[Begun, Written, Blocked, Begun], State::Stalled),
        (&[Begun, Written, Blocked, Sent], State::Idle),
        (&[Begun, Blocked, Sent], State::Active),
        // The response to a request that is not understood.
        (&[Read, Sent, ShutDown, Read], State::Closing),
    ] {
        assert_eq!(life(events), state, "{events:?}");
    }
}

proptest! {
    #[test]
    fn who_is_answered_is_never_evictable_and_nobody_else_stays_for_ever(events in proptest::collection::vec(
        prop_oneof![
            Just(Event::Read), Just(Event::Begun), Just(Event::Written), Just(Event::Blocked), Just(Event::Sent),
        ], 0..50,
    )) {
        let start = Progress { state: State::New, requests: 0 };
        let end = events.iter().fold(start, |progress, event| progress.after(*event));
        prop_assert!(end.requests == 0 || !end.state.is_evictable(), "{end:?}");
    }
}
