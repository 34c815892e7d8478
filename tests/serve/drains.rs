//! No request fails through a hundred drains, whatever the load. Of the servers beside it, requests fail; else this would
//! show nothing.

use std::time::Duration;

use super::harness::{Counts, Failure, Kind, Line, Load, Outcome, Pace, on_the_way, through};

const DRAINS: usize = 100;

/// Through all drains nothing failed, nothing was cut, and each generation had its part.
async fn all_is_well(pace: Pace, load: Load, drains: usize) -> Outcome {
    let outcome = through(Kind::Segue(pace), load, drains).await;
    let Counts { answered, .. } = outcome.counts;
    eprintln!(
        "{}: {answered} answered, {} handed back; median {:?}, longest {:?}",
        load.name(),
        outcome.counts.handed_back,
        outcome.times()[drains / 2],
        outcome.times()[drains - 1]
    );
    for failure in Failure::ALL {
        assert_eq!(
            outcome.counts.of(failure),
            0,
            "{}: {:?}",
            failure.name(),
            outcome.counts
        );
    }
    assert_eq!(outcome.drains.len(), drains);
    for ended in &outcome.drains {
        assert!(ended.answers > 0, "{ended:?}");
        let report = ended.report.unwrap();
        assert!(report.requests > 0, "{ended:?}");
        assert_eq!(report.cut.all(), 0, "{ended:?}");
    }
    outcome
}

#[tokio::test]
async fn kept_connections() {
    let outcome = all_is_well(Pace::Quick, Load::KeepAlive, DRAINS).await;
    assert_eq!(outcome.counts.handed_back, 0);
}

#[tokio::test]
async fn fresh_connections() {
    all_is_well(Pace::Quick, Load::Fresh, DRAINS).await;
}

#[tokio::test]
async fn requests_that_are_on_their_way() {
    let outcome = all_is_well(Pace::Quick, Load::OnTheWay, DRAINS).await;
    assert_eq!(outcome.counts.answered, 128 * DRAINS as u64);
}

#[tokio::test]
async fn pipelined_requests_in_one_piece() {
    let outcome = all_is_well(Pace::Quick, Load::Pipelined, DRAINS).await;
    assert_eq!(outcome.counts.handed_back, 0, "all of a batch are answered");
}

#[tokio::test]
async fn pipelined_requests_in_pieces() {
    all_is_well(Pace::Quick, Load::Split, DRAINS).await;
}

#[tokio::test]
async fn streams_of_http2() {
    all_is_well(Pace::Quick, Load::Http2, DRAINS).await;
}

#[tokio::test]
async fn websockets() {
    all_is_well(Pace::Quick, Load::WebSockets, DRAINS).await;
}

#[tokio::test]
async fn requests_under_way() {
    all_is_well(Pace::Quick, Load::Slow, DRAINS).await;
}

#[tokio::test]
async fn uploads_under_way() {
    all_is_well(Pace::Quick, Load::Uploads, DRAINS).await;
}

#[tokio::test]
async fn large_answers_that_are_read_slowly() {
    all_is_well(Pace::Quick, Load::Large, DRAINS).await;
}

#[tokio::test]
async fn the_defaults_too() {
    for load in [Load::KeepAlive, Load::OnTheWay, Load::Http2] {
        all_is_well(Pace::Default, load, 3).await;
    }
}

/// Connections that stay silent are closed after the time that was set, and in no more than twice that.
#[tokio::test]
async fn idle_connections_are_waited_for_and_then_closed() {
    let mut line = Line::start(Kind::Segue(Pace::Quick)).await;
    let idle = on_the_way::idle(line.address(), 32).await;
    let ended = line.replace().await;
    assert!(ended.took >= Pace::QUICK, "{ended:?}");
    assert!(ended.took < Duration::from_secs(5), "{ended:?}");
    assert_eq!(ended.report.unwrap().cut.all(), 0);
    assert_eq!(ended.report.unwrap().drained, 32);
    drop(idle);
    line.end().await;
}

#[tokio::test]
async fn of_other_servers_the_harness_sees_what_fails() {
    for kind in [Kind::HyperUtil, Kind::Axum] {
        let outcome = through(kind, Load::OnTheWay, 3).await;
        assert!(outcome.counts.failed() > 0, "{}: {:?}", kind.name(), outcome.counts);
    }
}
