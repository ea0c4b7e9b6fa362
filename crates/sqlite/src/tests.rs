//! Cases that only an internal test can produce.

mod beside;
mod limits;
mod lists;
mod notices;
mod slow;

use std::cell::RefCell;
use std::error::Error as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::store::{KeyStore, ListQuery, Lookup, StoreError, StoreErrorKind};
use tower_api_key::{ErrorKind, Grant, KeyRing, ManualClock};
use tower_api_key_sqlite_schema::schema::{APPLICATION_ID, MIGRATIONS};

use super::SqliteStore;
use super::place::Place;
use super::schema::migrate;
use super::worker::{CROWDED, MOST_WAITING, Worker};

/// Only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file that is removed with the files of SQLite next to it.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let name = format!("tower-api-key-unit-{}-{name}.db", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.remove();
        file
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.0.clone().into_os_string();
            path.push(suffix);
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.remove();
    }
}

fn place() -> Arc<Place> {
    Arc::new(Place::new("keys.db".into(), Duration::from_millis(50)))
}

fn ring(store: &SqliteStore) -> KeyRing {
    let clock = ManualClock::new(tower_api_key::Timestamp::from_unix(1_800_000_000));
    let builder = KeyRing::builder("acme").clock(clock);
    builder.build(store.clone()).unwrap()
}

fn numbers(connection: &Connection) -> (i64, i64) {
    let number = |pragma: &str| {
        connection
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .unwrap()
    };
    (number("user_version"), number("application_id"))
}

#[test]
fn an_older_schema_is_brought_forward_step_by_step_and_once() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, &place(), &MIGRATIONS[..1]).unwrap();
    assert_eq!(numbers(&connection), (1, APPLICATION_ID));
    let next = "ALTER TABLE api_keys ADD COLUMN note TEXT;";
    let last = "UPDATE api_keys SET note = 'none'; CREATE INDEX notes ON api_keys (note);";
    let all = [MIGRATIONS[0], next, last];
    for _ in 0..2 {
        migrate(&mut connection, &place(), &all).unwrap();
        assert_eq!(numbers(&connection), (3, APPLICATION_ID));
    }
    let mut fresh = Connection::open_in_memory().unwrap();
    migrate(&mut fresh, &place(), &all).unwrap();
    let schema = |connection: &Connection| -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT name FROM sqlite_schema ORDER BY name")
            .unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(schema(&fresh), schema(&connection));
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, &place(), &MIGRATIONS[..1]).unwrap();
    let next = "CREATE TABLE notes (id TEXT);";
    let wrong = "CREATE TABLE notes (id TEXT);";
    let all = [MIGRATIONS[0], next, wrong];
    let error = migrate(&mut connection, &place(), &all).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    assert_eq!(numbers(&connection), (1, APPLICATION_ID));
    let notes: i64 = connection
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'notes'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(notes, 0);
}

#[tokio::test]
async fn a_full_disk_is_told_and_changes_nothing() {
    let file = File::new("full");
    let store = SqliteStore::open(&file.0).unwrap();
    let ring = ring(&store);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    // For SQLite, a file that may grow no further.
    let limit = |connection: &mut Connection| {
        let pages: i64 = connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .unwrap();
        Ok(())
    };
    store.0.writer.as_ref().unwrap().run(limit).await.unwrap();
    let long = Grant::new("bob").metadata([("note", "x".repeat(8_000))]);
    let error = ring.issue(long).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    let error = error
        .source()
        .unwrap()
        .downcast_ref::<StoreError>()
        .unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let expected = format!(
        "{}: the disk is full, so nothing was changed; free some space",
        file.0.display()
    );
    assert_eq!(error.source().unwrap().to_string(), expected);

    let listed = ring.list(&ListQuery::new()).await.unwrap();
    assert_eq!(listed.len(), 1);
    let presented = issued.secret().expose().as_bytes();
    assert_eq!(ring.verify(presented).await.unwrap().subject(), "alice");
    // A write that needs no room still works.
    let reason = tower_api_key::RevocationReason::Unspecified;
    ring.revoke(issued.record().id(), reason).await.unwrap();
}

#[tokio::test]
async fn a_look_up_that_finds_no_connection_free_is_answered_later() {
    let file = File::new("taken");
    let store = SqliteStore::open(&file.0).unwrap();
    let ring = ring(&store);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let (realm, digest) = (issued.record().realm(), issued.record().digest());

    let taken = store.0.readers.take_all();
    let first = store.find(realm, digest);
    let second = store.find(realm, digest);
    drop(taken);
    let Lookup::Pending(first) = first else {
        panic!("{first:?}");
    };
    // A look-up whose client has gone is no hindrance.
    assert!(matches!(second, Lookup::Pending(_)), "{second:?}");
    drop(second);
    assert_eq!(first.await.unwrap().as_ref(), Some(issued.record()));
    // At once as soon as reads are fast, which on a busy machine this one may not have been.
    let mut later = 0;
    while let Lookup::Pending(found) = store.find(realm, digest) {
        assert!(found.await.unwrap().is_some());
        later += 1;
        assert!(later < 10_000);
    }

    let taken = store.0.readers.take_all();
    let presented = issued.secret().expose().as_bytes();
    assert_eq!(ring.verify(presented).await.unwrap().subject(), "alice");
    drop(taken);
}

fn worker() -> Worker {
    let connection = Connection::open_in_memory().unwrap();
    Worker::spawn("test", connection, &place()).unwrap()
}

/// If clients hang up while the disk stalls, their look-ups stay in the queue, until they are left out.
#[tokio::test]
async fn r23_a_thread_that_stands_still_has_a_queue_with_an_end() {
    let worker = worker();
    let (go, gate) = mpsc::channel::<()>();
    let (start, started) = mpsc::channel::<()>();
    let blocked = worker.run_in_turn(move |_| {
        start.send(()).unwrap();
        gate.recv_timeout(PATIENCE).unwrap();
        Ok(())
    });
    started.recv_timeout(PATIENCE).unwrap();
    for _ in 0..MOST_WAITING {
        drop(worker.run_in_turn(|_| Ok(())));
    }
    for _ in 0..2 {
        let error = worker.run_in_turn(|_| Ok(())).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Overloaded);
        assert_eq!(error.source().unwrap().to_string(), CROWDED);
    }
    go.send(()).unwrap();
    blocked.await.unwrap();
    // A revocation or a list has no such limit, and comes after all that waited.
    worker.run(|_| Ok(())).await.unwrap();
    worker.run_in_turn(|_| Ok(())).await.unwrap();
}

#[tokio::test]
async fn a_job_that_nobody_waits_for_is_left_out() {
    let worker = worker();
    let (go, gate) = mpsc::channel::<()>();
    let blocked = worker.run(move |_| {
        gate.recv_timeout(PATIENCE).unwrap();
        Ok(())
    });
    let ran = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&ran);
    let abandoned = worker.run(move |_| {
        mark.store(true, Ordering::SeqCst);
        Ok(())
    });
    drop(abandoned);
    go.send(()).unwrap();
    blocked.await.unwrap();
    worker.run(|_| Ok(())).await.unwrap();
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn r20_a_job_that_panics_ends_no_other() {
    let worker = worker();
    let error = worker
        .run(|_| -> Result<(), StoreError> { panic!("on purpose") })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(
        error.source().unwrap().to_string(),
        "keys.db: the thread that did this stopped; try again"
    );
    assert_eq!(worker.run(|_| Ok(7)).await.unwrap(), 7);
}

/// Reports when the thread that holds it ends.
struct Last(mpsc::Sender<()>);

impl Drop for Last {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

#[tokio::test]
async fn the_thread_of_a_dropped_worker_ends() {
    let worker = worker();
    let (sender, ended) = mpsc::channel();
    let hold = move |_: &mut Connection| {
        LAST.set(Some(Last(sender)));
        Ok(())
    };
    worker.run(hold).await.unwrap();
    drop(worker);
    ended.recv_timeout(PATIENCE).unwrap();
}
