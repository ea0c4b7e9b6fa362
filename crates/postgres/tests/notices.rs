//! Notices of expiry of the keys in a database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{Connection, PgPool};
use tokio::task::JoinSet;
use tower_api_key::replica::{Changes, Feed, Realms};
use tower_api_key::store::{
    ExpiryClaims, ExpiryLadder, ExpiryNotice, HistoryKind, HistoryQuery, KeyStore, StoreError,
    StoreErrorKind,
};
use tower_api_key::{Grant, KeyId, KeyRing, Realm, Timestamp};
use tower_api_key_postgres::PostgresStore;

use super::errors::source;
use super::{UNDO_NOTED_NOTICES, UNDO_SUBJECTS, connect, ring_over};
use tower_api_key_test_support::pg_server::{database, execute, patient, until};

const DAY: u64 = 24 * 60 * 60;
/// When the keys of a statement expire.
const END: u64 = 2_000_000_000;

/// Many keys by one statement, so many of them with this end.
fn fill(first: u32, keys: u32, expires_at: u64) -> String {
    format!(
        "INSERT INTO tower_api_keys (id, realm, digest, subject, scopes, issued_at, not_before, expires_at, lineage, \
         generation, version, metadata) SELECT lpad(n::text, 12, '0'), 'orders', sha256(n::text::bytea), 'alice', \
         'read', 100, 100, {expires_at}, lpad(n::text, 12, '0'), 0, 1, '{{}}' \
         FROM generate_series({first}, {first} + {keys} - 1) AS n"
    )
}

const fn before(days: u64) -> Timestamp {
    Timestamp::from_unix(END - days * DAY)
}

async fn claim(
    store: &PostgresStore,
    now: Timestamp,
    limit: usize,
) -> Result<ExpiryClaims, StoreError> {
    let (realm, ladder) = (Realm::new("orders").unwrap(), ExpiryLadder::default());
    store
        .claim_expiry_notices(&realm, &ladder, now, limit)
        .await
}

async fn claimed(store: &PostgresStore, now: Timestamp) -> usize {
    claim(store, now, 100_000).await.unwrap().notices.len()
}

/// The notices in the history, by the step in days, each with the number of its keys.
async fn noted(store: &PostgresStore) -> Vec<(u64, usize)> {
    let mut steps = BTreeMap::<u64, BTreeSet<KeyId>>::new();
    for notice in notices(store).await {
        let days = notice.step.as_secs() / DAY;
        let is_first = steps.entry(days).or_default().insert(notice.id);
        assert!(is_first, "{notice:?} is there twice");
    }
    let steps = steps.into_iter().rev();
    steps.map(|(days, keys)| (days, keys.len())).collect()
}

async fn notices(store: &PostgresStore) -> Vec<ExpiryNotice> {
    let ring = ring_over(store.clone());
    let entries = ring.history(&HistoryQuery::new()).await.unwrap();
    let entries = entries.iter();
    let noted = entries.filter(|entry| entry.kind() == HistoryKind::ExpiryNoticed);
    noted.map(|entry| entry.expiry_notice().unwrap()).collect()
}

async fn issue(ring: &KeyRing) -> (KeyId, Timestamp) {
    let grant = Grant::new("alice").expires_in(Duration::from_secs(90 * DAY));
    let issued = ring.issue(grant).await.unwrap();
    (issued.id(), issued.record().expires_at().unwrap())
}

#[tokio::test]
async fn a_claim_is_no_change_of_the_key() {
    let url = database().await;
    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    let (id, expires_at) = issue(&ring).await;
    let head = store.head().await.unwrap();
    let now = Timestamp::from_unix(expires_at.as_unix() - 5 * DAY);
    assert_eq!(claimed(&store, now).await, 1);
    let record = ring.get(id).await.unwrap().unwrap();
    assert_eq!(record.version(), 1);
    let entries = ring.history(&HistoryQuery::new()).await.unwrap();
    assert_eq!(
        entries.len(),
        2,
        "that of its issue, and that of its notice"
    );
    assert!(!entries[0].is_by_hand());
    assert_eq!(entries[0].role(), Some("postgres"));
    assert_eq!(entries[0].actor(), None);
    let fields = entries[0].after();
    assert_eq!(
        fields.keys().collect::<Vec<_>>(),
        ["expires_at", "notice_step"]
    );
    assert_eq!(fields["notice_step"], "604800");
    let changes = store
        .changes(&Realms::all(), &head.position, None, None)
        .await
        .unwrap();
    let Changes::Since(batch) = changes else {
        panic!("the history is another");
    };
    assert!(batch.records.is_empty(), "replicas have nothing to read");
}

/// A service of this version before the migration, and one of the former version after it.
#[tokio::test]
async fn a_service_is_told_that_the_migration_is_missing_and_goes_on() {
    let url = database().await;
    execute(&url, &fill(1, 3, END)).await.unwrap();
    execute(&url, UNDO_SUBJECTS).await.unwrap();
    let former = "DROP FUNCTION tower_api_keys_usage_gone() CASCADE; DROP TABLE tower_api_key_usage; \
                  DROP INDEX tower_api_keys_by_notice; ALTER TABLE tower_api_keys DROP COLUMN noticed_step; \
                  DELETE FROM tower_api_key_migrations WHERE version > 10";
    execute(&url, former).await.unwrap();
    let store = connect(&url).await;
    let error = claim(&store, before(1), 100).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    assert!(
        source(&error).starts_with("run `tower-api-key migrate`"),
        "{}",
        source(&error)
    );
    let ring = ring_over(store.clone());
    issue(&ring).await;
    assert_eq!(patient().migrate(&url).await.unwrap(), 5);
    assert_eq!(u32::try_from(claimed(&store, before(1)).await).unwrap(), 3);
    // The column has a default, so a service that does not know it can write keys.
    execute(&url, &fill(10, 1, END)).await.unwrap();
    assert_eq!(claimed(&store, before(1)).await, 1);
}

/// What was claimed before the migration stays claimed, and is not in the history.
#[tokio::test]
async fn r20_notices_from_before_the_migration_are_no_entries() {
    let url = database().await;
    execute(&url, &fill(1, 3, END)).await.unwrap();
    execute(&url, UNDO_NOTED_NOTICES).await.unwrap();
    let store = connect(&url).await;
    assert_eq!(claimed(&store, before(30)).await, 3);
    // The history of that version is whole.
    assert_eq!(noted(&store).await, []);
    assert_eq!(patient().migrate(&url).await.unwrap(), 1);
    assert_eq!(claimed(&store, before(30)).await, 0);
    assert_eq!(noted(&store).await, []);
    assert_eq!(claimed(&store, before(7)).await, 3);
    assert_eq!(noted(&store).await, [(7, 3)]);
    // As a service of the version before claims.
    let former = "UPDATE tower_api_keys SET noticed_step = 86400 WHERE id = lpad('1', 12, '0')";
    execute(&url, former).await.unwrap();
    let ring = ring_over(store.clone());
    let entries = ring.history(&HistoryQuery::new().limit(1)).await.unwrap();
    assert!(entries[0].is_by_hand());
    assert_eq!(noted(&store).await, [(7, 3), (1, 1)]);
}

/// An entry stands for a notice that is due to somebody.
#[tokio::test]
async fn only_a_narrower_step_of_a_living_key_is_an_entry() {
    let url = database().await;
    execute(&url, &fill(1, 4, END)).await.unwrap();
    let end = "UPDATE tower_api_keys SET revoked_at = 5, revocation_reason = 'superseded', version = version + 1 \
               WHERE id = lpad('2', 12, '0'); \
               UPDATE tower_api_keys SET retire_at = 1000, version = version + 1 WHERE id = lpad('3', 12, '0')";
    execute(&url, end).await.unwrap();
    let set = async |step: &str| {
        let set = format!(
            "UPDATE tower_api_keys SET noticed_step = {step} WHERE id < lpad('4', 12, '0')"
        );
        execute(&url, &set).await.unwrap();
    };
    let store = connect(&url).await;
    // The keys were issued at 100.
    let life = END - 100;
    for step in [
        &format!("{life}"),
        "0",
        "-1",
        "-9223372036854775808",
        "NULL",
        "9223372036854775807",
    ] {
        set(step).await;
        assert_eq!(noted(&store).await, [], "{step}");
    }
    set(&format!("{}", 7 * DAY)).await;
    for step in [7 * DAY, 30 * DAY] {
        set(&format!("{step}")).await;
    }
    assert_eq!(noted(&store).await, [(7, 1)]);
    // A number that a rule of the row refuses elsewhere keeps nothing from being claimed.
    assert_eq!(claimed(&store, before(1)).await, 2);
    assert_eq!(noted(&store).await, [(7, 1), (1, 2)]);
}

/// Sessions are ended at any moment, and callers go away: what events lose, the history has.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_history_has_each_notice_once_whatever_dies() {
    const KEYS: u32 = 400;
    const NODES: usize = 5;

    let url = database().await;
    execute(&url, &fill(1, KEYS, END)).await.unwrap();
    let observer = connect(&url).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    let kill = "CASE WHEN random() < 0.1 THEN pg_terminate_backend(pid) END";
    let (mut told, mut killed) = (BTreeMap::<_, usize>::new(), 0);
    for days in [30, 7, 1] {
        let mut nodes = JoinSet::new();
        for _ in 0..NODES {
            nodes.spawn(node_that_dies(url.clone(), days));
        }
        while !nodes.is_empty() {
            killed += others_in_a_transaction(&mut other, kill).await;
            let turn = tokio::time::timeout(Duration::from_millis(10), nodes.join_next());
            if let Ok(Some(heard)) = turn.await {
                for notice in heard.unwrap() {
                    *told.entry((notice.id, notice.step)).or_default() += 1;
                }
            }
        }
        // A caller that went away has left its claim with the server.
        until(async || others_in_a_transaction(&mut other, "true").await == 0).await;
        claimed(&observer, before(days)).await;
    }
    let keys = usize::try_from(KEYS).unwrap();
    println!(
        "{} of {} were told, {killed} sessions ended",
        told.len(),
        3 * keys
    );
    assert!(told.values().all(|times| *times == 1));
    assert!(told.len() < 3 * keys, "no event was lost");
    assert_eq!(noted(&observer).await, [(30, keys), (7, keys), (1, keys)]);
}

/// The notices that the callers of a process that is restarted for each claim have got. Every other goes away as soon as it has
/// asked.
async fn node_that_dies(url: String, days: u64) -> Vec<ExpiryNotice> {
    let mut told = Vec::new();
    for turn in 0..16 {
        let store = connect(&url).await;
        let patience = Duration::from_mins(turn % 2);
        let claims = tokio::time::timeout(patience, claim(&store, before(days), 7)).await;
        told.extend(claims.into_iter().flatten().flat_map(|it| it.notices));
    }
    told
}

/// Asks something about each other session in a transaction that claims, or that ends, and returns how many there are.
async fn others_in_a_transaction(connection: &mut PgConnection, ask: &str) -> i64 {
    let query = format!(
        "SELECT count({ask}) FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND state <> 'idle' AND (query LIKE 'WITH RECURSIVE ladder%' OR query LIKE 'COMMIT%')"
    );
    let others = sqlx::query_scalar(sqlx::AssertSqlSafe(query));
    others.fetch_one(connection).await.unwrap()
}

/// A server's role, with the rights that a look-up and a change need.
#[tokio::test]
async fn a_role_with_the_rights_of_a_server_claims() {
    let url = database().await;
    execute(&url, &fill(1, 2, END)).await.unwrap();
    let roles = "CREATE ROLE notifier LOGIN; CREATE ROLE onlooker LOGIN; \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON tower_api_keys TO notifier; \
                 GRANT SELECT ON tower_api_keys TO onlooker; \
                 GRANT SELECT ON tower_api_key_migrations TO notifier, onlooker";
    execute(&url, roles).await.unwrap();
    let as_role = |name: &str| url.replacen("postgres@", &format!("{name}@"), 1);
    let onlooker = connect(&as_role("onlooker")).await;
    claim(&onlooker, before(1), 100).await.unwrap_err();
    let notifier = connect(&as_role("notifier")).await;
    assert_eq!(claimed(&notifier, before(1)).await, 2);
    // It may not write the history by itself, and the trigger does.
    assert_eq!(noted(&connect(&url).await).await, [(1, 2)]);
}

/// What another session has locked is left for the next turn, and keeps nothing from being told.
#[tokio::test]
async fn a_key_that_others_change_is_passed_over() {
    let url = database().await;
    execute(&url, &fill(1, 20, END - 60)).await.unwrap();
    execute(&url, &fill(21, 2, END)).await.unwrap();
    let store = connect(&url).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    let hold = "BEGIN; SELECT FROM tower_api_keys WHERE expires_at < 2000000000 FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut other).await.unwrap();
    let claims = claim(&store, before(1), 5).await.unwrap();
    assert_eq!((claims.notices.len(), claims.more), (2, false));
    let revoke = "UPDATE tower_api_keys SET revoked_at = 5, revocation_reason = 'superseded', version = version + 1 \
                  WHERE id = lpad('1', 12, '0'); COMMIT";
    sqlx::raw_sql(revoke).execute(&mut other).await.unwrap();
    assert_eq!(claimed(&store, before(1)).await, 19);
}

/// The database refuses to change rows that break its rules, except by a revocation. They keep no other key from being
/// told.
#[tokio::test]
async fn rows_that_break_a_rule_hold_nothing_up() {
    let url = database().await;
    execute(&url, &fill(1, 6, END - 60)).await.unwrap();
    execute(&url, &fill(7, 4, END)).await.unwrap();
    let damage = "ALTER TABLE tower_api_keys DISABLE TRIGGER USER,
            DROP CONSTRAINT tower_api_keys_metadata_check, DROP CONSTRAINT tower_api_keys_scopes_check;
        UPDATE tower_api_keys SET metadata = 'no JSON' WHERE id < lpad('4', 12, '0');
        UPDATE tower_api_keys SET scopes = 'read  write' WHERE id = lpad('5', 12, '0');
        ALTER TABLE tower_api_keys ADD CONSTRAINT tower_api_keys_metadata_check
            CHECK (CASE WHEN revoked_at IS NULL THEN json_typeof(metadata::json) = 'object' ELSE true END) NOT VALID,
            ADD CONSTRAINT tower_api_keys_scopes_check CHECK (CASE WHEN revoked_at IS NULL
            THEN scopes ~ '^([]!#-[^-~]{1,128}( []!#-[^-~]{1,128})*)?$' ELSE true END) NOT VALID,
            ENABLE TRIGGER USER, ENABLE ALWAYS TRIGGER tower_api_keys_note_new,
            ENABLE ALWAYS TRIGGER tower_api_keys_note_changed, ENABLE ALWAYS TRIGGER tower_api_keys_note_gone,
            ENABLE ALWAYS TRIGGER tower_api_keys_note_emptied, ENABLE ALWAYS TRIGGER tower_api_keys_note_expiry";
    execute(&url, damage).await.unwrap();
    let store = connect(&url).await;
    let mut told = 0;
    loop {
        let claims = claim(&store, before(1), 2).await.unwrap();
        told += claims.notices.len();
        if !claims.more {
            break;
        }
    }
    assert_eq!(told, 6);
    assert_eq!(claimed(&store, before(1)).await, 0);
    assert_eq!(noted(&store).await, [(1, 6)]);
}

/// A claim that was lost with the server would be told twice.
#[tokio::test]
async fn a_claim_is_durable_whatever_the_session_says() {
    let url = database().await;
    let observed = "CREATE TABLE seen (setting text); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ \
        BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$; \
        CREATE TRIGGER see AFTER UPDATE OF noticed_step ON tower_api_keys FOR EACH ROW EXECUTE FUNCTION see()";
    execute(&url, &fill(1, 1, END)).await.unwrap();
    execute(&url, observed).await.unwrap();
    let off = "ALTER ROLE postgres IN DATABASE current SET synchronous_commit = off";
    let name = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    execute(&url, &off.replace("current", &format!("\"{name}\"")))
        .await
        .unwrap();
    let store = connect(&url).await;
    assert_eq!(claimed(&store, before(1)).await, 1);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let seen: Vec<String> = sqlx::query_scalar("SELECT setting FROM seen")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(seen, ["on"]);
}

/// The index has the keys of each claim together: a turn reads those that are due, and not the others within the ladder.
#[tokio::test]
async fn a_turn_reads_only_what_is_due() {
    let url = database().await;
    execute(&url, &fill(1, 20_000, END)).await.unwrap();
    execute(&url, &fill(20_001, 20_000, END + 60 * DAY))
        .await
        .unwrap();
    // Sessions write their statistics when they end.
    let pool: PgPool = PgPoolOptions::new().connect(&url).await.unwrap();
    let first = PostgresStore::from_pool(pool.clone()).await.unwrap();
    assert_eq!(claimed(&first, before(20)).await, 20_000);
    pool.close().await;
    until(async || statistics(&url).await.1 >= 20_000).await;
    for statement in ["VACUUM tower_api_keys", "ANALYZE tower_api_keys"] {
        execute(&url, statement).await.unwrap();
        let (scans, read, fetched) = statistics(&url).await;
        let pool: PgPool = PgPoolOptions::new()
            .max_connections(1)
            .connect(&url)
            .await
            .unwrap();
        let turns = PostgresStore::from_pool(pool.clone()).await.unwrap();
        for _ in 0..10 {
            assert_eq!(claimed(&turns, before(20)).await, 0);
        }
        pool.close().await;
        until(async || statistics(&url).await.2 >= fetched + 10).await;
        let after = statistics(&url).await;
        assert_eq!(after.0, scans, "{statement}: the table was read");
        let read = after.1 - read;
        assert!(
            read <= 100,
            "{statement}: {read} entries of the index were read in ten turns"
        );
    }
}

/// Scans of the table, and of the index the entries that were read and the scans.
async fn statistics(url: &str) -> (i64, i64, i64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let query = "SELECT tables.seq_scan, indexes.idx_tup_read, indexes.idx_scan FROM pg_stat_user_tables AS tables \
                 JOIN pg_stat_user_indexes AS indexes USING (relid) \
                 WHERE indexes.indexrelname = 'tower_api_keys_by_notice'";
    sqlx::query_as(query)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}
