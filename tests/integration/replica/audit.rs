//! Parts of the database are compared with what is held, a bucket a second, once a day.

use std::sync::atomic::Ordering;

use tower_api_key::{Revocation, RevocationReason};

use super::dead::{bucket, edited, pages_of};
use super::*;

/// A whole audit of 256 parts, one a second. The first begins within a day. If it was over before, the next one begins
/// within 27 hours. The lease has ended by then.
async fn audit(node: &Node) {
    node.clock.advance(std::time::Duration::from_hours(28));
    node.pass(300 * SECOND).await;
}

#[tokio::test]
async fn an_audit_finds_what_no_trigger_has_logged() {
    let node = Node::new().await;
    let (kept, gone) = (node.issue("read").await, node.issue("read").await);
    node.pass(100 * MS).await;
    node.heard();
    let mut rows = node.feed.backup();
    rows.retain(|row| row.id() != gone.id());
    node.feed.edit_unseen(rows);
    node.pass(SECOND).await;
    assert_eq!(
        node.verify(&gone).await,
        Ok(()),
        "nothing has told the node"
    );

    audit(&node).await;
    assert_eq!(node.verify(&gone).await, Err(UNKNOWN));
    assert_eq!(node.verify(&kept).await, Ok(()));
    let heard = node.heard();
    let told = "replica_diverged: the store is unavailable: the checksums of 1 of 256 parts differ from those of the database, which are loaded anew";
    assert!(heard.iter().any(|it| it == told), "{heard:?}");
    // One when the node began, and as many as the bucket of the key needs.
    let buckets = [bucket(gone.record()); 2];
    let pages = 1 + pages_of(buckets, bucket(kept.record()));
    assert_eq!(node.feed.calls().page.load(Ordering::Relaxed), pages);
}

#[tokio::test]
async fn i09_an_audit_that_differs_misses_no_change_of_the_other_parts() {
    let node = Node::new().await;
    let gone = node.issue("read").await;
    let revoked = loop {
        let issued = node.issue("read").await;
        if bucket(issued.record()) != bucket(gone.record()) {
            break issued;
        }
    };
    node.pass(100 * MS).await;
    let mut rows = node.feed.backup();
    rows.retain(|row| row.id() != gone.id());
    node.feed.edit_unseen(rows);

    let id = revoked.id();
    node.feed.before_load(move |feed| {
        let rows = feed.backup().into_iter().map(|row| {
            if row.id() != id {
                return row;
            }
            edited(&row, |parts| {
                parts.version += 1;
                parts.revocation = Some(Revocation::new(START, RevocationReason::KeyCompromise));
            })
        });
        feed.edit(rows.collect());
    });
    audit(&node).await;
    assert!(node.replica.is_fresh());
    assert_eq!(node.verify(&gone).await, Err(UNKNOWN));
    assert_eq!(node.verify(&revoked).await, Err(REVOKED));
}

/// A whole audit goes on while keys come, change and go, and none of it is a difference.
#[tokio::test]
async fn an_audit_beside_changes_finds_no_difference() {
    let node = Node::new().await;
    let mut issued = Vec::new();
    for _ in 0..40 {
        issued.push(node.issue("read").await);
    }
    node.clock.advance(std::time::Duration::from_hours(28));
    node.heard();
    let sums = || node.feed.calls().sums.load(Ordering::Relaxed);
    for (step, old) in issued.iter().enumerate() {
        node.pass(8 * SECOND).await;
        if step == 0 {
            assert!((7..=10).contains(&sums()), "one a second: {}", sums());
        }
        node.issue("read").await;
        match step % 3 {
            0 => node.revoke(old).await,
            1 => {
                let mut rows = node.feed.backup();
                rows.retain(|row| row.id() != old.id());
                node.feed.edit(rows);
            }
            _ => {}
        }
    }
    assert_eq!(sums(), 256, "each part once, and none of the next audit");
    let heard = node.heard();
    assert!(!heard.iter().any(|it| it.contains("diverged")), "{heard:?}");
    let (pulls, day) = (node.feed.calls().changes.load(Ordering::Relaxed), 300 * 20);
    assert!(
        pulls > day / 2,
        "the other pulls asked for no sums: {pulls}"
    );
}

/// What was found before is loaded at once. The rest is looked at an hour later.
#[tokio::test]
async fn an_audit_that_fails_midway_goes_on_there() {
    let node = Node::new().await;
    let (low, high) = loop {
        let (low, high) = (node.issue("read").await, node.issue("read").await);
        if bucket(low.record()) < 100 && bucket(high.record()) >= 100 {
            break (low, high);
        }
    };
    node.pass(100 * MS).await;
    node.heard();
    let ids = [low.id(), high.id()];
    let mut rows = node.feed.backup();
    rows.retain(|row| !ids.contains(&row.id()));
    node.feed.edit_unseen(rows);

    node.feed.fail(Failing::SumsFrom(100));
    audit(&node).await;
    let heard = node.heard();
    let of = |word: &str| heard.iter().filter(|it| it.starts_with(word)).count();
    assert_eq!(
        of("replica_diverged: the store is unavailable: the checksums of 1 of 256"),
        1
    );
    assert_eq!(of("upkeep_failed"), 1, "{heard:?}");
    assert_eq!(node.verify(&low).await, Err(UNKNOWN));
    assert_eq!(node.verify(&high).await, Ok(()), "nothing is known of it");

    node.feed.fail(Failing::Not);
    let sums = || node.feed.calls().sums.swap(0, Ordering::Relaxed);
    sums();
    node.clock.advance(std::time::Duration::from_mins(70));
    node.pass(300 * SECOND).await;
    assert_eq!(sums(), 156, "the first hundred are not asked for again");
    assert_eq!(node.verify(&high).await, Err(UNKNOWN));
    let heard = node.heard();
    assert!(heard.iter().any(|it| it.contains("1 of 256")), "{heard:?}");
}
