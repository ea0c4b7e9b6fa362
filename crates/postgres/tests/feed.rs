//! The change feed, on a real server.

mod copy;
mod hints;
mod histories;
mod refused;
mod removals;
mod rollout;
mod staleness;
mod writers;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tower_api_key::replica::{Changes, Feed, Position, Realms, Sum, Sums};
use tower_api_key::{KeyRing, RevocationReason};
use tower_api_key_contract::feed_contract;

use self::copy::Copy;
use super::{builder, connect, ring_over};
use tower_api_key_test_support::pg_server::{database, execute};
use tower_api_key_test_support::support::issue;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_feed_keeps_its_contract() {
    feed_contract(async || connect(&database().await).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_copy_is_brought_up_to_date_by_what_changed() {
    let store = connect(&database().await).await;
    let ring = ring_over(store.clone());
    let kept = issue(&ring, "read").await;
    let mut copy = Copy::of(&store).await;
    assert_eq!(copy.records.len(), 1);
    assert_eq!(copy.pull().await, 0);

    let issued = issue(&ring, "read write").await;
    assert_eq!(copy.pull().await, 1);
    let digest = *issued.record().digest().as_bytes();
    assert_eq!(copy.records[&digest], *issued.record());

    let reason = RevocationReason::KeyCompromise;
    ring.revoke(issued.record().id(), reason).await.unwrap();
    ring.revoke(kept.record().id(), reason).await.unwrap();
    assert_eq!(copy.pull().await, 2);
    assert!(
        copy.records
            .values()
            .all(|record| record.revocation().is_some())
    );
    assert_eq!(copy.pull().await, 0);
}

/// What an idle fleet asks all the time is small.
#[tokio::test]
async fn after_a_pull_that_brought_nothing_the_next_asks_whether_there_are_changes() {
    let url = database().await;
    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let asked = "SELECT split_part(query, ' ', 3) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE '/* tower-api-key %'";
    let mut copy = Copy::of(&store).await;
    for (changes, statement) in [
        (0, "news"),
        (1, "pull"),
        (1, "pull"),
        (0, "pull"),
        (0, "news"),
    ] {
        for _ in 0..changes {
            issue(&ring, "read").await;
        }
        assert_eq!(copy.pull().await, changes);
        let asked = sqlx::query_scalar(asked).fetch_all(&mut connection);
        let asked: Vec<String> = asked.await.unwrap();
        assert_eq!(asked, [statement]);
    }
    assert_eq!(copy.sums(), copy.sums_there().await);
}

/// Each page of an answer reads all changes, so many of them would be too late for ever.
#[tokio::test]
async fn r22_after_more_changes_than_a_pull_takes_a_reader_begins_anew() {
    let url = database().await;
    let store = connect(&url).await;
    let copy = Copy::of(&store).await;
    let log = "INSERT INTO tower_api_key_changes (xid, digest)
        SELECT pg_current_xact_id(), sha256(number::text::bytea) FROM generate_series(";
    execute(&url, &format!("{log}1, 200000) AS number"))
        .await
        .unwrap();
    let asked = async || {
        let realms = Realms::all();
        let asked = store.changes(&realms, &copy.position, None, None);
        asked.await.unwrap()
    };
    let Changes::Since(batch) = asked().await else {
        panic!("they are not too many");
    };
    assert_eq!((batch.records.len(), batch.gone.len()), (0, 5_000));
    execute(&url, &format!("{log}200001, 200001) AS number"))
        .await
        .unwrap();
    assert!(matches!(asked().await, Changes::Lost));
    assert_eq!(Copy::of(&store).await.records, copy.records);
}

#[tokio::test]
async fn a_last_use_is_no_change() {
    let url = database().await;
    let store = connect(&url).await;
    let ring = builder().track_last_use().build(store.clone()).unwrap();
    let issued = issue(&ring, "read").await;
    let mut copy = Copy::of(&store).await;
    ring.verify(issued.secret().expose().as_bytes())
        .await
        .unwrap();
    ring.record_uses().await.unwrap();
    assert!(
        ring.last_used(issued.record().id())
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(copy.pull().await, 0);
    execute(
        &url,
        "UPDATE tower_api_keys SET last_used_at = last_used_at + 1",
    )
    .await
    .unwrap();
    assert_eq!(copy.pull().await, 0);
}

/// The version stays as it is, because no column holds a higher one.
#[tokio::test]
async fn i13_a_revocation_at_the_last_version_is_a_change() {
    let url = database().await;
    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    let issued = issue(&ring, "read").await;
    let last = "ALTER TABLE tower_api_keys DISABLE TRIGGER tower_api_keys_guard;
        UPDATE tower_api_keys SET version = 9223372036854775807;
        ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_guard";
    execute(&url, last).await.unwrap();
    let mut copy = Copy::of(&store).await;
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(issued.record().id(), reason).await.unwrap();
    assert_eq!(copy.pull().await, 1);
    let digest = issued.record().digest().as_bytes();
    assert!(copy.records[digest].revocation().is_some());
}

#[tokio::test]
async fn what_is_written_by_hand_is_a_change() {
    let url = database().await;
    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    for _ in 0..3 {
        issue(&ring, "read write").await;
    }
    let mut copy = Copy::of(&store).await;
    let narrow = "UPDATE tower_api_keys SET scopes = 'read', version = version + 1";
    execute(&url, narrow).await.unwrap();
    assert_eq!(copy.pull().await, 3);
    assert!(
        copy.records
            .values()
            .all(|record| record.scopes().as_str() == "read")
    );

    let one = "SET session_replication_role = replica;
        DELETE FROM tower_api_keys WHERE id = (SELECT min(id) FROM tower_api_keys)";
    execute(&url, one).await.unwrap();
    assert_eq!(copy.pull().await, 1);
    assert_eq!(copy.records.len(), 2);

    let columns = "id, realm, digest, subject, scopes, issued_at, not_before, lineage, generation, version, metadata";
    let again = format!(
        "CREATE TEMP TABLE hand AS SELECT {columns} FROM tower_api_keys LIMIT 1;
        UPDATE hand SET id = 'HHHHHHHHHHHH', lineage = 'HHHHHHHHHHHH', digest = sha256('hand');
        INSERT INTO tower_api_keys ({columns}) SELECT {columns} FROM hand"
    );
    execute(&url, &again).await.unwrap();
    assert_eq!(copy.pull().await, 1);
    assert_eq!(copy.records.len(), 3);

    execute(&url, "TRUNCATE tower_api_keys").await.unwrap();
    assert_eq!(copy.try_pull().await.unwrap(), None);
    assert!(Copy::of(&store).await.records.is_empty());
}

#[tokio::test]
async fn the_realms_that_are_asked_for_are_answered() {
    let store = connect(&database().await).await;
    let ring = |realm: &str| {
        KeyRing::builder("acme")
            .realm(realm)
            .build(store.clone())
            .unwrap()
    };
    let (orders, billing) = (ring("orders"), ring("billing"));
    issue(&orders, "read").await;
    let only = Realms::only(["orders".parse().unwrap()]);
    let mut copy = Copy::of_realms(&store, only).await;
    let other = issue(&billing, "read").await;
    issue(&orders, "read").await;
    copy.pull().await;
    assert_eq!(copy.records.len(), 2);
    assert!(
        !copy
            .records
            .contains_key(other.record().digest().as_bytes())
    );
    assert_eq!(copy.sums(), copy.sums_there().await);
    let mut all = Copy::of(&store).await;
    assert_eq!(all.records.len(), 3);
    assert_eq!(all.sums(), all.sums_there().await);
}

/// More than one page of each kind, and what a row may hold.
#[tokio::test]
async fn pages_and_sums_are_those_of_the_records() {
    let url = database().await;
    let store = connect(&url).await;
    let insert = |count: u32, from: u32| {
        format!(
            "INSERT INTO tower_api_keys (id, realm, digest, subject, scopes, caveats, issued_at, not_before,
                expires_at, retire_at, lineage, generation, version, metadata, label)
            SELECT lpad(n::text, 12, '0'), 'orders', sha256(n::text::bytea), 'alice \u{1f511}',
                (ARRAY['', 'read', 'write read', 'read read'])[n % 4 + 1],
                (ARRAY['', 'rate=9/60 net=10.0.0.0/8'])[n % 2 + 1], 1, n,
                CASE WHEN n % 3 = 0 THEN 9223372036854775807 END, CASE WHEN n % 5 = 0 THEN n END,
                lpad(n::text, 12, '0'), 0, 1 + n % 7, '{{}}', 'a label'
            FROM generate_series({from}, {}) AS n",
            from + count - 1
        )
    };
    execute(&url, &insert(12_000, 1)).await.unwrap();
    let mut copy = Copy::of(&store).await;
    assert_eq!(copy.records.len(), 12_000);
    assert_eq!(copy.sums(), copy.sums_there().await);
    // Of each bucket alone, they are the same.
    let mut by_bucket = Sums::new();
    for bucket in 0..=u8::MAX {
        let asked = store.changes(&copy.realms, &copy.position, None, Some(bucket..=bucket));
        let Changes::Since(batch) = asked.await.unwrap() else {
            panic!("it is another history");
        };
        let sums = batch.sums.unwrap();
        let others = (0..=u8::MAX).filter(|other| *other != bucket);
        assert!(
            others
                .clone()
                .all(|other| sums.get(other) == Sum::default())
        );
        by_bucket.set(bucket, sums.get(bucket));
    }
    assert_eq!(by_bucket, copy.sums());

    execute(&url, &insert(11_000, 20_000)).await.unwrap();
    let end = "UPDATE tower_api_keys SET revoked_at = 5, revocation_reason = 'superseded', version = version + 1
        WHERE not_before < 1000";
    execute(&url, end).await.unwrap();
    execute(
        &url,
        "DELETE FROM tower_api_keys WHERE not_before BETWEEN 2000 AND 2999",
    )
    .await
    .unwrap();
    assert_eq!(copy.pull().await, 11_000 + 999 + 1_000);
    assert_eq!(copy.records.len(), 12_000 + 11_000 - 1_000);
    assert_eq!(copy.sums(), copy.sums_there().await);
}

/// A bucket differs if one field of one record does.
#[tokio::test]
async fn the_sums_see_every_field_of_authority() {
    let url = database().await;
    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    for _ in 0..4 {
        issue(&ring, "read write").await;
    }
    let mut copy = Copy::of(&store).await;
    // Nobody else hears of it.
    let quietly = |set: &str| {
        format!(
            "ALTER TABLE tower_api_keys DISABLE TRIGGER USER;
            UPDATE tower_api_keys SET {set} WHERE id = (SELECT min(id) FROM tower_api_keys);
            ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER tower_api_keys_inserted,
                ENABLE ALWAYS TRIGGER tower_api_keys_updated, ENABLE ALWAYS TRIGGER tower_api_keys_deleted,
                ENABLE ALWAYS TRIGGER tower_api_keys_truncated"
        )
    };
    for set in [
        "version = version + 1",
        "scopes = 'read'",
        "caveats = 'rate=9/60'",
        "subject = 'mallory'",
        "not_before = not_before + 1",
        "expires_at = 4000000000",
        "retire_at = 4000000000",
        "revoked_at = 7, revocation_reason = 'superseded'",
    ] {
        let before = copy.sums_there().await;
        assert_eq!(copy.sums().differing(&before), Vec::<u8>::new());
        execute(&url, &quietly(set)).await.unwrap();
        let after = copy.sums_there().await;
        assert_eq!(copy.sums().differing(&after).len(), 1, "{set}");
        copy = Copy::of(&store).await;
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_gone() {
    let url = database().await;
    let store = connect(&url).await;
    let ring = ring_over(store.clone());
    let issued = issue(&ring, "read").await;
    let other = issue(&ring, "read").await;
    let mut copy = Copy::of(&store).await;
    let spoil = format!(
        "ALTER TABLE tower_api_keys
            DISABLE TRIGGER tower_api_keys_guard, DISABLE TRIGGER tower_api_keys_texts;
        UPDATE tower_api_keys SET label = E'\\n' WHERE id = '{}';
        ALTER TABLE tower_api_keys
            ENABLE ALWAYS TRIGGER tower_api_keys_guard, ENABLE ALWAYS TRIGGER tower_api_keys_texts",
        issued.record().id()
    );
    execute(&url, &spoil).await.unwrap();
    assert_eq!(copy.pull().await, 1);
    let kept: Vec<_> = copy.records.keys().collect();
    assert_eq!(kept, [other.record().digest().as_bytes()]);
    assert_eq!(Copy::of(&store).await.records.len(), 1);
}

#[tokio::test]
async fn a_position_of_another_history_is_lost() {
    let url = database().await;
    let store = connect(&url).await;
    let mut copy = Copy::of(&store).await;
    let words: Vec<String> = copy
        .position
        .as_str()
        .split(' ')
        .map(str::to_owned)
        .collect();
    for place in 1..words.len() {
        let mut other = words.clone();
        // Of the numbers, the last digit; of the token, the last character.
        let changed = if other[place].ends_with('1') {
            "2"
        } else {
            "1"
        };
        other[place].pop();
        other[place].push_str(changed);
        let position = Position::new(other.join(" "));
        for sums_of in [None, Some(7..=9)] {
            let asked = store.changes(&copy.realms, &position, None, sums_of);
            assert!(matches!(asked.await.unwrap(), Changes::Lost), "{position}");
        }
    }
    let asked = store
        .changes(&copy.realms, &Position::new("17"), None, None)
        .await;
    assert!(matches!(asked.unwrap(), Changes::Lost));
    execute(&url, "UPDATE tower_api_key_feed SET epoch = epoch + 1")
        .await
        .unwrap();
    assert_eq!(copy.try_pull().await.unwrap(), None);
}
