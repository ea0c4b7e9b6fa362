//! Cases that only an internal test can produce.

mod beside;
mod slow;

use std::cell::RefCell;
use std::error::Error as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Connection;

use super::SqliteStore;
use super::connection::{APPLICATION_ID, MIGRATIONS, VERSION, migrate};
use super::failure::Place;
use super::worker::{CROWDED, MOST_WAITING, Worker};
use crate::error::ErrorKind;
use crate::lifecycle::grant::Grant;
use crate::ring::KeyRing;
use crate::store::{KeyStore, ListQuery, Lookup, StoreError, StoreErrorKind};
use crate::time::ManualClock;

/// Only a hang takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

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
    let clock = ManualClock::new(crate::time::Timestamp::from_unix(1_800_000_000));
    let builder = KeyRing::builder("acme").clock(clock);
    builder.build(store.clone()).unwrap()
}

#[test]
fn the_version_counts_the_migrations() {
    assert_eq!(usize::try_from(VERSION), Ok(MIGRATIONS.len()));
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
    let long = Grant::new("bob").metadata("note", "x".repeat(8_000));
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
    let reason = crate::record::RevocationReason::Unspecified;
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
    assert_eq!(first.await.unwrap().as_deref(), Some(issued.record()));
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
        "keys.db: the thread that was asked gave up on it; try again"
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

/// A page costs as much as it is long, or as the few keys that a filter finds, whatever else is in the
/// store.
#[test]
#[allow(clippy::too_many_lines, reason = "one table of plans")]
fn no_list_sorts_or_reads_everything() {
    use crate::access::realm::Realm;
    use crate::record::KeyState;
    use crate::store::Cursor;
    use crate::store::listing::sql::{Asked, Filter, Reading, Statement, Way};

    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, &place(), &MIGRATIONS).unwrap();
    let explain = |Statement { sql, values }: Statement| -> Vec<String> {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let rows = statement.query_map(rusqlite::params_from_iter(&values), |row| row.get(3));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    let day = Duration::from_hours(24);
    let id: crate::key::KeyId = "AAAAAAAAAAAA".parse().unwrap();
    let place = Cursor::new(id, crate::time::Timestamp::from_unix(1_800_000_000));
    let now = crate::time::Timestamp::from_unix(1_900_000_000);
    let page = || ListQuery::new().at(now).after(place).limit(10);
    let everything = page()
        .expiring_within(day)
        .unused_for(day)
        .scope("read".parse().unwrap())
        .in_grace()
        .state(KeyState::Live)
        .state(KeyState::NotYetValid)
        .state(KeyState::Revoked)
        .id_prefix("AA");
    let by = |filter, index| (everything.clone(), Way::By(filter), index);
    let realm = Realm::new("acme").unwrap();
    for (query, way, index) in [
        (page(), Way::InOrder, "sqlite_autoindex_api_keys_1 (id>?)"),
        (
            page().unrevoked(),
            Way::InOrder,
            "sqlite_autoindex_api_keys_1 (id>?)",
        ),
        (
            everything.clone(),
            Way::InOrder,
            "sqlite_autoindex_api_keys_1 (id>? AND id<?)",
        ),
        (page().newest_first(), Way::InOrder, "api_keys_by_issue"),
        (
            everything.clone().newest_first(),
            Way::InOrder,
            "api_keys_by_issue",
        ),
        (page().subject("alice"), Way::Direct, "api_keys_by_subject"),
        (
            page().subject("alice").unrevoked(),
            Way::Direct,
            "api_keys_by_subject",
        ),
        (page().lineage(id), Way::Direct, "api_keys_by_lineage"),
        (
            page().lineage(id).subject("alice").unrevoked(),
            Way::Direct,
            "api_keys_by_lineage",
        ),
        by(
            Filter::Expiring,
            "api_keys_by_end (realm=? AND revoked_at=? AND retire_at=? AND expires_at>? AND \
             expires_at<?)",
        ),
        by(Filter::Unused, "api_keys_by_use"),
        by(Filter::Scope, "api_keys_by_scopes"),
        by(Filter::State, "api_keys_by_beginning"),
        by(
            Filter::IdPrefix,
            "sqlite_autoindex_api_keys_1 (id>? AND id<?)",
        ),
        by(Filter::Realm, "api_keys_by_"),
    ] {
        let asked = Asked {
            dialect: &super::list::DIALECT,
            realm: &realm,
            query: &query,
        };
        let plan = explain(asked.page(way, Reading::new(&query).after(), query.limit));
        let text = plan.join("; ");
        assert!(text.contains(index), "{way:?} {query:?}: {text}");
        // A scan is of the rows that a condition has found, and is cut.
        let reads_all = |step: &String| step.starts_with("SCAN api_keys");
        assert!(!plan.iter().any(reads_all), "{way:?} {query:?}: {text}");
        match way {
            Way::By(filter) => {
                // Rows that a filter has found are read by their ids, in any order and from any
                // beginning of the page, and not passed by on the way through all.
                for query in [query.clone(), query.clone().newest_first()] {
                    let only = ListQuery::new().at(now);
                    let mut alone = match filter {
                        Filter::Expiring => only.expiring_within(day),
                        Filter::Unused => only.unused_for(day),
                        Filter::Scope => only.scope("read".parse().unwrap()),
                        Filter::State => only.in_grace().state(KeyState::NotYetValid),
                        Filter::IdPrefix => only.id_prefix("AA"),
                        Filter::Realm => only,
                    };
                    alone.newest_first = query.newest_first;
                    for query in [&query, &alone] {
                        let asked = Asked { query, ..asked };
                        let plan = explain(asked.page(way, Reading::new(query).after(), Some(10)));
                        let outer =
                            "SEARCH api_keys USING INDEX sqlite_autoindex_api_keys_1 (id=?)";
                        assert_eq!(plan[0], outer, "{way:?} {query:?}: {plan:?}");
                        let sorts = plan.iter().any(|step| step.contains("FOR ORDER BY"));
                        assert!(sorts, "{way:?} {query:?}: {plan:?}");
                    }
                }
                let counting = explain(asked.count(filter, 10)).join("; ");
                assert!(counting.contains(index), "{filter:?}: {counting}");
                assert!(
                    !counting.contains("SCAN api_keys"),
                    "{filter:?}: {counting}"
                );
            }
            _ => assert_eq!(plan.len(), 1, "{way:?} {query:?}: {text}"),
        }
        if way == Way::Direct {
            let query = query.clone().newest_first();
            let asked = Asked {
                query: &query,
                ..asked
            };
            let newest = explain(asked.page(way, Reading::new(&query).after(), Some(10)));
            assert!(newest[0].contains(index), "{query:?}: {newest:?}");
        }
    }
    let plan = explain_purge(&connection);
    for searched in [
        "(realm=? AND revoked_at<?)",
        "by_end (realm=? AND revoked_at=? AND retire_at=? AND expires_at<?)",
        "by_end (realm=? AND revoked_at=? AND retire_at<?)",
        "by_end (realm=? AND revoked_at=? AND retire_at>?)",
    ] {
        assert!(plan.contains(searched), "{plan}");
    }
    assert_eq!(plan.matches("USING COVERING INDEX").count(), 4, "{plan}");
}

/// The columns that decide whether a key is on the page are in the index: the table is read for the page
/// alone. The plan that SQLite prints does not say so for every index that it calls covering, but the
/// program does.
#[test]
fn a_filter_looks_at_no_row_that_it_does_not_show() {
    use crate::record::KeyState;
    use crate::store::listing::sql::{Asked, Filter, Statement, Way};

    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, &place(), &MIGRATIONS).unwrap();
    let seeks = |Statement { sql, values }: Statement| -> usize {
        let mut statement = connection.prepare(&format!("EXPLAIN {sql}")).unwrap();
        let rows = statement.query_map(rusqlite::params_from_iter(&values), |row| row.get(1));
        let steps: Vec<String> = rows.unwrap().collect::<Result<_, _>>().unwrap();
        steps.iter().filter(|step| *step == "NotFound").count()
    };
    let realm = crate::access::realm::Realm::new("acme").unwrap();
    let day = Duration::from_hours(24);
    let now = crate::time::Timestamp::from_unix(1_900_000_000);
    let all = || ListQuery::new().at(now);
    for (query, filter) in [
        (all(), Filter::Realm),
        (all().expiring_within(day), Filter::Expiring),
        (all().unused_for(day), Filter::Unused),
        (all().scope("read".parse().unwrap()), Filter::Scope),
        (all().state(KeyState::Live), Filter::State),
        (all().in_grace(), Filter::State),
        (all().state(KeyState::Expired), Filter::State),
        (all().state(KeyState::Retired), Filter::State),
        (all().state(KeyState::Revoked), Filter::State),
    ] {
        for query in [query.clone(), query.newest_first()] {
            let asked = Asked {
                dialect: &super::list::DIALECT,
                realm: &realm,
                query: &query,
            };
            assert_eq!(seeks(asked.count(filter, 10)), 0, "{query:?}");
            // One descent reads what is shown.
            let page = asked.page(Way::By(filter), None, Some(10));
            assert_eq!(seeks(page), 1, "{query:?}");
        }
    }
}

fn explain_purge(connection: &Connection) -> String {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {}", super::purge::DELETE))
        .unwrap();
    let rows = statement.query_map(rusqlite::params!["acme", 5, 10], |row| row.get(3));
    let plan: Vec<String> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    plan.join("; ")
}
