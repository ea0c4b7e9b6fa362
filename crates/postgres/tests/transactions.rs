//! Keys that change in the application's transaction.

mod conflicts;
mod refused;

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use sqlx::{PgPool, Postgres, Transaction};
use tower_api_key::store::ListQuery;
use tower_api_key::{
    CaveatKind, Description, Grant, InvalidCause, Issued, KeyId, KeyRing, KeyState, Narrowing,
    RevocationReason, VerifyErrorKind, observer_fn,
};
use tower_api_key_postgres::InTransaction;
use tower_api_key_postgres::PostgresStore;
use tower_api_key_postgres::sqlx;

use super::{builder, ring_over};
use tower_api_key_test_support::pg_server::{database, execute, patient};
use tower_api_key_test_support::support::{issue, poll_once};

const REASON: RevocationReason = RevocationReason::PrivilegeWithdrawn;
const REVOKED: Result<(), VerifyErrorKind> = Err(VerifyErrorKind::Invalid(InvalidCause::Revoked));
const REPLACED: Result<(), VerifyErrorKind> = Err(VerifyErrorKind::Invalid(InvalidCause::Replaced));
const UNKNOWN: Result<(), VerifyErrorKind> = Err(VerifyErrorKind::Invalid(InvalidCause::Unknown));

/// An application with a pool, its own table, and a ring on that pool.
struct Application {
    pool: PgPool,
    store: PostgresStore,
    ring: KeyRing,
    url: String,
}

impl Application {
    async fn new() -> Self {
        let url = database().await;
        let table = "CREATE TABLE users (name text PRIMARY KEY, role text NOT NULL);
            INSERT INTO users VALUES ('alice', 'reader')";
        execute(&url, table).await.unwrap();
        let pool = PgPool::connect(&url).await.unwrap();
        let store = patient().with_pool(pool.clone()).await.unwrap();
        Self {
            pool,
            ring: ring_over(store.clone()),
            store,
            url,
        }
    }

    /// A transaction in which alice has become an editor.
    async fn begun(&self) -> Transaction<'static, Postgres> {
        let mut transaction = self.pool.begin().await.unwrap();
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

    async fn verdict(&self, issued: &Issued) -> Result<(), VerifyErrorKind> {
        verdict(&self.ring, issued).await
    }
}

async fn verdict(ring: &KeyRing, issued: &Issued) -> Result<(), VerifyErrorKind> {
    let verdict = ring.verify(issued.secret().expose().as_bytes()).await;
    verdict.map(drop).map_err(|error| error.kind())
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
    let live = "SELECT count(*) FROM tower_api_keys WHERE revoked_at IS NULL";
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
    let elsewhere = Err(VerifyErrorKind::Invalid(InvalidCause::CaveatNotMet));
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

/// The bounds that the store sets for its own locks end with its change, or only protect others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bounds_of_the_application_stay_its_own() {
    let app = Application::new().await;
    for (own, standstill, after) in [
        ("0", "0", ["0", "3s"]),
        ("7min", "1h", ["7min", "3s"]),
        ("40ms", "1500ms", ["40ms", "1500ms"]),
    ] {
        let mut transaction = app.pool.begin().await.unwrap();
        let set = format!(
            "SET LOCAL lock_timeout = '{own}'; \
             SET LOCAL idle_in_transaction_session_timeout = '{standstill}'"
        );
        let set = sqlx::raw_sql(sqlx::AssertSqlSafe(set));
        set.execute(&mut *transaction).await.unwrap();
        let mut keys = InTransaction::join(&app.ring, &mut transaction)
            .await
            .unwrap();
        keys.issue(editor()).await.unwrap();
        let nowhere: KeyId = "000000000000".parse().unwrap();
        keys.revoke(nowhere, REASON).await.unwrap_err();
        let shown = "SELECT current_setting('lock_timeout'), \
                     current_setting('idle_in_transaction_session_timeout')";
        let shown: (String, String) = sqlx::query_as(shown)
            .fetch_one(keys.connection())
            .await
            .unwrap();
        assert_eq!([&*shown.0, &*shown.1], after);
    }
}
