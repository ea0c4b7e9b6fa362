//! Another connection that holds the writers' lock, and stores that end.

use std::error::Error;
use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key::{ErrorKind, Grant, RevocationReason};
use tower_api_key_sqlite::SqliteStore;

use super::sharing::ring_over;
use super::{PATIENCE, advice, found};
use tower_api_key_test_support::folder::Folder;

#[tokio::test]
async fn r20_a_writer_waits_no_longer_than_it_should_and_readers_do_not() {
    let folder = Folder::new();
    let path = folder.keys();
    let options = SqliteStore::options().busy_timeout(Duration::from_millis(50));
    let store = options.open(&path).unwrap();
    let ring = ring_over(store.clone());
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let (id, presented) = (issued.record().id(), issued.secret().expose().as_bytes());

    let mut other = Connection::open(&path).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    lock.execute("DELETE FROM api_keys", []).unwrap();
    let revocation = ring.revoke(id, RevocationReason::KeyCompromise);
    let error = tokio::time::timeout(PATIENCE, revocation)
        .await
        .expect("the wait ends")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    let source = error
        .source()
        .unwrap()
        .downcast_ref::<StoreError>()
        .unwrap();
    assert_eq!(source.kind(), StoreErrorKind::Busy);
    assert_eq!(
        advice(source, &path),
        "another process or connection held the lock for longer than 50 ms; let it end, and try \
         again"
    );
    // An uncommitted change is not seen, and no reader waits for it.
    let found = found(&store, issued.record().realm(), issued.record().digest()).await;
    assert_eq!(found.unwrap().as_ref(), Some(issued.record()));
    ring.verify(presented).await.unwrap();
    assert_eq!(ring.get(id).await.unwrap().as_ref(), Some(issued.record()));

    lock.rollback().unwrap();
    ring.revoke(id, RevocationReason::KeyCompromise)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_writer_that_has_to_wait_goes_on_when_the_lock_is_free() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.keys()).unwrap();
    let ring = ring_over(store);
    let mut other = Connection::open(folder.keys()).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let mut issue = Box::pin(ring.issue(Grant::new("alice")));
    let mut context = Context::from_waker(Waker::noop());
    assert!(issue.as_mut().poll(&mut context).is_pending());
    lock.commit().unwrap();
    tokio::time::timeout(PATIENCE, issue)
        .await
        .unwrap()
        .unwrap();
}

/// A dropped commit happens whole or not at all, and others continue.
#[tokio::test]
async fn a_commit_whose_future_is_dropped_holds_nothing_up() {
    let folder = Folder::new();
    let ring = ring_over(SqliteStore::open(folder.keys()).unwrap());
    for _ in 0..50 {
        let mut issue = Box::pin(ring.issue(Grant::new("alice")));
        let _: Poll<_> = issue.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(issue);
    }
    let issued = ring.issue(Grant::new("bob")).await.unwrap();
    ring.verify(issued.secret().expose().as_bytes())
        .await
        .unwrap();
}

/// Every thread has a connection, so if the file is closed they have finished.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_connections_of_a_dropped_store_are_closed() {
    let folder = Folder::new();
    let path = folder.keys();
    let store = SqliteStore::open(&path).unwrap();
    let clone = store.clone();
    ring_over(store).issue(Grant::new("alice")).await.unwrap();
    let clone = ring_over(clone);
    clone.issue(Grant::new("bob")).await.unwrap();
    assert!(is_open(&path));
    drop(clone);
    let mut waited = Duration::ZERO;
    while is_open(&path) {
        assert!(waited < PATIENCE, "the file is still open");
        thread::sleep(Duration::from_millis(5));
        waited += Duration::from_millis(5);
    }
}

/// Whether this process has the file open.
#[cfg(target_os = "linux")]
fn is_open(path: &std::path::Path) -> bool {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .any(|open| open == path)
}
