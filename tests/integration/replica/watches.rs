//! Watches of a ring over a replica cost the database nothing.

use std::sync::atomic::Ordering;

use tower_api_key::KeyState;

use super::*;

#[tokio::test]
async fn a_watch_ends_by_what_was_pulled() {
    let node = Node::new().await;
    let mut watches = Vec::new();
    let mut keys = Vec::new();
    for _ in 0..100 {
        let issued = node.issue("read").await;
        watches.push(tokio::spawn(node.ring.watch(issued.id())));
        keys.push(issued);
    }
    node.pass(100 * MS).await;
    let asked = || node.feed.calls().get_many.swap(0, Ordering::Relaxed);
    assert!((1..=100).contains(&asked()), "once to learn the digests");

    node.revoke(&keys[7]).await;
    let mut rows = node.feed.backup();
    rows.retain(|row| row.id() != keys[8].id());
    node.feed.edit(rows);
    node.pass(60 * MS).await;
    assert!(watches[7].is_finished() && watches[8].is_finished());
    assert_eq!(watches.iter().filter(|it| it.is_finished()).count(), 2);
    assert_eq!(watches.remove(7).await.unwrap().unwrap(), KeyState::Revoked);
    let error = watches.remove(7).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), tower_api_key::ErrorKind::NotFound);

    // A round looks at all of them, and asks the database for none.
    node.pass(30 * SECOND).await;
    assert_eq!(asked(), 0);
    assert!(watches.iter().all(|it| !it.is_finished()));

    // A node that cannot prove its age asks, and ends the watches if there is no answer.
    node.feed.fail(Failing::Down);
    node.pass(60 * SECOND).await;
    assert!(watches.iter().all(JoinHandle::is_finished));
}
