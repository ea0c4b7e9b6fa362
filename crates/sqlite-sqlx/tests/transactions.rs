//! Keys that change in the application's transaction.

use std::error::Error as StdError;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Connection as _, Sqlite, Transaction};
use tower_api_key::store::{HistoryQuery, ListQuery, MemoryStore, StoreErrorKind};
use tower_api_key::{
    CaveatKind, Description, Error, ErrorKind, Grant, Issued, KeyId, KeyRing, KeyState, Narrowing,
    RevocationReason, observer_fn,
};
use tower_api_key_sqlite_sqlx::{InTransaction, SqlxSqliteStore, sqlx};

use super::{
    REPLACED, REVOKED, UNKNOWN, Verdict, builder, over, pool, ring, run, store, store_error,
    verdict,
};
use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::support::{issue, poll_once};

const REASON: RevocationReason = RevocationReason::PrivilegeWithdrawn;
const BEGIN: &str = "BEGIN IMMEDIATE";

/// An application with a pool, its own table, and a ring on that pool.
struct Application {
    pool: SqlitePool,
    store: SqlxSqliteStore,
    ring: KeyRing,
    folder: Folder,
}

impl Application {
    async fn new() -> Self {
        let folder = Folder::new();
        let pool = pool(&folder.keys()).await;
        let table = "CREATE TABLE users (name TEXT PRIMARY KEY, role TEXT NOT NULL);
            INSERT INTO users VALUES ('alice', 'reader')";
        run(&pool, table).await;
        let store = over(&pool).await;
        Self {
            pool,
            ring: ring(store.clone()),
            store,
            folder,
        }
    }

    /// A transaction in which alice has become an editor.
    async fn begun(&self) -> Transaction<'static, Sqlite> {
        let mut transaction = self.pool.begin_with(BEGIN).await.unwrap();
        let change = "UPDATE users SET role = 'editor' WHERE name = 'alice'";
        sqlx::query(change)
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction
    }

    async fn role(&self) -> String {
        let role = "SELECT role FROM users WHERE name = 'alice'";
        sqlx::query_scalar(role)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    async fn verdict(&self, issued: &Issued) -> Verdict {
        verdict(&self.ring, issued).await
    }
}

fn editor() -> Grant {
    Grant::new("alice").scopes(["read", "write"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r32_a_role_and_its_key_change_together_or_not_at_all() {
    let app = Application::new().await;
    let old = issue(&app.ring, "read").await;
    let id = old.record().id();

    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&app.ring, &mut transaction)
        .await
        .unwrap();
    let undone = keys.regrant(id, editor()).await.unwrap();
    drop(keys.finish());
    assert_eq!(app.verdict(&old).await, Ok(()), "nothing is committed");
    assert_eq!(app.verdict(&undone).await, UNKNOWN);
    transaction.rollback().await.unwrap();
    assert_eq!(app.verdict(&old).await, Ok(()));
    assert_eq!(app.verdict(&undone).await, UNKNOWN);
    assert_eq!(app.role().await, "reader");

    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&app.ring, &mut transaction)
        .await
        .unwrap();
    let new = keys.regrant(id, editor()).await.unwrap();
    let unannounced = keys.finish();
    transaction.commit().await.unwrap();
    unannounced.announce();
    assert_eq!(app.verdict(&old).await, REPLACED);
    assert_eq!(app.verdict(&undone).await, UNKNOWN);
    let key = app.ring.verify(new.secret().expose().as_bytes()).await;
    assert_eq!(key.unwrap().scopes().as_str(), "read write");
    assert_eq!(app.role().await, "editor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_is_committed_with_the_application_or_not_at_all() {
    let app = Application::new().await;
    let id = issue(&app.ring, "read").await.id();
    for is_committed in [false, true] {
        let mut transaction = app.begun().await;
        let mut keys = InTransaction::join(&app.ring, &mut transaction)
            .await
            .unwrap();
        let description = Description::new().label("desk").metadata([("a", "b")]);
        keys.describe(id, description).await.unwrap();
        let unannounced = keys.finish();
        if is_committed {
            transaction.commit().await.unwrap();
            unannounced.announce();
        } else {
            transaction.rollback().await.unwrap();
        }
        let record = app.ring.get(id).await.unwrap().unwrap();
        assert_eq!(record.label().is_some(), is_committed);
        assert_eq!(record.metadata().len(), usize::from(is_committed));
        assert_eq!(record.scopes().as_str(), "read");
    }
}

/// A transaction that is dropped, as by a handler that fails or whose client hangs up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r32_what_is_dropped_before_its_commit_has_changed_nothing() {
    let app = Application::new().await;
    let old = issue(&app.ring, "read write").await;
    let new = {
        let mut transaction = app.begun().await;
        let mut keys = InTransaction::join(&app.ring, &mut transaction)
            .await
            .unwrap();
        keys.issue(editor()).await.unwrap()
    };
    {
        let mut transaction = app.begun().await;
        let mut keys = InTransaction::join(&app.ring, &mut transaction)
            .await
            .unwrap();
        let ended = keys.revoke_subject("alice", REASON).await.unwrap();
        assert_eq!(ended, 1);
    }
    assert_eq!(app.verdict(&old).await, Ok(()));
    assert_eq!(app.verdict(&new).await, UNKNOWN);
    assert_eq!(app.role().await, "reader");
    let all = app.ring.list(&ListQuery::new()).await.unwrap();
    assert_eq!(all.records(), std::slice::from_ref(old.record()));
}

/// Each operation in one transaction, and its result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_done_within_a_transaction() {
    let app = Application::new().await;
    let ring = builder()
        .accept_imports()
        .grantable_caveats([CaveatKind::Net])
        .build(app.store.clone())
        .unwrap();
    let visitors = KeyRing::builder("visit").build(app.store.clone()).unwrap();
    let visitor = issue(&visitors, "cart").await;
    let mut old = Vec::new();
    for _ in 0..7 {
        old.push(issue(&ring, "read write").await);
    }
    let id = |number: usize| old[number].record().id();
    let bob = ring.issue(Grant::new("bob")).await.unwrap();

    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&ring, &mut transaction).await.unwrap();
    let grace = Duration::from_mins(1);
    let issued = keys.issue(editor()).await.unwrap();
    let rotated = keys.rotate(id(0), grace).await.unwrap();
    let at_once = keys.rotate_now(id(1)).await.unwrap();
    let regranted = keys.regrant(id(2), editor()).await.unwrap();
    let promoted = keys.promote(&visitors, visitor.record().id(), editor());
    let promoted = promoted.await.unwrap();
    let fewer = Narrowing::new().to_scopes("read");
    let narrowed = keys.narrow(id(3), fewer).await.unwrap();
    assert_eq!(narrowed.scopes().as_str(), "read");
    let narrowing = Narrowing::new().with_caveats("net=10.0.0.0/8");
    let tied = keys.narrow(id(6), narrowing).await.unwrap();
    assert_eq!(tied.caveats().as_str(), "net=10.0.0.0/8");
    assert_eq!(tied.scopes().as_str(), "read write");
    keys.revoke(id(4), REASON).await.unwrap();
    assert_eq!(keys.revoke_lineage(id(5), REASON).await.unwrap(), 1);
    assert_eq!(keys.revoke_subject("bob", REASON).await.unwrap(), 1);
    let plaintext = tower_api_key_test_support::support::IMPORTED;
    let imported = keys
        .import_plaintext(editor().expires_in(Duration::from_hours(24)), plaintext)
        .await
        .unwrap();
    let digest = tower_api_key::KeyDigest::sha256(b"another");
    keys.import_digest(editor().expires_in(Duration::from_hours(24)), digest)
        .await
        .unwrap();
    // Its own statements see its changes.
    let live = "SELECT count(*) FROM api_keys WHERE revoked_at IS NULL";
    let count: i64 = sqlx::query_scalar(live)
        .fetch_one(keys.connection())
        .await
        .unwrap();
    assert_eq!(count, 10);
    let unannounced = keys.finish();
    transaction.commit().await.unwrap();
    unannounced.announce();

    for live in [
        &issued, &rotated, &at_once, &regranted, &promoted, &old[0], &old[3],
    ] {
        assert_eq!(verdict(&ring, live).await, Ok(()));
    }
    for dead in [&old[4], &old[5], &bob] {
        assert_eq!(verdict(&ring, dead).await, REVOKED);
    }
    for dead in [&old[1], &old[2]] {
        assert_eq!(verdict(&ring, dead).await, REPLACED);
    }
    assert_eq!(verdict(&visitors, &visitor).await, REPLACED);
    let elsewhere = Err(tower_api_key::VerifyErrorKind::Invalid(
        tower_api_key::InvalidCause::CaveatNotMet,
    ));
    assert_eq!(verdict(&ring, &old[6]).await, elsewhere);
    assert!(ring.verify(plaintext.as_bytes()).await.is_ok());
    assert_eq!(ring.get(imported.id()).await.unwrap(), Some(imported));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observers_and_watches_hear_of_a_transaction_after_its_commit() {
    let app = Application::new().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let ring = {
        let told = Arc::clone(&told);
        builder()
            .watch_interval(Duration::from_hours(1))
            .observer(observer_fn(move |event| {
                let subject = event.subject().unwrap_or_default().to_owned();
                let key = event.key_id();
                told.lock()
                    .unwrap()
                    .push((event.kind().as_str(), key, subject));
            }))
            .build(app.store.clone())
            .unwrap()
    };
    let old = issue(&ring, "read").await.record().id();
    let mut watch = Box::pin(ring.watch(old));
    assert!(matches!(poll_once(&mut watch), Poll::Pending));
    told.lock().unwrap().clear();
    let heard = || std::mem::take(&mut *told.lock().unwrap());

    // One that is rolled back causes no event.
    for commits in [false, true] {
        let mut transaction = app.begun().await;
        let mut keys = InTransaction::join(&ring, &mut transaction).await.unwrap();
        let new = keys.regrant(old, editor()).await.unwrap().record().id();
        keys.revoke(new, REASON).await.unwrap();
        let unannounced = keys.finish();
        assert_eq!(heard(), []);
        if commits {
            transaction.commit().await.unwrap();
            unannounced.announce();
            let about = |kind, id: KeyId| (kind, Some(id), "alice".to_owned());
            let all = [
                about("regranted", new),
                about("revoked", old),
                about("revoked", new),
            ];
            assert_eq!(heard(), all);
        } else {
            transaction.rollback().await.unwrap();
            drop(unannounced);
            assert_eq!(heard(), []);
        }
    }
    let over = tokio::time::timeout(Duration::from_mins(1), watch).await;
    assert_eq!(over.unwrap().unwrap(), KeyState::Revoked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_has_the_changes_of_a_transaction_with_their_actor() {
    let app = Application::new().await;
    let mut transaction = app.begun().await;
    let acting = app.ring.acting_as("ops@example.com").unwrap();
    let mut keys = InTransaction::join(&acting, &mut transaction)
        .await
        .unwrap();
    let id = keys.issue(editor()).await.unwrap().id();
    let history = keys.history(&HistoryQuery::new()).await.unwrap();
    assert_eq!(history.iter().count(), 1);
    // A statement of the application in between is none of the ring.
    let by_hand = "UPDATE api_keys SET version = version + 1, expires_at = expires_at - 1";
    sqlx::query(by_hand)
        .execute(keys.connection())
        .await
        .unwrap();
    let unannounced = keys.finish();
    transaction.commit().await.unwrap();
    unannounced.announce();
    let history = app
        .ring
        .history(&HistoryQuery::new().oldest_first())
        .await
        .unwrap();
    let entries: Vec<_> = history
        .iter()
        .map(|it| {
            (
                it.key_id(),
                it.actor().map(ToString::to_string),
                it.is_by_hand(),
            )
        })
        .collect();
    let actor = Some("ops@example.com".to_owned());
    assert_eq!(entries, [(Some(id), actor, false), (Some(id), None, true)]);
}

#[track_caller]
fn assert_refused(error: &Error, kind: StoreErrorKind, remedy: &str) {
    let sources = std::iter::successors(Some(error as &dyn StdError), |&error| error.source());
    let said: Vec<String> = sources.map(ToString::to_string).collect();
    assert_eq!(store_error(error).kind(), kind, "{said:?}");
    assert!(said.iter().any(|it| it.contains(remedy)), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_connection_that_is_in_no_transaction_is_refused() {
    let app = Application::new().await;
    let mut connection = app.pool.acquire().await.unwrap();
    let error = InTransaction::join(&app.ring, &mut connection)
        .await
        .unwrap_err();
    let remedy = "begin a transaction first, with BEGIN IMMEDIATE";
    assert_refused(&error, StoreErrorKind::Unavailable, remedy);
    // And is as it was.
    let transaction = connection.begin_with(BEGIN).await.unwrap();
    transaction.rollback().await.unwrap();
    // One that a statement has begun is as good as one of sqlx.
    sqlx::raw_sql(BEGIN)
        .execute(&mut *connection)
        .await
        .unwrap();
    let mut keys = InTransaction::join(&app.ring, &mut connection)
        .await
        .unwrap();
    let issued = keys.issue(editor()).await.unwrap();
    drop(keys.finish());
    sqlx::raw_sql("COMMIT")
        .execute(&mut *connection)
        .await
        .unwrap();
    assert_eq!(app.verdict(&issued).await, Ok(()));
}

/// After a full disk, for example. A savepoint would begin a transaction, and end it with a commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r32_nothing_is_committed_by_itself_if_the_transaction_is_over() {
    let app = Application::new().await;
    let old = issue(&app.ring, "read").await;
    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&app.ring, &mut transaction)
        .await
        .unwrap();
    sqlx::raw_sql("ROLLBACK")
        .execute(keys.connection())
        .await
        .unwrap();
    for error in [
        keys.issue(editor()).await.map(drop).unwrap_err(),
        keys.revoke(old.id(), REASON).await.unwrap_err(),
    ] {
        assert_refused(
            &error,
            StoreErrorKind::Unavailable,
            "the transaction is over",
        );
    }
    drop(keys.finish());
    drop(transaction);
    assert_eq!(app.verdict(&old).await, Ok(()));
    assert_eq!(app.ring.list(&ListQuery::new()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_transaction_of_another_database_is_refused() {
    let app = Application::new().await;
    let other = app.folder.fresh();
    store(&other).await;
    let elsewhere = "sqlite::memory:";
    for url in [
        format!("sqlite://{}", other.display()),
        elsewhere.to_owned(),
    ] {
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let mut transaction = connection.begin_with(BEGIN).await.unwrap();
        let error = InTransaction::join(&app.ring, &mut transaction)
            .await
            .unwrap_err();
        assert_refused(&error, StoreErrorKind::Unavailable, "this one is another");
    }
    let memory = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let mut transaction = app.begun().await;
    let error = InTransaction::join(&memory, &mut transaction)
        .await
        .unwrap_err();
    let remedy = "build the ring over a SqlxSqliteStore";
    assert_refused(&error, StoreErrorKind::Unavailable, remedy);
}

/// A transaction that has read before another connection wrote: SQLite refuses its first change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r02_a_transaction_with_an_old_snapshot_changes_nothing() {
    let app = Application::new().await;
    let old = issue(&app.ring, "read").await;
    let mut transaction = app.pool.begin().await.unwrap();
    let mut keys = InTransaction::join(&app.ring, &mut transaction)
        .await
        .unwrap();
    app.ring.revoke(old.id(), REASON).await.unwrap();
    let error = keys.rotate_now(old.id()).await.unwrap_err();
    assert_refused(
        &error,
        StoreErrorKind::Busy,
        "begin it with BEGIN IMMEDIATE",
    );
    drop(keys.finish());
    drop(transaction);
    assert_eq!(app.verdict(&old).await, REVOKED);
    assert_eq!(app.ring.list(&ListQuery::new()).await.unwrap().len(), 1);
}

/// A refused change leaves the transaction as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_refused_leaves_the_transaction_as_it_was() {
    let app = Application::new().await;
    let ring = builder()
        .max_keys_per_subject(1)
        .build(app.store.clone())
        .unwrap();
    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&ring, &mut transaction).await.unwrap();
    let issued = keys.issue(editor()).await.unwrap();
    let error = keys.issue(editor()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooManyKeys { .. }));
    let nowhere: KeyId = "000000000000".parse().unwrap();
    keys.revoke(nowhere, REASON).await.unwrap_err();
    let unannounced = keys.finish();
    transaction.commit().await.unwrap();
    unannounced.announce();
    assert_eq!(app.verdict(&issued).await, Ok(()));
    assert_eq!(app.role().await, "editor");
    assert_eq!(ring.list(&ListQuery::new()).await.unwrap().len(), 1);
}

/// A call that is dropped half-way leaves its transaction in doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r02_after_a_dropped_call_a_transaction_takes_no_other() {
    let app = Application::new().await;
    let mut transaction = app.begun().await;
    let mut keys = InTransaction::join(&app.ring, &mut transaction)
        .await
        .unwrap();
    let mut call = Box::pin(keys.issue(editor()));
    assert!(poll_once(&mut call).is_pending());
    drop(call);
    let error = keys.issue(editor()).await.unwrap_err();
    assert_refused(
        &error,
        StoreErrorKind::Unavailable,
        "roll the transaction back",
    );
    drop(keys.finish());
    transaction.rollback().await.unwrap();
    assert_eq!(app.ring.list(&ListQuery::new()).await.unwrap().len(), 0);
}
