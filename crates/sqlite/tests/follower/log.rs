//! What is in an answer, and what is not.

use rusqlite::Connection;
use tower_api_key::replica::{Changes, Feed, Position, Realms};
use tower_api_key::store::StoreErrorKind;
use tower_api_key::{Grant, KeyRing, ManualClock, Narrowing, Realm, RevocationReason};
use tower_api_key_sqlite::SqliteStore;

use super::{Copy, Pulled};
use crate::PATIENCE;
use crate::revoking::id;
use crate::sharing::ring_over;
use crate::triggers::KEY;
use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::sqlite::unguarded;
use tower_api_key_test_support::support::START;

/// A store, a ring over it, and a plain connection to its file.
fn all(folder: &Folder) -> (SqliteStore, KeyRing, Connection) {
    let store = SqliteStore::open(folder.keys()).unwrap();
    let ring = ring_over(store.clone());
    (store, ring, Connection::open(folder.keys()).unwrap())
}

#[tokio::test]
async fn every_change_of_a_key_is_in_the_next_answer() {
    let folder = Folder::new();
    let (store, ring, _) = all(&folder);
    let before = ring.issue(Grant::new("alice")).await.unwrap();
    let mut copy = Copy::of(&store).await;
    assert!(copy.is_live(before.record().digest()));

    let grant = Grant::new("bob").scopes(["read", "write"]);
    let issued = ring.issue(grant).await.unwrap();
    let (key, digest) = (issued.record().id(), *issued.record().digest());
    assert_eq!(copy.pull().await, Pulled::Since(1));
    assert_eq!(copy.get(&digest).unwrap().scopes().as_str(), "read write");
    ring.narrow(key, Narrowing::new().to_scopes("read"))
        .await
        .unwrap();
    assert_eq!(copy.pull().await, Pulled::Since(1));
    assert_eq!(copy.get(&digest).unwrap().scopes().as_str(), "read");
    // The old key ends in the same commit.
    let rotated = ring.rotate_now(key).await.unwrap();
    assert_eq!(copy.pull().await, Pulled::Since(2));
    assert!(!copy.is_live(&digest) && copy.is_live(rotated.record().digest()));
    ring.revoke_subject("bob", RevocationReason::KeyCompromise)
        .await
        .unwrap();
    assert_eq!(copy.pull().await, Pulled::Since(1));
    assert!(!copy.is_live(rotated.record().digest()) && copy.is_live(before.record().digest()));
    assert_eq!(copy.pull().await, Pulled::Since(0));
}

#[tokio::test]
async fn a_last_use_is_no_change() {
    let folder = Folder::new();
    let (store, _, other) = all(&folder);
    other.execute(KEY, []).unwrap();
    let mut copy = Copy::of(&store).await;
    let position = copy.position.clone();
    assert_eq!(
        other.execute("UPDATE api_keys SET last_used_at = 300", []),
        Ok(1)
    );
    assert_eq!(copy.pull().await, Pulled::Since(0));
    assert_eq!(copy.position, position);
}

/// Without a `WHERE`, SQLite would clear the table without a look at its rows.
#[tokio::test]
async fn r22_statements_by_hand_are_in_the_next_answer() {
    let folder = Folder::new();
    let (store, _, other) = all(&folder);
    let mut copy = Copy::of(&store).await;
    let run = |sql: &str| other.execute(sql, []).expect(sql);
    for number in 0..3 {
        let named = KEY.replace("AAAAAAAAAAAA", id(number).as_str());
        run(&named.replacen("zeroblob(32)", "randomblob(32)", 1));
    }
    assert_eq!(copy.pull().await, Pulled::Since(3));
    assert_eq!(copy.records.len(), 3);
    let revoke = "UPDATE api_keys SET revoked_at = 300, revocation_reason = 'unspecified', \
                  version = version + 1 WHERE id = ";
    run(&format!("{revoke}'{}'", id(0)));
    assert_eq!(copy.pull().await, Pulled::Since(1));
    let live = |copy: &Copy| {
        copy.records
            .values()
            .filter(|it| it.revocation().is_none())
            .count()
    };
    assert_eq!(live(&copy), 2);
    run(&format!("DELETE FROM api_keys WHERE id = '{}'", id(1)));
    assert_eq!(copy.pull().await, Pulled::Since(1));
    assert_eq!((copy.records.len(), live(&copy)), (2, 1));
    assert_eq!(run("DELETE FROM api_keys"), 2);
    assert_eq!(copy.pull().await, Pulled::Since(2));
    assert!(copy.records.is_empty());
}

/// The version stays as it is there, so it alone does not show the revocation.
#[tokio::test]
async fn r32_a_revocation_at_the_end_of_the_versions_is_in_the_next_answer() {
    let folder = Folder::new();
    let (store, ring, other) = all(&folder);
    other.execute(KEY, []).unwrap();
    unguarded(&other, || {
        let last = format!("UPDATE api_keys SET version = {}", i64::MAX);
        other.execute(&last, []).unwrap();
    });
    let mut copy = Copy::of(&store).await;
    let of_row = |copy: &Copy| copy.records.get(&[0; 32]).unwrap().clone();
    assert_eq!(of_row(&copy).revocation(), None);
    ring.revoke(
        "AAAAAAAAAAAA".parse().unwrap(),
        RevocationReason::KeyCompromise,
    )
    .await
    .unwrap();
    assert_eq!(copy.pull().await, Pulled::Since(1));
    assert!(of_row(&copy).revocation().is_some());
    assert_eq!(of_row(&copy).version(), i64::MAX.unsigned_abs());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_gone() {
    let folder = Folder::new();
    let (store, _, other) = all(&folder);
    other.execute(KEY, []).unwrap();
    let mut copy = Copy::of(&store).await;
    assert_eq!(copy.records.len(), 1);
    unguarded(&other, || {
        let unreadable = "UPDATE api_keys SET subject = char(7)";
        other.execute(unreadable, []).unwrap();
    });
    // It was changed without the guards, so nobody knows what else was.
    assert_eq!(copy.pull().await, Pulled::Lost);
    let mut copy = Copy::of(&store).await;
    assert!(copy.records.is_empty());
    let touch = "UPDATE api_keys SET version = version + 1";
    assert_eq!(other.execute(touch, []), Ok(1));
    assert_eq!(copy.pull().await, Pulled::Since(1));
    assert!(copy.records.is_empty());
}

#[tokio::test]
async fn r31_a_copy_of_one_realm_holds_no_key_of_another() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.keys()).unwrap();
    let ring = |realm: &str| {
        let builder = KeyRing::builder("acme").realm(realm);
        builder
            .clock(ManualClock::new(START))
            .build(store.clone())
            .unwrap()
    };
    let (mine, other) = (ring("orders"), ring("billing"));
    let before = mine.issue(Grant::new("alice")).await.unwrap();
    let stranger = other.issue(Grant::new("alice")).await.unwrap();
    let only = Realms::only(["orders".parse::<Realm>().unwrap()]);
    let mut copy = Copy::of_realms(&store, only).await;
    assert!(copy.is_live(before.record().digest()));
    assert_eq!(copy.get(stranger.record().digest()), None);
    let later = other.issue(Grant::new("bob")).await.unwrap();
    assert_eq!(copy.pull().await, Pulled::Since(1));
    assert_eq!(copy.get(later.record().digest()), None);
    assert_eq!(Copy::of(&store).await.records.len(), 3);
}

/// More than a page holds, and a page without a record of the realm.
#[tokio::test]
async fn an_answer_of_many_keys_has_pages() {
    let folder = Folder::new();
    let (store, ring, other) = all(&folder);
    let mut copy = Copy::of(&store).await;
    let many = 10_001;
    let rows = "WITH RECURSIVE number (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM number WHERE n < ?1 - 1)
        INSERT INTO api_keys (id, realm, digest, subject, scopes, issued_at, not_before, lineage, generation,
            version, metadata)
        SELECT printf('%012d', n), 'billing', unhex(printf('%064x', n)), 'alice', '', 100, 100,
            printf('%012d', n), 0, 1, '{}' FROM number";
    assert_eq!(other.execute(rows, [10_001]), Ok(many));
    assert_eq!(copy.pull().await, Pulled::Since(many));
    assert_eq!(copy.records.len(), many);
    assert_eq!(copy.pull().await, Pulled::Since(0));

    let issued = ring.issue(Grant::new("bob")).await.unwrap();
    let copy = Copy::of_realms(&store, Realms::only(["orders".parse::<Realm>().unwrap()])).await;
    assert_eq!(copy.records.len(), 1);
    assert!(copy.is_live(issued.record().digest()));
    assert_eq!(Copy::of(&store).await.records.len(), many + 1);

    // A page of rows that cannot be read is not the last.
    let issued = ring.issue(Grant::new("bob")).await.unwrap();
    unguarded(&other, || {
        other
            .execute(
                "UPDATE api_keys SET subject = char(7) WHERE realm = 'billing'",
                [],
            )
            .unwrap();
    });
    let copy = Copy::of(&store).await;
    assert_eq!(copy.records.len(), 2);
    assert!(copy.is_live(issued.record().digest()));
}

/// Each page of an answer reads all changes, so many of them would be too late for ever.
#[tokio::test]
async fn r22_after_more_changes_than_a_pull_takes_a_reader_begins_anew() {
    let folder = Folder::new();
    let (store, _, other) = all(&folder);
    let head = store.head().await.unwrap();
    let log = |rows: u32| {
        let log = "WITH RECURSIVE number (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < ?1)
            INSERT INTO api_key_changes (token, digest) SELECT random(), randomblob(32) FROM number";
        other.execute(log, [rows]).unwrap();
    };
    let asked = async || {
        let realms = Realms::all();
        let asked = store.changes(&realms, &head.position, None, None);
        asked.await.unwrap()
    };
    log(200_000);
    let Changes::Since(batch) = asked().await else {
        panic!("they are not too many");
    };
    assert_eq!((batch.records.len(), batch.gone.len()), (0, 5_000));
    log(1);
    assert!(matches!(asked().await, Changes::Lost));
}

#[tokio::test]
async fn a_position_of_another_kind_is_lost() {
    let folder = Folder::new();
    let (store, ..) = all(&folder);
    let position = store.head().await.unwrap().position;
    for text in [
        "",
        "1",
        "1:2",
        "a:b:c",
        "1:2:3",
        &format!("{position}:1"),
        &format!("{position} "),
    ] {
        let asked = Position::new(text);
        let changes = store
            .changes(&Realms::all(), &asked, None, None)
            .await
            .unwrap();
        assert!(matches!(changes, Changes::Lost), "{text}");
        store.forget(&asked).await.unwrap();
    }
}

#[tokio::test]
async fn a_hint_comes_after_a_change_by_another_process_and_not_before() {
    let folder = Folder::new();
    let (store, ring, other) = all(&folder);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let mut copy = Copy::of(&store).await;
    let hint = store.hint();
    // A change that an answer had already gives no hint, and neither does a last use.
    let early = tokio::time::timeout(std::time::Duration::from_millis(20), store.hint()).await;
    assert!(early.is_err());
    let shell = ring_over(SqliteStore::open(folder.keys()).unwrap());
    shell
        .revoke(issued.id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, hint).await.unwrap();
    assert_eq!(copy.pull().await, Pulled::Since(1));
    assert!(!copy.is_live(issued.record().digest()));
    let hint = store.hint();
    other.execute(KEY, []).unwrap();
    tokio::time::timeout(PATIENCE, hint).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_read_only_is_followed_and_forgets_nothing() {
    let folder = Folder::new();
    let (_store, ring, _) = all(&folder);
    let store = SqliteStore::open_read_only(folder.keys()).unwrap();
    let mut copy = Copy::of(&store).await;
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    assert_eq!(copy.pull().await, Pulled::Since(1));
    assert!(copy.is_live(issued.record().digest()));
    store.forget(&copy.position).await.unwrap();
}

/// The last number would be followed by any that is free.
#[tokio::test]
async fn r22_a_log_at_its_end_is_refused_and_keys_can_be_revoked_all_the_same() {
    let folder = Folder::new();
    let (store, ring, other) = all(&folder);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let mut copy = Copy::of(&store).await;
    let last = format!(
        "INSERT INTO api_key_changes (seq, token) VALUES ({}, 1)",
        i64::MAX
    );
    assert_eq!(other.execute(&last, []), Ok(1));
    ring.revoke(issued.id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    let error = copy.try_pull().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    assert_eq!(
        crate::advice(&error, &folder.keys()),
        "its log of changes was changed by hand, so no replica can follow it; restore the file from a backup"
    );
}

#[tokio::test]
async fn what_the_log_and_the_staleness_are_made_of_stays() {
    let folder = Folder::new();
    let (_, ring, other) = all(&folder);
    ring.issue(Grant::new("alice")).await.unwrap();
    for (statement, message) in [
        (
            "UPDATE api_key_changes SET token = 1",
            "api_key_changes: a change stays as it is",
        ),
        (
            "DELETE FROM api_key_changes",
            "api_key_changes: the newest 100000 changes stay",
        ),
        ("DELETE FROM api_key_feed", "api_key_feed: its row stays"),
        (
            "UPDATE api_key_feed SET staleness_ms = 99",
            "CHECK constraint failed: staleness_ms BETWEEN 100 AND 600000",
        ),
    ] {
        let error = other.execute(statement, []).expect_err(statement);
        assert_eq!(error.to_string(), message, "{statement}");
    }
}
