//! The age of a replica, as gauges.
#![expect(clippy::float_cmp, reason = "the figures are exact")]

use std::time::Duration;

use tower_api_key::Grant;

use super::{MS, Node, SECOND};
use crate::events::metered::{recorder, samples};
use crate::feed::MemoryFeed;
use crate::support::poll_once;

#[tokio::test]
async fn the_gauges_show_the_age_and_what_answers() {
    let recorder = recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let node = Node::over(MemoryFeed::new(), |options| options);
    let mut reporting = Box::pin(node.replica.report_staleness(SECOND / 2));
    let gauges = || {
        let found = samples(&handle);
        let of = |name: &str| found[&format!("api_key_replica_{name}")];
        (of("staleness_seconds"), of("fresh"), of("records"))
    };

    assert!(poll_once(&mut reporting).is_pending());
    assert_eq!(gauges(), (f64::INFINITY, 0.0, 0.0));
    assert_eq!(
        samples(&handle)["api_key_replica_staleness_bound_seconds"],
        1.0
    );

    node.run().await;
    node.other.issue(Grant::new("alice")).await.unwrap();
    node.pass(500 * MS).await;
    assert!(poll_once(&mut reporting).is_pending());
    let (shown, fresh, records) = gauges();
    assert_eq!(
        Duration::try_from_secs_f64(shown).unwrap(),
        node.replica.staleness().unwrap()
    );
    assert_eq!(
        (fresh, records),
        (f64::from(u8::from(node.replica.is_fresh())), 1.0)
    );

    // Nothing pulls any more.
    node.follow.abort();
    node.clock.advance(10 * SECOND);
    assert!(poll_once(&mut reporting).is_pending());
    let (shown, fresh, records) = gauges();
    assert!(shown >= 10.0, "{shown}");
    assert_eq!((fresh, records), (0.0, 1.0));
}
