//! Records that are read during a list that does not end.

use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tower_api_key::store::{BoxFuture, KeyStore, StoreError};
use tower_api_key::{Grant, KeyRing, KeyState, ManualClock, RevocationReason, Timestamp};

use super::{File, PATIENCE};
use crate::SqliteStore;

/// Keeps the thread of lists busy until it is stopped.
struct List {
    end: mpsc::Sender<()>,
    ended: BoxFuture<'static, Result<(), StoreError>>,
}

impl List {
    fn begin(store: &SqliteStore) -> Self {
        let (end, told) = mpsc::channel();
        let list = store.0.management.run(move |_| {
            told.recv_timeout(PATIENCE).unwrap();
            Ok(())
        });
        let ended = Box::pin(list);
        Self { end, ended }
    }

    async fn end(self) {
        self.end.send(()).unwrap();
        self.ended.await.unwrap();
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits for a call that needs no other thread, or only one that is free: on a busy machine a read may
/// be a slow one.
fn soon<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    for _ in 0..PATIENCE.as_millis() {
        if let Poll::Ready(output) = poll(future) {
            return Some(output);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

#[tokio::test]
async fn r32_a_watch_sees_a_revocation_beside_a_list_that_does_not_end() {
    let file = File::new("beside");
    let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
    let ring = |store: &SqliteStore| {
        let builder = KeyRing::builder("acme")
            .clock(clock.clone())
            .watch_interval(Duration::from_secs(10));
        builder.build(store.clone()).unwrap()
    };
    let store = SqliteStore::open(&file.0).unwrap();
    let watching = ring(&store);
    let id = watching
        .issue(Grant::new("alice"))
        .await
        .unwrap()
        .record()
        .id();
    let list = List::begin(&store);
    let mut watch = watching.watch(id);
    assert!(poll(&mut watch).is_pending());
    clock.advance(Duration::from_secs(10));
    assert!(poll(&mut watch).is_pending(), "the watch ended");

    // The change of another process.
    let other = ring(&SqliteStore::open(&file.0).unwrap());
    let reason = RevocationReason::KeyCompromise;
    other.revoke(id, reason).await.unwrap();
    clock.advance(Duration::from_secs(10));
    let Some(Ok(state)) = soon(&mut watch) else {
        panic!("the watch has not seen the revocation");
    };
    assert_eq!(state, KeyState::Revoked);
    list.end().await;
}

#[tokio::test]
async fn a_record_is_got_at_once_and_later_where_no_connection_is_free() {
    let file = File::new("got");
    let store = SqliteStore::open(&file.0).unwrap();
    let ring = super::ring(&store);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let record = issued.record();
    let list = List::begin(&store);
    let Some(got) = soon(&mut store.get(record.realm(), record.id())) else {
        panic!("the list is waited for");
    };
    assert_eq!(got.unwrap().as_ref(), Some(record));

    let taken = store.0.readers.take_all();
    let got = store.get(record.realm(), record.id()).await;
    drop(taken);
    assert_eq!(got.unwrap().as_ref(), Some(record));
    list.end().await;
}
