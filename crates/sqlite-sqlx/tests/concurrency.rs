//! Two pools on one file, as two processes have.

use tower_api_key::store::ListQuery;
use tower_api_key::{ErrorKind, Grant, KeyRing, RevocationReason};

use super::{builder, ring, store, verdict};
use tower_api_key_test_support::folder::Folder;

async fn rings(folder: &Folder) -> [KeyRing; 2] {
    [
        ring(store(&folder.keys()).await),
        ring(store(&folder.keys()).await),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_8_a_revocation_over_one_pool_is_seen_by_the_next_look_up_over_another() {
    let folder = Folder::new();
    let [server, shell] = rings(&folder).await;
    for _ in 0..30 {
        let issued = shell.issue(Grant::new("alice")).await.unwrap();
        assert_eq!(verdict(&server, &issued).await, Ok(()));
        let reason = RevocationReason::KeyCompromise;
        shell.revoke(issued.id(), reason).await.unwrap();
        assert_eq!(verdict(&server, &issued).await, super::REVOKED);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_6_of_many_rotations_over_two_pools_one_wins() {
    let folder = Folder::new();
    let rings = rings(&folder).await;
    let mut head = rings[0].issue(Grant::new("alice")).await.unwrap().id();
    for generation in 1..=5 {
        let rotating: Vec<_> = (0..8)
            .map(|number| {
                let ring = rings[number % 2].clone();
                tokio::spawn(async move { ring.rotate_now(head).await })
            })
            .collect();
        let mut winners = Vec::new();
        for outcome in rotating {
            match outcome.await.unwrap() {
                Ok(issued) => winners.push(issued),
                Err(error) => assert_eq!(error.kind(), ErrorKind::KeyRevoked),
            }
        }
        assert_eq!(winners.len(), 1, "generation {generation}");
        assert_eq!(winners[0].record().generation(), generation);
        head = winners[0].id();
    }
}

/// The limit is exact: together they issue as many as it allows, and none is refused below it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_on_the_keys_of_a_subject_holds_over_two_pools() {
    let folder = Folder::new();
    let most = 40;
    let mut rings = Vec::new();
    for _ in 0..2 {
        let ring = builder()
            .max_keys_per_subject(most)
            .build(store(&folder.keys()).await);
        rings.push(ring.unwrap());
    }
    let issuing: Vec<_> = (0..60)
        .map(|number| {
            let ring = rings[number % 2].clone();
            tokio::spawn(async move { ring.issue(Grant::new("alice")).await })
        })
        .collect();
    let mut issued = 0;
    for outcome in issuing {
        match outcome.await.unwrap() {
            Ok(_) => issued += 1,
            Err(error) => assert!(matches!(error.kind(), ErrorKind::TooManyKeys { .. })),
        }
    }
    assert_eq!(issued, most);
    let all = rings[0].list(&ListQuery::new()).await.unwrap();
    assert_eq!(all.len(), most);
}
