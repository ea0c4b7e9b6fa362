//! The history of the keys in a database.

use std::fmt::Write as _;

use sqlx::PgPool;
use tower_api_key::store::{HistoryEntry, HistoryKind, HistoryQuery, StoreError, StoreErrorKind};
use tower_api_key::{Actor, Description, Grant, KeyRing, RevocationReason};
use tower_api_key_postgres::{InTransaction, sqlx};

use super::{connect, ring_over};
use tower_api_key_test_support::pg_server::{database, empty_database, execute, patient};

const REASON: RevocationReason = RevocationReason::KeyCompromise;

async fn whole(ring: &KeyRing) -> Vec<HistoryEntry> {
    let query = HistoryQuery::new().oldest_first();
    ring.history(&query).await.unwrap().into_iter().collect()
}

/// The kind, the actor and whether it was by hand.
fn seen(entries: &[HistoryEntry]) -> Vec<(HistoryKind, Option<&str>, bool)> {
    let seen = entries.iter().map(|entry| {
        let actor = entry.actor().map(Actor::as_str);
        (entry.kind(), actor, entry.is_by_hand())
    });
    seen.collect()
}

async fn code(url: &str, statement: &str) -> String {
    let error = execute(url, statement).await.expect_err(statement);
    let error = error.into_database_error().unwrap();
    error.code().unwrap_or_default().into_owned()
}

fn kind(error: &tower_api_key::Error) -> StoreErrorKind {
    let source = std::error::Error::source(error).unwrap();
    source.downcast_ref::<StoreError>().unwrap().kind()
}

/// The same database as another role, with these rights.
async fn role(url: &str, name: &str, rights: &str) -> String {
    let role = format!("CREATE ROLE {name} LOGIN; GRANT {rights} ON tower_api_keys TO {name}");
    execute(url, &role).await.unwrap();
    let migrations = format!("GRANT SELECT ON tower_api_key_migrations TO {name}");
    execute(url, &migrations).await.unwrap();
    url.replacen("postgres@", &format!("{name}@"), 1)
}

#[tokio::test]
async fn a_statement_by_hand_is_recorded_with_the_role() {
    let url = database().await;
    let ring = ring_over(connect(&url).await);
    let ops = ring.acting_as("ops@example.com").unwrap();
    ops.issue(Grant::new("alice").scopes(["read"]))
        .await
        .unwrap();
    for statement in [
        "UPDATE tower_api_keys SET last_used_at = 1",
        "SELECT set_config('tower_api_key.actor', 'dba@example.com', true); \
         UPDATE tower_api_keys SET scopes = '', version = version + 1",
        "SET session_replication_role = replica; \
         SELECT tower_api_key_end_subject('orders', 'alice')",
        "DELETE FROM tower_api_keys",
    ] {
        execute(&url, statement).await.unwrap();
    }
    let entries = whole(&ring).await;
    assert_eq!(
        seen(&entries),
        [
            (HistoryKind::Added, Some("ops@example.com"), false),
            (HistoryKind::Narrowed, Some("dba@example.com"), true),
            (HistoryKind::Revoked, None, true),
            (HistoryKind::Removed, None, true),
        ]
    );
    assert!(entries.iter().all(|entry| entry.role() == Some("postgres")));
    assert_eq!(entries[1].before()["scopes"], "read");
}

#[tokio::test]
async fn a_truncation_is_recorded_in_each_realm() {
    let url = database().await;
    let ring = ring_over(connect(&url).await);
    ring.issue(Grant::new("alice")).await.unwrap();
    execute(&url, "TRUNCATE tower_api_keys").await.unwrap();
    let kinds: Vec<_> = whole(&ring).await.iter().map(HistoryEntry::kind).collect();
    assert_eq!(kinds, [HistoryKind::Added, HistoryKind::Emptied]);
}

#[tokio::test]
async fn nobody_changes_or_removes_an_entry_but_by_the_call() {
    let url = database().await;
    let ring = ring_over(connect(&url).await);
    ring.issue(Grant::new("alice")).await.unwrap();
    let before = whole(&ring).await;
    for statement in [
        "DELETE FROM tower_api_key_history",
        "UPDATE tower_api_key_history SET actor = 'ops'",
        "TRUNCATE tower_api_key_history",
        "SET session_replication_role = replica; DELETE FROM tower_api_key_history",
    ] {
        assert_eq!(code(&url, statement).await, "TAK03", "{statement}");
    }
    // A server, with all the rights that it needs.
    let server = role(&url, "history_server", "SELECT, INSERT, UPDATE, DELETE").await;
    execute(
        &url,
        "GRANT SELECT ON tower_api_key_history TO history_server",
    )
    .await
    .unwrap();
    execute(&url, "GRANT CREATE ON SCHEMA public TO history_server")
        .await
        .unwrap();
    let own = "CREATE TABLE own (LIKE tower_api_keys); CREATE TRIGGER own AFTER INSERT ON own \
         FOR EACH ROW EXECUTE FUNCTION tower_api_keys_noted()";
    for statement in [
        "SELECT tower_api_key_forget_history('orders', 5000000000)",
        "SELECT tower_api_key_history_note('orders', 'added', 'a', 'b', NULL, NULL)",
        "INSERT INTO tower_api_key_history (realm, action, role, by_hand) \
         VALUES ('orders', 'added', 'ops', false)",
        "DELETE FROM tower_api_key_history",
        "SET tower_api_key.forgets = 'on'; DELETE FROM tower_api_key_history",
        own,
        &own.replace("noted()", "noted_expiry()"),
    ] {
        assert_eq!(code(&server, statement).await, "42501", "{statement}");
    }
    assert_eq!(whole(&ring).await, before);

    let server = ring_over(connect(&server).await);
    server.issue(Grant::new("bob")).await.unwrap();
    let entries = whole(&server).await;
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].role(), Some("history_server"));
    server
        .forget_history(std::time::Duration::ZERO)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_transaction_of_the_application_has_the_actor_of_each_change() {
    let url = database().await;
    let pool = PgPool::connect(&url).await.unwrap();
    let ring = ring_over(patient().with_pool(pool.clone()).await.unwrap());
    let ops = ring.acting_as("ops").unwrap();
    let first = ring.issue(Grant::new("alice")).await.unwrap();
    for commits in [false, true] {
        let mut transaction = pool.begin().await.unwrap();
        let said = "SELECT set_config('tower_api_key.actor', 'job', true)";
        sqlx::query(said).execute(&mut *transaction).await.unwrap();
        let mut keys = InTransaction::join(&ops, &mut transaction).await.unwrap();
        keys.issue(Grant::new("bob")).await.unwrap();
        keys.revoke(first.id(), REASON).await.unwrap();
        let own = "SELECT tower_api_key_end_subject('orders', 'bob')";
        sqlx::query(own).execute(keys.connection()).await.unwrap();
        // In the transaction already.
        let all = keys.history(&HistoryQuery::new()).await.unwrap();
        assert_eq!(all.len(), 4);
        let unannounced = keys.finish();
        if commits {
            transaction.commit().await.unwrap();
            unannounced.announce();
        } else {
            drop(unannounced);
            transaction.rollback().await.unwrap();
            assert_eq!(whole(&ring).await.len(), 1);
        }
    }
    assert_eq!(
        seen(&whole(&ring).await),
        [
            (HistoryKind::Added, None, false),
            (HistoryKind::Added, Some("ops"), false),
            (HistoryKind::Revoked, Some("ops"), false),
            // The application's own statement, by the actor that it named.
            (HistoryKind::Revoked, Some("job"), true),
        ]
    );
    // Nothing of it stays in the session.
    execute(&url, "DELETE FROM tower_api_keys WHERE subject = 'bob'")
        .await
        .unwrap();
    let last = whole(&ring).await.pop().unwrap();
    assert_eq!((last.actor(), last.is_by_hand()), (None, true));
}

#[tokio::test]
async fn a_history_that_may_not_be_whole_is_refused() {
    let url = database().await;
    let ring = ring_over(connect(&url).await);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let asked = HistoryQuery::new();
    for trigger in ["new", "changed", "gone", "emptied", "expiry"] {
        let trigger = format!("TRIGGER tower_api_keys_note_{trigger}");
        let disable = format!("ALTER TABLE tower_api_keys DISABLE {trigger}");
        execute(&url, &disable).await.unwrap();
        let error = ring.history(&asked).await.unwrap_err();
        assert_eq!(kind(&error), StoreErrorKind::Schema, "{trigger}");
        let enable = format!("ALTER TABLE tower_api_keys ENABLE ALWAYS {trigger}");
        execute(&url, &enable).await.unwrap();
    }
    assert_eq!(ring.history(&asked).await.unwrap().len(), 1);

    let reader = role(&url, "history_reader", "SELECT").await;
    execute(
        &url,
        "GRANT SELECT ON tower_api_key_history TO history_reader",
    )
    .await
    .unwrap();
    let reader = ring_over(connect(&reader).await);
    assert_eq!(reader.history(&asked).await.unwrap().len(), 1);
    let policy = "ALTER TABLE tower_api_key_history ENABLE ROW LEVEL SECURITY";
    execute(&url, policy).await.unwrap();
    let error = reader.history(&asked).await.unwrap_err();
    assert_eq!(kind(&error), StoreErrorKind::Schema);
    // The policy keeps no change out of the history.
    ring.revoke(issued.id(), REASON).await.unwrap();
    assert_eq!(ring.history(&asked).await.unwrap().len(), 2);
}

/// Services are replaced before or after the migration.
#[tokio::test]
async fn a_schema_without_a_history_takes_changes_and_says_what_is_missing() {
    let url = empty_database().await;
    for file in [
        include_str!("../migrations/0001_keys.sql"),
        include_str!("../migrations/0002_revocable.sql"),
        include_str!("../migrations/0003_subjects.sql"),
        include_str!("../migrations/0004_listing.sql"),
        include_str!("../migrations/0005_prefix_and_lists.sql"),
        include_str!("../migrations/0006_caveats.sql"),
        include_str!("../migrations/0007_descriptions.sql"),
    ] {
        execute(&url, file).await.unwrap();
    }
    let ops = ring_over(connect(&url).await).acting_as("ops").unwrap();
    let issued = ops.issue(Grant::new("alice")).await.unwrap();
    ops.revoke(issued.id(), REASON).await.unwrap();
    let error = ops.history(&HistoryQuery::new()).await.unwrap_err();
    assert_eq!(kind(&error), StoreErrorKind::Schema);
    patient().migrate(&url).await.unwrap();
    ops.purge().await.unwrap();
    assert_eq!(whole(&ops).await, []);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Rule 6: neither the secret nor a part of it, nor the digest, nor what people wrote.
#[tokio::test]
async fn r06_no_secret_and_no_digest_is_in_the_history() {
    let url = database().await;
    let ring = ring_over(connect(&url).await);
    let (written, name) = ("a-written-label", "a-written-name");
    let grant = Grant::new("alice").label(written);
    let issued = ring.issue(grant.metadata([(name, written)])).await.unwrap();
    let description = Description::new().label("other").metadata([(name, "x")]);
    ring.describe(issued.id(), description).await.unwrap();
    let next = ring.rotate_now(issued.id()).await.unwrap();
    ring.revoke(next.id(), REASON).await.unwrap();
    execute(&url, "DELETE FROM tower_api_keys").await.unwrap();

    let pool = PgPool::connect(&url).await.unwrap();
    let dump = "SELECT string_agg(entries::text, ' ') FROM tower_api_key_history AS entries";
    let dump: String = sqlx::query_scalar(dump).fetch_one(&pool).await.unwrap();
    assert!(dump.contains(issued.id().as_str()));
    for key in [&issued, &next] {
        let secret = key.secret().expose();
        let secret = secret.rsplit('_').next().unwrap();
        for start in 0..secret.len() - 8 {
            assert!(
                !dump.contains(&secret[start..start + 8]),
                "a part of the secret"
            );
        }
        let digest = hex(key.record().digest().as_bytes());
        assert!(!dump.contains(&digest[..16]), "a part of the digest");
    }
    for text in [written, name, "other"] {
        assert!(!dump.contains(text), "{text}");
    }
}
