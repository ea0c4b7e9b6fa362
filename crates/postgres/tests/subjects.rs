//! The functions of the schema that end or narrow the keys of a subject.

mod model;
mod trigger;

use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, Connection};
use std::time::Duration;
use tower_api_key::{Grant, Issued, KeyRing, ManualClock, RevocationReason};
use tower_api_key_postgres::InTransaction;
use tower_api_key_postgres::sqlx;

use super::{builder, connect};
use tower_api_key_test_support::pg_server::{PgServer, database, execute};
use tower_api_key_test_support::support::{START, issue};

/// The keys of a realm, each with its label: `label scopes version reason`.
async fn keys(url: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let keys = "SELECT concat_ws(' | ', label, scopes, version, revocation_reason) \
                FROM tower_api_keys ORDER BY label";
    sqlx::query_scalar(keys)
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

/// The result of a function, or the code and the message of the database.
async fn call(url: &str, sql: &str) -> Result<i64, (String, String)> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
    let called = sql.fetch_one(&mut connection).await;
    called.map_err(|error| {
        let error = error.into_database_error().expect("the server answers");
        let error = error.downcast::<PgDatabaseError>();
        (error.code().to_owned(), error.message().to_owned())
    })
}

async fn ring(url: &str) -> KeyRing {
    let clock = ManualClock::new(START);
    builder().clock(clock).build(connect(url).await).unwrap()
}

async fn labelled(ring: &KeyRing, subject: &str, scopes: &str, label: &str) -> Issued {
    let grant = Grant::new(subject).scopes(scopes);
    ring.issue(grant.label(label)).await.unwrap()
}

/// Keys of alice in every state, and keys of others.
async fn everyone(url: &str) -> KeyRing {
    let ring = ring(url).await;
    labelled(&ring, "alice", "a b c", "1 wide").await;
    labelled(&ring, "alice", "a", "2 within").await;
    labelled(&ring, "alice", "c d", "3 beyond").await;
    labelled(&ring, "alice", "", "4 empty").await;
    let revoked = labelled(&ring, "alice", "a b c", "5 revoked").await;
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(revoked.record().id(), reason).await.unwrap();
    let rotated = labelled(&ring, "alice", "a", "6 rotated").await;
    let grace = Duration::from_mins(10);
    ring.rotate(rotated.record().id(), grace).await.unwrap();
    labelled(&ring, "Alice", "a b c", "7 another").await;
    let billing = builder()
        .realm("billing")
        .build(connect(url).await)
        .unwrap();
    labelled(&billing, "alice", "a b c", "8 elsewhere").await;
    ring
}

#[tokio::test]
async fn invariant_4_narrowing_a_subject_narrows_each_key_and_ends_those_in_grace() {
    let url = database().await;
    everyone(&url).await;
    let narrow = "SELECT tower_api_key_narrow_subject('orders', 'alice', '{b,a,x,NULL,A,a b}')";
    // The wide one, the one beyond, and the one in its grace.
    assert_eq!(call(&url, narrow).await, Ok(3));
    let expected = [
        "1 wide | a b | 2",
        "2 within | a | 1",
        "3 beyond | c d | 2 | privilege_withdrawn",
        "4 empty |  | 1",
        "5 revoked | a b c | 2 | key_compromise",
        "6 rotated | a | 1",
        "6 rotated | a | 3 | privilege_withdrawn",
        "7 another | a b c | 1",
        "8 elsewhere | a b c | 1",
    ];
    let mut found = keys(&url).await;
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(call(&url, narrow).await, Ok(0));
    assert_eq!(keys(&url).await.len(), expected.len());
    let nothing = "SELECT tower_api_key_narrow_subject('orders', 'alice', '{}')";
    assert_eq!(call(&url, nothing).await, Ok(3));
}

#[tokio::test]
async fn r32_ending_a_subject_ends_every_key_of_it_in_the_realm() {
    let url = database().await;
    let ring = everyone(&url).await;
    let end = "SELECT tower_api_key_end_subject('orders', 'alice', 'affiliation_changed')";
    assert_eq!(call(&url, end).await, Ok(6));
    let mut found = keys(&url).await;
    found.sort_unstable();
    let expected = [
        "1 wide | a b c | 2 | affiliation_changed",
        "2 within | a | 2 | affiliation_changed",
        "3 beyond | c d | 2 | affiliation_changed",
        "4 empty |  | 2 | affiliation_changed",
        "5 revoked | a b c | 2 | key_compromise",
        "6 rotated | a | 2 | affiliation_changed",
        "6 rotated | a | 3 | affiliation_changed",
        "7 another | a b c | 1",
        "8 elsewhere | a b c | 1",
    ];
    assert_eq!(found, expected);
    assert_eq!(call(&url, end).await, Ok(0));
    assert_eq!(
        call(&url, "SELECT tower_api_key_end_subject('orders', 'Alice')").await,
        Ok(1)
    );
    assert!(
        keys(&url)
            .await
            .contains(&"7 another | a b c | 2 | privilege_withdrawn".to_owned())
    );
    // The ring reads the changes of the function.
    let alice = tower_api_key::store::ListQuery::new().subject("alice");
    for record in ring.list(&alice).await.unwrap() {
        let revocation = record.revocation().unwrap();
        assert!(revocation.at.as_unix() > 1_700_000_000, "{record:?}");
    }
}

#[tokio::test]
async fn r32_what_cannot_be_sure_of_every_key_fails_and_changes_nothing() {
    let url = database().await;
    everyone(&url).await;
    let before = keys(&url).await;
    let null = "the realm and the subject must not be NULL";
    let isolation = "keys cannot be changed by subject at this isolation level";
    let set = "?options[default_transaction_isolation]=";
    for (setting, sql, code, message) in [
        ("", "end_subject(NULL, 'alice')", "TAK02", null),
        ("", "end_subject('orders', NULL)", "TAK02", null),
        ("", "narrow_subject(NULL, 'alice', '{a}')", "TAK02", null),
        ("", "narrow_subject('orders', NULL, '{a}')", "TAK02", null),
        (
            "",
            "narrow_subject('orders', 'alice', NULL)",
            "TAK02",
            "the scopes must not be NULL",
        ),
        (
            "",
            "end_subject('orders', 'alice', NULL)",
            "23514",
            "new row for relation \"tower_api_keys\" violates check constraint \
             \"tower_api_keys_revocation_check\"",
        ),
        (
            "",
            "end_subject('orders', 'alice', 'because')",
            "23514",
            "new row for relation \"tower_api_keys\" violates check constraint \
             \"tower_api_keys_revocation_reason_check\"",
        ),
        (
            "repeatable%20read",
            "end_subject('orders', 'alice')",
            "TAK02",
            isolation,
        ),
        (
            "serializable",
            "narrow_subject('orders', 'alice', '{a}')",
            "TAK02",
            isolation,
        ),
    ] {
        let url = match setting {
            "" => url.clone(),
            level => format!("{url}{set}{level}"),
        };
        let answer = call(&url, &format!("SELECT tower_api_key_{sql}")).await;
        assert_eq!(answer, Err((code.to_owned(), message.to_owned())), "{sql}");
    }
    let read_uncommitted = format!("{url}{set}read%20uncommitted");
    let narrow = "SELECT tower_api_key_narrow_subject('orders', 'nobody', '{a}')";
    assert_eq!(call(&read_uncommitted, narrow).await, Ok(0));
    // A rule that skips the change.
    let rule = "CREATE RULE nothing AS ON UPDATE TO tower_api_keys DO INSTEAD NOTHING";
    execute(&url, rule).await.unwrap();
    for sql in [
        "SELECT tower_api_key_end_subject('orders', 'alice')",
        "SELECT tower_api_key_narrow_subject('orders', 'alice', '{b}')",
    ] {
        let (code, message) = call(&url, sql).await.unwrap_err();
        assert_eq!(code, "TAK02");
        assert!(message.ends_with(" could not be revoked"), "{message}");
    }
    assert_eq!(keys(&url).await, before);
}

/// The functions grant no rights: every role may call them, with the effect that its own rights allow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r04_the_functions_do_what_their_caller_may_do() {
    let server = PgServer::start("off");
    let url = server.database().await;
    everyone(&url).await;
    let roles = "CREATE ROLE reader LOGIN; GRANT SELECT ON tower_api_keys TO reader;
        CREATE ROLE stranger LOGIN;
        CREATE ROLE writer LOGIN; GRANT SELECT, UPDATE ON tower_api_keys TO writer";
    execute(&url, roles).await.unwrap();
    let before = keys(&url).await;
    let as_role = |role: &str| url.replace("postgres@", &format!("{role}@"));
    let calls = [
        "SELECT tower_api_key_narrow_subject('orders', 'alice', '{a}')",
        "SELECT tower_api_key_end_subject('orders', 'alice')",
    ];
    for role in ["reader", "stranger"] {
        for sql in calls {
            let denied = "permission denied for table tower_api_keys".to_owned();
            let answer = call(&as_role(role), sql).await;
            assert_eq!(answer, Err(("42501".to_owned(), denied)), "{role}: {sql}");
        }
    }
    assert_eq!(keys(&url).await, before);
    execute(&url, "ALTER TABLE tower_api_keys ENABLE ROW LEVEL SECURITY")
        .await
        .unwrap();
    for sql in calls {
        let (code, message) = call(&as_role("writer"), sql).await.unwrap_err();
        assert_eq!(code, "TAK02");
        assert!(message.contains("a policy may hide rows"), "{message}");
    }
    execute(
        &url,
        "ALTER TABLE tower_api_keys DISABLE ROW LEVEL SECURITY",
    )
    .await
    .unwrap();
    assert_eq!(call(&as_role("writer"), calls[0]).await, Ok(3));
    assert_eq!(call(&as_role("writer"), calls[1]).await, Ok(4));
}

/// Tables with the same names in the session, and operators that take precedence over the database's.
#[tokio::test]
async fn r32_no_session_leads_the_functions_to_other_tables() {
    let url = database().await;
    everyone(&url).await;
    let planted = "CREATE TEMP TABLE tower_api_keys (LIKE public.tower_api_keys INCLUDING ALL);
        CREATE SCHEMA evil;
        CREATE FUNCTION evil.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
        CREATE OPERATOR evil.= (FUNCTION = evil.never, LEFTARG = text, RIGHTARG = text);
        CREATE FUNCTION evil.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS '';
        SET search_path = evil, pg_temp, pg_catalog, public;
        SET standard_conforming_strings = off";
    for (sql, count) in [
        ("narrow_subject('orders', 'alice', '{a}')", 3),
        ("end_subject('orders', 'alice')", 4),
    ] {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let planted = sqlx::raw_sql(planted);
        planted.execute(&mut connection).await.unwrap();
        let sql = format!("SELECT public.tower_api_key_{sql}");
        let changed: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(changed, count);
        connection.close().await.unwrap();
        execute(&url, "DROP SCHEMA evil CASCADE").await.unwrap();
    }
}

/// A collation in which more than identical bytes is equal: a scope in other letters is another scope.
#[tokio::test]
async fn r30_scopes_and_subjects_compare_by_their_bytes() {
    let url = database().await;
    let ring = ring(&url).await;
    labelled(&ring, "alice", "READ read", "1").await;
    let call = async |sql: &str| call(&url, sql).await;
    let collation = "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', \
                     deterministic = false)";
    if execute(&url, collation).await.is_err() {
        tower_api_key_test_support::support::not_run(format_args!(
            "collations that fold letters: this Postgres is built without ICU"
        ));
        return;
    }
    let none = "SELECT tower_api_key_end_subject('orders', 'ALICE' COLLATE folded)";
    assert_eq!(call(none).await, Ok(0));
    let narrow = "SELECT tower_api_key_narrow_subject('orders', 'alice' COLLATE folded, \
                  ARRAY['Read' COLLATE folded, 'read'])";
    assert_eq!(call(narrow).await, Ok(1));
    assert_eq!(keys(&url).await, ["1 | read | 2"]);
}

/// Rows that cannot be read, or whose version has no next one, under rules that they break: a key that
/// cannot be narrowed is ended, and a healthy key next to it is narrowed.
#[tokio::test]
async fn invariant_13_the_functions_end_rows_that_cannot_be_read() {
    let url = database().await;
    let ring = ring(&url).await;
    let healthy = labelled(&ring, "alice", "read write", "healthy").await;
    super::revoking::corrupt(&url).await;
    let all = i64::try_from(super::revoking::ROWS.len()).unwrap();
    let narrow = "SELECT tower_api_key_narrow_subject('orders', 'alice', '{read}')";
    // All of them had `write`.
    assert_eq!(call(&url, narrow).await, Ok(all + 1));
    let wide = "SELECT count(*) FROM tower_api_keys
        WHERE revoked_at IS NULL AND scopes <> 'read'";
    assert_eq!(call(&url, wide).await, Ok(0));
    let record = ring.get(healthy.record().id()).await.unwrap().unwrap();
    assert_eq!(record.scopes().as_str(), "read");
    let left = "SELECT count(*) FROM tower_api_keys WHERE revoked_at IS NULL";
    let left = call(&url, left).await.unwrap();
    let end = "SELECT tower_api_key_end_subject('orders', 'alice')";
    assert_eq!(call(&url, end).await, Ok(left));

    let url = database().await;
    super::revoking::corrupt(&url).await;
    assert_eq!(call(&url, end).await, Ok(all));
}

/// A key that is being issued is waited for, because the functions and the store take the same lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_6_the_functions_wait_for_those_who_issue_keys_to_the_subject() {
    let url = database().await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let store = tower_api_key_test_support::pg_server::patient()
        .with_pool(pool.clone())
        .await;
    let ring = super::ring_over(store.unwrap());
    let mut transaction = pool.begin().await.unwrap();
    let mut within = InTransaction::join(&ring, &mut transaction).await.unwrap();
    let issued = within.issue(Grant::new("alice")).await.unwrap();
    drop(within.finish());
    let ending = {
        let url = url.clone();
        let end = "SELECT tower_api_key_end_subject('orders', 'alice')";
        tokio::spawn(async move { call(&url, end).await })
    };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    while !super::someone_waits(&mut connection).await {
        assert!(!ending.is_finished(), "it does not wait");
        tokio::task::yield_now().await;
    }
    transaction.commit().await.unwrap();
    assert_eq!(ending.await.unwrap(), Ok(1));
    let verdict = ring.verify(issued.secret().expose().as_bytes()).await;
    verdict.unwrap_err();
    issue(&ring, "read").await;
}
