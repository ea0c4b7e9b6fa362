//! No content of a row keeps a key from being revoked, neither this key nor another.

use std::error::Error;

use sqlx::{Connection, PgConnection};
use tower_api_key::store::{ListQuery, StoreError, StoreErrorKind};
use tower_api_key::{
    Grant, InvalidCause, KeyDigest, KeyId, KeyRing, ManualClock, RevocationReason, Timestamp,
    VerifyErrorKind,
};

use super::{MIGRATIONS, builder, connect};
use tower_api_key_test_support::pg_server::{database, empty_database, execute, patient, until};
use tower_api_key_test_support::support::{START, issue};

const REASON: RevocationReason = RevocationReason::KeyCompromise;
const HEALTHY: &str = "AAAAAAAAAAAA";

/// Columns whose values are not a valid record, or a version that has no next one.
pub(super) const ROWS: [(&str, &str); 19] = [
    ("metadata", r#"'{"a":1}'"#),
    ("metadata", r#"'{"a":"b","c":[]}'"#),
    ("metadata", r#"'{"a":"\ud800"}'"#),
    ("metadata", "'no JSON'"),
    ("scopes", r#"'read"write'"#),
    ("generation", "-1"),
    ("version", "9223372036854775807"),
    ("version", "9223372036854775806"),
    ("version", "4611686018427387904"),
    ("version", "0"),
    ("not_before", "-1"),
    ("digest", r"'\x00'"),
    ("pepper_version", "-1"),
    ("issued_at", "-1"),
    ("expires_at", "-1"),
    ("retire_at", "-1"),
    ("last_used_at", "-1"),
    ("scopes", "'read  write'"),
    ("metadata", "'[]'"),
];

/// The owner's steps to insert these rows: the rules are disabled for a moment, and apply again to
/// every later change.
const UNGUARDED: &str = "ALTER TABLE tower_api_keys DISABLE TRIGGER USER;
    CREATE TEMP TABLE rules AS SELECT conname AS name, pg_get_constraintdef(oid) AS rule
        FROM pg_constraint WHERE conrelid = 'public.tower_api_keys'::regclass AND contype = 'c';
    DO $$ DECLARE rule record; BEGIN FOR rule IN SELECT * FROM rules LOOP
        EXECUTE format('ALTER TABLE tower_api_keys DROP CONSTRAINT %I', rule.name);
    END LOOP; END $$;";
const GUARDED: &str = "DO $$ DECLARE rule record; BEGIN FOR rule IN SELECT * FROM rules LOOP
        EXECUTE format('ALTER TABLE tower_api_keys ADD CONSTRAINT %I %s NOT VALID', rule.name,
            replace(rule.rule, ' NOT VALID', ''));
    END LOOP; END $$;
    ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_guard;";

/// The rows that are not valid records.
const UNREADABLE: [usize; 14] = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 17, 18];

fn id(number: usize) -> KeyId {
    format!("{number:0>12}").parse().unwrap()
}

fn row(id: &str, column: &str, value: &str) -> String {
    let columns = [
        ("id", format!("'{id}'")),
        ("realm", "'orders'".to_owned()),
        ("digest", format!("sha256('{id}')")),
        ("subject", "'alice'".to_owned()),
        ("scopes", "'read write'".to_owned()),
        ("issued_at", "1".to_owned()),
        ("not_before", "1".to_owned()),
        ("lineage", format!("'{HEALTHY}'")),
        ("generation", "0".to_owned()),
        ("version", "1".to_owned()),
        ("metadata", "'{}'".to_owned()),
    ];
    let mut columns = Vec::from(columns);
    columns.retain(|(name, _)| *name != column);
    if !column.is_empty() {
        columns.push((column, value.to_owned()));
    }
    let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let (names, values) = (names.join(", "), values.join(", "));
    format!("INSERT INTO tower_api_keys ({names}) VALUES ({values});")
}

/// Puts these rows into the lineage of [`HEALTHY`], with the ids of their numbers.
pub(super) async fn corrupt(url: &str) {
    let rows = ROWS.into_iter().enumerate();
    let rows = rows.map(|(number, (column, value))| row(id(number).as_str(), column, value));
    let sql = format!("{UNGUARDED}{}{GUARDED}", rows.collect::<String>());
    execute(url, &sql).await.unwrap();
}

/// A database as version 1 of the schema left it, with a healthy key and others.
async fn first_schema() -> String {
    let url = empty_database().await;
    let schema = include_str!("../migrations/0001_keys.sql");
    execute(&url, schema).await.unwrap();
    execute(&url, &row(HEALTHY, "", "")).await.unwrap();
    corrupt(&url).await;
    url
}

async fn ring(url: &str) -> KeyRing {
    let clock = ManualClock::new(START);
    let builder = builder().clock(clock);
    builder.build(connect(url).await).unwrap()
}

async fn number(url: &str, sql: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

async fn living(url: &str) -> i64 {
    let sql = "SELECT count(*) FROM tower_api_keys WHERE revoked_at IS NULL";
    number(url, sql).await
}

#[tokio::test]
async fn invariant_13_a_database_of_the_first_schema_is_migrated_as_it_is() {
    let url = first_schema().await;
    // Every column of the first schema.
    let sum = "SELECT sum(hashtext((id, realm, digest, pepper_version, subject, scopes, issued_at, \
               not_before, expires_at, retire_at, lineage, generation, version, revoked_at, \
               revocation_reason, label, metadata, last_used_at)::text)) FROM tower_api_keys";
    let before = number(&url, sum).await;
    assert_eq!(patient().migrate(&url).await.unwrap(), MIGRATIONS - 1);
    assert_eq!(number(&url, sum).await, before);
    connect(&url).await;

    // The guards do not check the old values of a row, but they do check the new ones.
    let high = id(6);
    for (edit, changed) in [
        ("scopes = ''", false),
        ("scopes = '', version = version + 1", false),
        (
            "revoked_at = 1, revocation_reason = 'unspecified', scopes = ''",
            false,
        ),
        (
            "revoked_at = 1, revocation_reason = 'unspecified', version = 1",
            false,
        ),
        ("revoked_at = 1, revocation_reason = 'unspecified'", true),
    ] {
        let edit = format!("UPDATE tower_api_keys SET {edit} WHERE id = '{high}'");
        assert_eq!(execute(&url, &edit).await.is_ok(), changed, "{edit}");
    }
}

/// Each by its id, all by their lineage, and all by their subject, in a migrated database.
#[tokio::test]
async fn r32_rows_that_cannot_be_read_are_revoked_and_keep_no_other_key_alive() {
    let all = ROWS.len() + 1;
    for way in 0..4 {
        let url = first_schema().await;
        patient().migrate(&url).await.unwrap();
        let ring = ring(&url).await;
        beside_unreadable_rows(&ring).await;
        let healthy: KeyId = HEALTHY.parse().unwrap();
        match way {
            0 => {
                for key in (0..ROWS.len()).map(id) {
                    let version = format!("SELECT version FROM tower_api_keys WHERE id = '{key}'");
                    let before = number(&url, &version).await;
                    ring.revoke(key, REASON).await.unwrap();
                    let after = match before {
                        i64::MAX => before,
                        before if before < 1 => 1,
                        before => before + 1,
                    };
                    assert_eq!(number(&url, &version).await, after, "{key}");
                    ring.revoke(key, REASON).await.unwrap();
                }
                assert_eq!(living(&url).await, 1);
                ring.revoke(healthy, REASON).await.unwrap();
            }
            1 => assert_eq!(ring.revoke_lineage(healthy, REASON).await.unwrap(), all),
            2 => assert_eq!(ring.revoke_lineage(id(3), REASON).await.unwrap(), all),
            _ => assert_eq!(ring.revoke_subject("alice", REASON).await.unwrap(), all),
        }
        assert_eq!(living(&url).await, 0, "{way}");
        let revoked = "SELECT count(*) FROM tower_api_keys WHERE revoked_at = 1800000000
            AND revocation_reason = 'key_compromise'";
        assert_eq!(usize::try_from(number(&url, revoked).await), Ok(all));
        let living = ring.list(&ListQuery::new().unrevoked()).await.unwrap();
        assert_eq!(living.complete().unwrap(), []);
    }
}

/// In a database with today's schema, whose owner removed the guards for a moment.
#[tokio::test]
async fn r32_a_healthy_key_beside_rows_that_cannot_be_read_is_revoked() {
    for way in 0..3 {
        let url = database().await;
        let ring = ring(&url).await;
        let key = issue(&ring, "read write").await;
        let key_id = key.record().id();
        corrupt(&url).await;
        let count = match way {
            0 => ring.revoke(key_id, REASON).await.map(|()| 1),
            1 => ring.revoke_lineage(key_id, REASON).await,
            _ => ring.revoke_subject("alice", REASON).await,
        };
        assert_eq!(count.unwrap(), if way == 2 { ROWS.len() + 1 } else { 1 });
        let verdict = ring.verify(key.secret().expose().as_bytes()).await;
        let revoked = VerifyErrorKind::Invalid(InvalidCause::Revoked);
        assert_eq!(verdict.unwrap_err().kind(), revoked, "{way}");
    }
}

/// A clock that fails reads the end of time, which no column can hold.
#[tokio::test]
async fn r32_a_clock_that_fails_keeps_no_key_from_being_revoked() {
    let url = database().await;
    let ring = ring(&url).await;
    let clock = ManualClock::new(Timestamp::MAX);
    let failing = builder().clock(clock).build(connect(&url).await).unwrap();
    let keys = [issue(&ring, "read").await, issue(&ring, "read").await];
    let others = ring.issue(Grant::new("alice")).await.unwrap();
    failing.revoke(keys[0].record().id(), REASON).await.unwrap();
    let count = failing.revoke_lineage(keys[1].record().id(), REASON).await;
    assert_eq!(count.unwrap(), 1);
    assert_eq!(failing.revoke_subject("alice", REASON).await.unwrap(), 1);
    for key in keys.iter().chain([&others]) {
        let verdict = ring.verify(key.secret().expose().as_bytes()).await;
        let revoked = VerifyErrorKind::Invalid(InvalidCause::Revoked);
        assert_eq!(verdict.unwrap_err().kind(), revoked);
    }
    let last = "SELECT min(revoked_at) FROM tower_api_keys";
    assert_eq!(number(&url, last).await, i64::MAX);
}

/// A process that connected before the migration continues with the locks of its version.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_6_a_lineage_ends_beside_a_process_of_an_earlier_version() {
    let url = database().await;
    let ring = ring(&url).await;
    let key = issue(&ring, "read").await;
    let old = key.record().id();
    let mut other = PgConnection::connect(&url).await.unwrap();
    // Its rotation is under way: it has the lock of the subject, but not the lock of the lineage.
    let lock = KeyDigest::sha256(b"tower-api-key subject\0orders\0alice");
    let lock = i64::from_be_bytes(lock.as_bytes()[..8].try_into().unwrap());
    let begun = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({lock});
        UPDATE tower_api_keys SET revoked_at = 1, revocation_reason = 'superseded',
            version = version + 1 WHERE id = '{old}'; {}",
        row("BBBBBBBBBBBB", "lineage", &format!("'{old}'"))
    );
    let begun = sqlx::AssertSqlSafe(begun);
    sqlx::raw_sql(begun).execute(&mut other).await.unwrap();
    let revoking = {
        let ring = ring.clone();
        tokio::spawn(async move { ring.revoke_lineage(old, REASON).await })
    };
    // For a row as well as for its own lock.
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(async || number(&url, waits).await > 0).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(revoking.await.unwrap().unwrap(), 1);
    assert_eq!(living(&url).await, 0);
}

/// A list continues past rows that cannot be read and names them, in pages too.
async fn beside_unreadable_rows(ring: &KeyRing) {
    for query in [ListQuery::new(), ListQuery::new().newest_first()] {
        for size in [1, 3, 100] {
            let mut query = query.clone().limit(size);
            let (mut read, mut unread) = (Vec::new(), Vec::new());
            loop {
                let page = ring.list(&query).await.unwrap();
                let length = page.len() + page.unreadable().len();
                // If the position of a row is unknown, it is in the page before the next one's.
                assert!(length <= size + 1, "{length}");
                read.extend(page.iter().map(|record| record.id()));
                for unreadable in page.unreadable() {
                    let id = unreadable.id().unwrap();
                    assert_corrupt(unreadable.error(), id);
                    unread.push(id);
                }
                let Some(next) = page.next() else { break };
                query = query.after(next);
            }
            unread.sort_unstable();
            assert_eq!(unread, UNREADABLE.map(id));
            read.sort_unstable();
            let numbers = (0..ROWS.len()).filter(|number| !UNREADABLE.contains(number));
            let mut readable: Vec<KeyId> = numbers.map(id).collect();
            readable.push(HEALTHY.parse().unwrap());
            assert_eq!(read, readable);
        }
    }
    let complete = ring.list(&ListQuery::new()).await.unwrap().complete();
    assert_corrupt(&complete.unwrap_err(), id(0));
}

#[track_caller]
fn assert_corrupt(error: &StoreError, id: KeyId) {
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(
        error.source().unwrap().to_string(),
        format!("the record of the key {id} cannot be read; revoke the key, or restore the record")
    );
}
