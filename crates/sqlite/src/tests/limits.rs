//! What a limit on the keys of a subject looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tower_api_key::store::{Change, KeyLimit, StoreErrorKind, Write};
use tower_api_key::{
    KeyDigest, KeyId, KeyRecordParts, Realm, RevocationReason, Subject, Timestamp,
};
use tower_api_key_sqlite_schema::schema::MIGRATIONS;

use super::super::schema::migrate;
use super::super::write::commit;
use super::place;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const LATER: Timestamp = Timestamp::from_unix(1_800_000_100);

fn connection() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, &place(), &MIGRATIONS).unwrap();
    connection
}

fn alice() -> (Realm, Subject) {
    ("orders".parse().unwrap(), "alice".parse().unwrap())
}

fn key(number: u64) -> KeyRecordParts {
    let (realm, subject) = alice();
    let id: KeyId = format!("{number:0>12}").parse().unwrap();
    let digest = KeyDigest::sha256(id.as_str().as_bytes());
    KeyRecordParts::new(id, realm, digest, subject, NOW)
}

fn within(most: u64, at: Timestamp) -> KeyLimit {
    let (realm, subject) = alice();
    KeyLimit::new(&realm, &subject, usize::try_from(most).unwrap(), at)
}

fn issue(number: u64, most: u64) -> Change {
    Change::new(vec![Write::new(key(number))]).only_within(within(most, NOW))
}

/// Whether a limit holds.
fn holds(connection: &mut Connection, most: u64, at: Timestamp) -> bool {
    let question = Change::new(Vec::new()).only_within(within(most, at));
    match commit(connection, &place(), &question) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::TooManyKeys);
            false
        }
    }
}

/// The number that is kept for alice.
fn kept(connection: &Connection) -> Option<i64> {
    let mut numbers = connection
        .prepare("SELECT keys FROM api_key_subjects")
        .unwrap();
    let mut numbers = numbers.query([]).unwrap();
    numbers.next().unwrap().map(|row| row.get(0).unwrap())
}

#[test]
fn a_limit_costs_the_same_for_any_number_of_keys() {
    let mut connection = connection();
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    connection
        .progress_handler(
            1,
            Some(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                false
            }),
        )
        .unwrap();
    let mut cost = |change: &Change| {
        steps.store(0, Ordering::Relaxed);
        commit(&mut connection, &place(), change).unwrap();
        steps.load(Ordering::Relaxed)
    };
    let mut costs = Vec::new();
    for number in 0..3_000 {
        costs.push(cost(&issue(number, 3_000)));
    }
    // At the limit, a key takes the place of another, and one that is revoked makes room.
    let replace = |number| {
        let old = key(number).into();
        let old = Write::revoked(&old, RevocationReason::Superseded, NOW);
        let new = Write::new(key(number + 3_000));
        Change::new(vec![old, new]).only_within(within(3_000, NOW))
    };
    for number in 0..20 {
        costs.push(cost(&replace(number)));
    }
    let early = costs[50];
    for later in [100, 1_000, 2_999] {
        assert!(
            costs[later].abs_diff(early) * 50 < early,
            "{early}, {}",
            costs[later]
        );
    }
    assert!(costs[3_019] < 3 * early, "{early}, {}", costs[3_019]);
}

#[test]
fn a_number_that_is_kept_is_never_too_low() {
    let mut connection = connection();
    for number in 0..40 {
        let mut parts = key(number);
        parts.expires_at = NOW.checked_add(std::time::Duration::from_secs(10 + number % 2 * 1_000));
        let change = Change::new(vec![Write::new(parts)]).only_within(within(40, NOW));
        commit(&mut connection, &place(), &change).unwrap();
    }
    assert_eq!(kept(&connection), Some(40));
    assert!(holds(&mut connection, 40, NOW));
    assert!(!holds(&mut connection, 39, NOW));

    // Later, half of them have expired, and the number is exact again.
    assert!(holds(&mut connection, 20, LATER));
    assert!(!holds(&mut connection, 19, LATER));
    // By hand, whatever is done with those that had ended lowers it no further.
    let run = |connection: &Connection, sql: &str| connection.execute(sql, []).unwrap();
    let revoke = "UPDATE api_keys SET revoked_at = 1, revocation_reason = 'unspecified', \
        version = version + 1 WHERE id = ";
    run(&connection, &format!("{revoke}'000000000000'"));
    run(
        &connection,
        "UPDATE api_keys SET retire_at = 5, version = version + 1 WHERE id = '000000000002'",
    );
    run(
        &connection,
        "DELETE FROM api_keys WHERE id = '000000000004'",
    );
    assert!(!holds(&mut connection, 19, LATER));
    assert!(!holds(&mut connection, 36, NOW));
    assert!(holds(&mut connection, 37, NOW));
    // What is done with the others lowers it once.
    run(&connection, &format!("{revoke}'000000000001'"));
    run(
        &connection,
        "UPDATE api_keys SET retire_at = 1800000200, version = version + 1 WHERE id = '000000000003'",
    );
    run(
        &connection,
        "UPDATE api_keys SET retire_at = 5, version = version + 1 WHERE id = '000000000003'",
    );
    run(&connection, &format!("{revoke}'000000000003'"));
    run(
        &connection,
        "DELETE FROM api_keys WHERE id = '000000000005'",
    );
    assert!(holds(&mut connection, 17, LATER));
    assert!(!holds(&mut connection, 16, LATER));
    // A row by hand counts.
    for number in [100, 101] {
        let row = format!(
            "INSERT INTO api_keys (id, realm, digest, subject, scopes, issued_at, not_before, lineage, \
             generation, version, metadata) VALUES ('{number:0>12}', 'orders', randomblob(32), 'alice', '', \
             1, 1, '{number:0>12}', 0, 1, '{{}}')"
        );
        run(&connection, &row);
    }
    assert!(holds(&mut connection, 19, LATER));
    assert!(!holds(&mut connection, 18, LATER));
    // A number that is gone is counted.
    run(&connection, "DELETE FROM api_key_subjects");
    assert!(!holds(&mut connection, 18, LATER));
    // Nothing is kept of a subject that is gone.
    assert!(holds(&mut connection, 40, NOW));
    assert!(kept(&connection).is_some());
    run(&connection, "DELETE FROM api_keys");
    assert_eq!(kept(&connection), None);
    assert!(holds(&mut connection, 0, NOW));
}

#[test]
fn few_keys_are_counted_each_time_and_many_in_one_line_of_an_index() {
    let mut connection = connection();
    for number in 0..32 {
        commit(&mut connection, &place(), &issue(number, 100)).unwrap();
    }
    assert_eq!(kept(&connection), None);
    let mut plan = connection
        .prepare(&format!(
            "EXPLAIN QUERY PLAN {}",
            tower_api_key_sqlite_schema::limits::LIVING
        ))
        .unwrap();
    let plan = plan
        .query_map(["", "", "0"], |row| row.get::<_, String>(3))
        .unwrap();
    let reads: Vec<String> = plan
        .map(Result::unwrap)
        .filter(|line| line.contains("api_keys"))
        .collect();
    let covered = "SEARCH main.api_keys USING COVERING INDEX api_keys_by_holder (realm=? AND subject=? AND revoked_at=? AND expires_at";
    assert!(
        reads.len() == 2 && reads.iter().all(|line| line.starts_with(covered)),
        "{reads:?}"
    );
}
