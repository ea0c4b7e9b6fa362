//! What is dead on a node stays dead there, whatever the database says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tower_api_key::{KeyRecord, KeyRecordParts, Narrowing};

use super::*;

pub(super) fn edited(record: &KeyRecord, edit: impl FnOnce(&mut KeyRecordParts)) -> Arc<KeyRecord> {
    let mut parts = record.to_parts();
    edit(&mut parts);
    Arc::new(parts.into())
}

#[tokio::test]
async fn r22_a_restored_database_revives_no_key() {
    let node = Node::new().await;
    let (revoked, narrowed, gone) = (
        node.issue("read").await,
        node.issue("read write").await,
        node.issue("read").await,
    );
    node.pass(100 * MS).await;
    let backup = node.feed.backup();
    node.revoke(&revoked).await;
    node.other
        .narrow(narrowed.id(), Narrowing::new().to_scopes(["read"]))
        .await
        .unwrap();
    let mut rows = node.feed.backup();
    rows.retain(|row| row.id() != gone.id());
    node.feed.edit(rows);
    node.pass(100 * MS).await;
    assert_eq!(node.verify(&revoked).await, Err(REVOKED));
    assert_eq!(node.verify(&gone).await, Err(UNKNOWN));
    node.heard();

    node.feed.restore(backup);
    node.pass(500 * MS).await;
    assert!(node.replica.is_fresh());
    assert_eq!(node.verify(&revoked).await, Err(REVOKED));
    assert_eq!(node.verify(&gone).await, Err(UNKNOWN));
    let key = narrowed.secret().expose().as_bytes();
    let key = node.ring.verify(key).await.unwrap();
    assert_eq!(key.scopes().to_string(), "read");
    assert_eq!(node.finds(), 0);
    let mut heard = node.heard();
    heard.sort();
    let mut expected =
        [&revoked, &narrowed, &gone].map(|it| format!("replica_diverged {}", it.id()));
    expected.sort();
    assert_eq!(heard[..3], expected);
    assert_eq!(heard[3..], ["replica_reset"]);

    // Neither if the node asks the database, because it cannot prove its age.
    node.feed.fail(Failing::FeedDown);
    node.pass(SECOND).await;
    assert_eq!(node.verify(&revoked).await, Err(REVOKED));
    assert_eq!(node.verify(&gone).await, Err(UNKNOWN));
    assert_eq!(node.finds(), 2);
}

#[tokio::test]
async fn r22_what_a_stale_node_has_refused_stays_refused() {
    let node = Node::new().await;
    let (revoked, gone) = (node.issue("read").await, node.issue("read").await);
    node.pass(100 * MS).await;
    node.feed.fail(Failing::FeedDown);
    node.pass(SECOND).await;
    let new = node.issue("read").await;
    let backup = node.feed.backup();
    // No pull brings these. The node learns them by its look-ups.
    node.revoke(&new).await;
    assert_eq!(node.verify(&new).await, Err(REVOKED));
    node.revoke(&revoked).await;
    let mut rows = node.feed.backup();
    rows.retain(|row| row.id() != gone.id());
    node.feed.edit(rows);
    assert_eq!(node.verify(&revoked).await, Err(REVOKED));
    assert_eq!(node.verify(&gone).await, Err(UNKNOWN));

    node.feed.restore(backup);
    assert_eq!(node.verify(&revoked).await, Err(REVOKED));
    assert_eq!(node.verify(&gone).await, Err(UNKNOWN));
    node.feed.fail(Failing::Not);
    node.pass(2 * SECOND).await;
    assert!(node.replica.is_fresh());
    assert_eq!(node.verify(&new).await, Err(REVOKED));
    assert_eq!(node.verify(&revoked).await, Err(REVOKED));
    assert_eq!(node.verify(&gone).await, Err(UNKNOWN));
}

/// Such as an imported key that its client presents all the time.
#[tokio::test]
async fn r21_a_late_answer_kills_no_key_that_came_after_it() {
    let node = Node::new().await;
    let issued = node.issue("read").await;
    let rows = node.feed.backup();
    node.feed.restore(Vec::new());
    node.feed.fail(Failing::LateFinds);
    node.pass(SECOND).await;

    // It asks before the key is there, and is answered after the replica holds it.
    let (ring, key) = (node.ring.clone(), issued.secret().expose().to_owned());
    let early = tokio::spawn(async move { ring.verify(key.as_bytes()).await });
    node.run().await;
    node.feed.edit(rows);
    let late = node.replica.clone();
    let index = tower_api_key::store::KeyStore::index(&late, node.ring.realm()).unwrap();
    index.put(issued.record().clone());
    node.feed.fail(Failing::FeedDown);
    node.run().await;
    let error = early.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), UNKNOWN);
    assert!(index.contains(issued.record().digest()));
    node.feed.fail(Failing::Not);
    node.pass(2 * SECOND).await;
    assert!(node.replica.is_fresh());
    assert_eq!(node.verify(&issued).await, Ok(()));
}

#[tokio::test]
async fn r22_another_key_of_a_held_digest_is_refused() {
    let node = Node::new().await;
    let issued = node.issue("read write").await;
    node.pass(100 * MS).await;
    assert_eq!(node.verify(&issued).await, Ok(()));
    // Deleted, and inserted again for another subject, between two pulls.
    let other = edited(issued.record(), |parts| {
        parts.subject = "bob".parse().unwrap();
    });
    node.feed.edit(vec![other]);
    node.pass(100 * MS).await;
    assert_eq!(node.verify(&issued).await, Err(UNKNOWN));
    assert!(
        node.heard()
            .contains(&format!("replica_diverged {}", issued.id()))
    );
}

/// The part of the keys that a key is in.
pub(super) fn bucket(record: &KeyRecord) -> u8 {
    record.digest().as_bytes()[0]
}

/// How many pages it takes to load these buckets, if the highest key is in this one: neighbours are loaded
/// together, and a page that does not go beyond its buckets is followed by another one.
pub(super) fn pages_of(mut buckets: [u8; 2], highest: u8) -> usize {
    buckets.sort_unstable();
    let [first, last] = buckets;
    let runs = if last - first <= 1 {
        vec![(first, last)]
    } else {
        vec![(first, first), (last, last)]
    };
    let mut pages = 0;
    for (begin, end) in runs {
        if highest > end {
            pages += 1;
        } else {
            // The page that has nothing ends the load.
            return pages + if highest < begin { 1 } else { 2 };
        }
    }
    pages
}

#[test]
fn the_pages_of_two_buckets_depend_on_the_highest_key() {
    assert_eq!(pages_of([7, 3], 9), 2);
    assert_eq!(pages_of([7, 3], 7), 3);
    assert_eq!(pages_of([7, 3], 5), 2);
    assert_eq!(pages_of([3, 4], 9), 1);
    assert_eq!(pages_of([4, 4], 4), 2);
    assert_eq!(pages_of([4, 4], 3), 1);
}

#[tokio::test]
async fn a_reset_loads_only_what_differs() {
    let node = Node::new().await;
    for _ in 0..40 {
        node.issue("read").await;
    }
    node.pass(100 * MS).await;
    let pages = || node.feed.calls().page.swap(0, Ordering::Relaxed);
    pages();
    node.heard();

    // A server that restarts has another history with the same rows.
    node.feed.restore(node.feed.backup());
    node.pass(500 * MS).await;
    assert_eq!(node.heard(), ["replica_reset"]);
    assert_eq!(pages(), 0);
    assert_eq!(node.feed.calls().head.load(Ordering::Relaxed), 2);

    // A lost issue, a lost revocation and a new key.
    let mut rows = node.feed.backup();
    let lost = rows.pop().unwrap();
    let new = node.issue("read").await;
    let new_row = node
        .feed
        .backup()
        .into_iter()
        .find(|row| row.id() == new.id());
    rows.extend(new_row);
    node.feed.restore(rows);
    node.pass(500 * MS).await;
    assert_eq!(node.replica.len(), 40);
    assert_eq!(node.verify(&new).await, Ok(()));
    let held_now = node.feed.backup();
    let highest = held_now.iter().map(|row| bucket(row)).max().unwrap();
    assert_eq!(
        pages(),
        pages_of([bucket(&lost), bucket(new.record())], highest)
    );
    let held = tower_api_key::store::KeyStore::index(&node.replica, lost.realm()).unwrap();
    assert!(!held.contains(lost.digest()));
}
