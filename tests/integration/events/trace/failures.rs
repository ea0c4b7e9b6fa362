//! Failures outside any request: their events are errors with the cause.

use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;

use tower_api_key::{KeyRing, ManualClock, TracingObserver};
use tower_api_key_file::FileStore;
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;

use super::Collector;
use crate::folder::Folder;
use crate::support::{START, issue, poll_once};
use crate::uses::noting::{Noting, Purging, Taking};

#[tokio::test]
async fn an_upkeep_that_fails_says_why() {
    let (store, clock) = (Noting::new(), ManualClock::new(START));
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .track_last_use()
        .observer(TracingObserver::new())
        .build(store.clone())
        .unwrap();
    let issued = issue(&ring, "read").await;
    let key = issued.secret().expose().as_bytes();
    ring.verify(key).await.unwrap();
    let collector = Collector::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(collector.clone()));
    let mut upkeep = pin!(ring.upkeep());
    let unavailable = "the key store failed: the store is unavailable";
    let read_only = "the key store failed: the store cannot be written to";
    // If a read-only store refused a use, the failure is not reported again. The same holds for
    // such a purge within the hour.
    let turns: [(Taking, Purging, &[&str]); 4] = [
        (Taking::Honest, Purging::Fail, &[unavailable]),
        (Taking::Fail, Purging::ReadOnly, &[unavailable, read_only]),
        (Taking::ReadOnly, Purging::ReadOnly, &[read_only]),
        (Taking::ReadOnly, Purging::ReadOnly, &[]),
    ];
    for (taking, purging, failures) in turns {
        store.take(taking);
        store.purge(purging);
        assert!(poll_once(&mut upkeep).is_pending());
        let fields = failures.iter().map(|failure| {
            [
                ("kind", "upkeep_failed"),
                ("realm", "orders"),
                ("failure", *failure),
            ]
        });
        let fields: Vec<_> = fields.collect();
        let expected: Vec<_> = fields
            .iter()
            .map(|fields| (Level::ERROR, &fields[..]))
            .collect();
        collector.assert(&expected);
        clock.advance(Duration::from_mins(1));
    }
}

#[tokio::test]
async fn a_key_that_expires_soon_is_a_warning_with_its_end() {
    let clock = ManualClock::new(START);
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .observer(TracingObserver::new())
        .build(Noting::new())
        .unwrap();
    let issued = issue(&ring, "read").await;
    let id = issued.id();
    clock.advance(Duration::from_hours(83 * 24));
    let collector = Collector::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(collector.clone()));
    assert!(poll_once(&mut pin!(ring.upkeep())).is_pending());
    let fields = [
        ("kind", "expires_soon"),
        ("realm", "orders"),
        ("key_id", id.as_str()),
        ("subject", "alice"),
        ("expires_at", "2027-04-15T08:00:00Z"),
        ("step", "7d"),
    ];
    collector.assert(&[(Level::WARN, &fields)]);
}

/// A store's events differ from a ring's: they have no realm and no key, and name what failed.
#[test]
fn a_file_that_is_not_taken_says_why() {
    let folder = Folder::new();
    let path = folder.path().join("keys.toml");
    std::fs::write(&path, "keys = []").unwrap();
    let store = FileStore::options()
        .interval(Duration::from_hours(24))
        .observer(TracingObserver::new())
        .open(&path)
        .unwrap();
    let collector = Collector::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(collector.clone()));
    store.reload().unwrap();
    collector.assert(&[(Level::INFO, &[("kind", "store_reloaded")])]);
    std::fs::remove_file(&path).unwrap();
    let error = store.reload().unwrap_err();
    let failure = format!("{error}: {}", error.source().unwrap());
    assert!(
        failure.contains("keys.toml: the file cannot be read"),
        "{failure}"
    );
    collector.assert(&[(
        Level::ERROR,
        &[("kind", "store_reload_failed"), ("failure", &failure)],
    )]);
}
