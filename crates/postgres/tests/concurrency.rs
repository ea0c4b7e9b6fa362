//! Eight connections that use one lineage and one subject.

use std::collections::HashSet;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tower_api_key::store::{ListQuery, StoreError, StoreErrorKind};
use tower_api_key::{ErrorKind, Grant, KeyId, KeyRing, KeyState, RevocationReason, SystemClock};
use tower_api_key_postgres::PostgresStore;

use super::{builder, connect, ring_over};
use tower_api_key_test_support::pg_server::{database, patient};
use tower_api_key_test_support::support::issue;

/// Rings over stores of one connection each.
async fn rings(url: &str, count: usize) -> Vec<KeyRing> {
    let mut rings = Vec::new();
    for _ in 0..count {
        let options = patient().max_connections(1);
        rings.push(ring_over(options.connect(url).await.unwrap()));
    }
    rings
}

fn now() -> tower_api_key::Timestamp {
    use tower_api_key::Clock;
    SystemClock.now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_6_of_eight_connections_one_wins_each_version() {
    let url = database().await;
    let rings = rings(&url, 8).await;
    let first = issue(&rings[0], "read write").await.record().id();
    let mut head = first;
    for round in 1..=10_u32 {
        let rotations: Vec<_> = rings
            .iter()
            .map(|ring| {
                let ring = ring.clone();
                tokio::spawn(async move { ring.rotate_now(head).await })
            })
            .collect();
        let mut won = Vec::new();
        for rotation in rotations {
            match rotation.await.unwrap() {
                Ok(issued) => won.push(issued.record().clone()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::KeyRevoked),
            }
        }
        let [winner] = &won[..] else {
            panic!("{} keys replace one", won.len());
        };
        assert_eq!(winner.generation(), round);
        assert_eq!(winner.lineage(), first);
        head = winner.id();
        assert_eq!(live(&rings[0], first).await, HashSet::from([head]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_6_none_is_live_after_an_acknowledged_revoke() {
    let url = database().await;
    let rings = rings(&url, 8).await;
    for _ in 0..5 {
        let first = issue(&rings[0], "read").await.record().id();
        let tasks: Vec<_> = rings
            .iter()
            .enumerate()
            .map(|(index, ring)| {
                let ring = ring.clone();
                tokio::spawn(async move {
                    if index == 7 {
                        let reason = RevocationReason::KeyCompromise;
                        ring.revoke_lineage(first, reason).await.unwrap();
                        assert_eq!(live(&ring, first).await, HashSet::new());
                        return;
                    }
                    let mut head = first;
                    for _ in 0..20 {
                        match ring.rotate_now(head).await {
                            Ok(issued) => head = issued.record().id(),
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::KeyRevoked);
                                return;
                            }
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(live(&rings[0], first).await, HashSet::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_on_the_keys_of_a_subject_holds_across_processes() {
    let url = database().await;
    let mut rings = Vec::new();
    for _ in 0..8 {
        let ring = builder().max_keys_per_subject(3);
        rings.push(ring.build(connect(&url).await).unwrap());
    }
    let issues: Vec<_> = rings
        .iter()
        .map(|ring| {
            let ring = ring.clone();
            tokio::spawn(async move { ring.issue(Grant::new("alice")).await })
        })
        .collect();
    let mut held = 0;
    for issue in issues {
        match issue.await.unwrap() {
            Ok(_) => held += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::TooManyKeys { limit: 3 }),
        }
    }
    assert_eq!(held, 3);
    let query = ListQuery::new().subject("alice");
    assert_eq!(rings[0].list(&query).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r32_a_subject_that_is_revoked_while_others_issue_to_it_has_no_older_key() {
    let url = database().await;
    let rings = rings(&url, 8).await;
    let mut before = HashSet::new();
    for _ in 0..5 {
        before.insert(issue(&rings[0], "read").await.record().id());
    }
    let issues: Vec<_> = rings[1..]
        .iter()
        .map(|ring| {
            let ring = ring.clone();
            tokio::spawn(async move {
                for _ in 0..5 {
                    issue(&ring, "read").await;
                }
            })
        })
        .collect();
    let reason = RevocationReason::AffiliationChanged;
    rings[0].revoke_subject("alice", reason).await.unwrap();
    let query = ListQuery::new().subject("alice").unrevoked();
    let left = rings[0].list(&query).await.unwrap();
    assert!(left.iter().all(|record| !before.contains(&record.id())));
    for issue in issues {
        issue.await.unwrap();
    }
    rings[0].revoke_subject("alice", reason).await.unwrap();
    assert_eq!(rings[0].list(&query).await.unwrap().records(), []);
}

/// If the server's default is a snapshot for each transaction, a commit would check a subject's
/// keys as they were before it got the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_servers_default_isolation_changes_nothing() {
    let url = database().await;
    let url = format!("{url}?options[default_transaction_isolation]=repeatable%20read");
    let rings: Vec<KeyRing> = {
        let mut rings = Vec::new();
        for _ in 0..8 {
            let ring = builder().max_keys_per_subject(3);
            rings.push(ring.build(connect(&url).await).unwrap());
        }
        rings
    };
    for subject in ["alice", "bob", "carol"] {
        let issues: Vec<_> = rings
            .iter()
            .map(|ring| {
                let ring = ring.clone();
                tokio::spawn(async move { ring.issue(Grant::new(subject)).await })
            })
            .collect();
        for issue in issues {
            if let Err(error) = issue.await.unwrap() {
                assert_eq!(error.kind(), ErrorKind::TooManyKeys { limit: 3 });
            }
        }
        let query = ListQuery::new().subject(subject);
        assert_eq!(rings[0].list(&query).await.unwrap().len(), 3);
    }
}

/// Another session keeps a lock on the row: the wait is bounded, and the error says what to do.
#[tokio::test]
async fn a_lock_that_another_session_keeps_is_waited_for_and_then_told() {
    let url = database().await;
    let store: PostgresStore = connect(&url).await;
    let ring = ring_over(store);
    let issued = issue(&ring, "read").await;
    let id: KeyId = issued.record().id();
    let mut other = PgConnection::connect(&url).await.unwrap();
    let hold = "BEGIN; LOCK TABLE tower_api_keys IN SHARE MODE";
    sqlx::raw_sql(hold).execute(&mut other).await.unwrap();

    let reason = RevocationReason::Unspecified;
    let error = ring.revoke(id, reason).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    let store_error = std::error::Error::source(&error).unwrap();
    let store_error = store_error.downcast_ref::<StoreError>().unwrap();
    assert_eq!(store_error.kind(), StoreErrorKind::Busy);
    assert_eq!(
        super::errors::source(&error),
        "end the session that holds the tables, or try again later: canceling statement due to \
         lock timeout"
    );

    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    ring.revoke(id, reason).await.unwrap();
    let record = ring.get(id).await.unwrap().unwrap();
    assert_eq!(record.state_at(now()), KeyState::Revoked);
}

/// The keys of a lineage that work.
async fn live(ring: &KeyRing, lineage: KeyId) -> HashSet<KeyId> {
    let records = ring.list(&ListQuery::new().lineage(lineage)).await.unwrap();
    records
        .iter()
        .filter(|record| record.state_at(now()) == KeyState::Live)
        .map(|record| record.id())
        .collect()
}
