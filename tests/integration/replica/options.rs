//! The bounds of the settings.

use tower_api_key::{Clock, ErrorKind, Timestamp};

use super::*;

#[track_caller]
fn refused(options: ReplicaOptions, message: &str) {
    let error = options.follow(MemoryFeed::new()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidPolicy);
    assert_eq!(error.to_string(), format!("invalid policy: {message}"));
}

#[test]
fn a_staleness_and_an_interval_have_bounds() {
    let at = |staleness| Replica::options().staleness(staleness);
    refused(at(MS * 999 / 10), "staleness is under 100 ms");
    refused(at(600 * SECOND + MS), "staleness is over ten minutes");
    drop(at(100 * MS).follow(MemoryFeed::new()).unwrap());
    drop(at(600 * SECOND).follow(MemoryFeed::new()).unwrap());

    let every = |interval| at(SECOND).interval(interval);
    refused(every(MS / 2), "interval is under 1 ms");
    refused(every(201 * MS), "interval is over a fifth of staleness");
    drop(every(200 * MS).follow(MemoryFeed::new()).unwrap());
}

/// It counts no time while the machine is suspended, as far as the crate knows.
#[derive(Debug)]
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        START
    }
}

#[test]
fn r22_a_clock_that_may_stop_is_refused() {
    refused(
        Replica::options().clock(Wall),
        "the clock of the replica does not count the time while the machine is suspended: use SystemClock on Linux, or a clock with Clock::elapsed",
    );
}

/// What the database states counts, if it is shorter.
#[tokio::test]
async fn i09_the_shorter_staleness_counts() {
    let feed = MemoryFeed::new();
    feed.state_staleness(500 * MS, 500 * MS);
    let node = Node::over(feed, |options| options);
    node.run().await;
    assert!(node.replica.is_fresh());
    node.clock.advance(449 * MS);
    assert!(node.replica.is_fresh());
    node.clock.advance(MS);
    assert!(!node.replica.is_fresh());
}
