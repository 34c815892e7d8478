//! TRIES the states: lives of connections by hand, and that in any life nobody who is answered is evictable.

use proptest::prelude::*;

use super::{Event, Progress, Stage};

fn life(events: &[Event]) -> Stage {
    let end = events
        .iter()
        .fold(Progress::NEW, |progress, event| progress.after(*event));
    end.stage
}

#[test]
fn the_lives_of_a_connection() {
    use Event::{Begun, Blocked, Closed, Preface, Read, Sent, ShutDown, Upgraded, Written};
    for (events, stage) in [
        (&[][..], Stage::New),
        (&[Read], Stage::Heading),
        (&[Read, Begun], Stage::Active),
        (&[Read, Begun, Sent], Stage::Active),
        (&[Read, Begun, Written], Stage::Active),
        (&[Read, Begun, Written, Sent], Stage::Idle),
        (&[Read, Begun, Written, Sent, Read], Stage::Heading),
        (&[Read, Begun, Written, Sent, Read, Begun], Stage::Active),
        // Pipelined: the second began before the first was sent.
        (&[Begun, Written, Begun, Sent], Stage::Active),
        (&[Begun, Written, Begun, Sent, Written, Sent], Stage::Idle),
        (&[Begun, Written, Blocked], Stage::Stalled),
        (&[Begun, Written, Blocked, Begun], Stage::Stalled),
        (&[Begun, Written, Blocked, Sent], Stage::Idle),
        (&[Begun, Blocked, Sent], Stage::Active),
        // The response to a request that is not understood.
        (&[Read, Sent, ShutDown, Read], Stage::Closing),
        (&[Read, Begun, Upgraded, Written, Sent], Stage::Hijacked),
        (&[Read, Begun, Upgraded, Written, Sent, Closed], Stage::Closed),
        // HTTP/2: frames that are no request, and a response that is known to be written only after it was sent.
        (&[Read, Preface, Read], Stage::Idle),
        (&[Read, Preface, Begun, Begun, Written, Sent], Stage::Active),
        (&[Read, Preface, Begun, Sent, Written, Read], Stage::Idle),
    ] {
        assert_eq!(life(events), stage, "{events:?}");
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        Just(Event::Read),
        Just(Event::Preface),
        Just(Event::Begun),
        Just(Event::Written),
        Just(Event::Blocked),
        Just(Event::Sent),
        Just(Event::Upgraded),
        Just(Event::ShutDown),
        Just(Event::Closed),
    ];
    proptest::collection::vec(event, 0..50)
}

proptest! {
    #[test]
    fn who_is_answered_is_never_evictable(events in events()) {
        let end = events.iter().fold(Progress::NEW, |progress, event| progress.after(*event));
        let over = matches!(end.stage, Stage::Closing);
        prop_assert!(end.requests == 0 || over || !end.stage.is_evictable(), "{end:?}");
    }

    #[test]
    fn a_progress_is_a_number_and_back(events in events()) {
        let end = events.iter().fold(Progress::NEW, |progress, event| progress.after(*event));
        prop_assert_eq!(Progress::unpack(end.pack()), end);
    }
}
