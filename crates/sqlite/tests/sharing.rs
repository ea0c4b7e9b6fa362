//! Several stores, and several processes, on one file.

use std::path::Path;

use tower_api_key::store::{KeyStore, ListQuery};
use tower_api_key::{
    ErrorKind, Grant, InvalidCause, KeyRing, ManualClock, RevocationReason, VerifyErrorKind,
};
use tower_api_key_sqlite::SqliteStore;

use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::support::START;

pub(super) fn ring(path: &Path) -> KeyRing {
    ring_over(SqliteStore::open(path).unwrap())
}

pub(super) fn ring_over(store: impl KeyStore) -> KeyRing {
    KeyRing::builder("acme")
        .realm("orders")
        .clock(ManualClock::new(START))
        .build(store)
        .unwrap()
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let folder = Folder::new();
    let first = ring(&folder.keys());
    let grant = Grant::new("alice").scopes(["read", "write"]);
    let issued = first.issue(grant).await.unwrap();
    let revoked = first.issue(Grant::new("bob")).await.unwrap();
    first
        .revoke(revoked.record().id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    let before = first.list(&ListQuery::new()).await.unwrap();
    drop(first);

    let again = ring(&folder.keys());
    assert_eq!(
        again.list(&ListQuery::new()).await.unwrap().records(),
        before.records()
    );
    assert_eq!(before.len(), 2);
    let key = again
        .verify(issued.secret().expose().as_bytes())
        .await
        .unwrap();
    assert_eq!(key.scopes().as_str(), "read write");
    let error = again
        .verify(revoked.secret().expose().as_bytes())
        .await
        .unwrap_err();
    assert_eq!(
        error.kind(),
        VerifyErrorKind::Invalid(InvalidCause::Revoked)
    );
}

#[tokio::test]
async fn invariant_8_a_revocation_by_one_store_is_seen_by_the_next_look_up_of_another() {
    let folder = Folder::new();
    let (server, shell) = (ring(&folder.keys()), ring(&folder.keys()));
    for _ in 0..50 {
        let issued = shell.issue(Grant::new("alice")).await.unwrap();
        let presented = issued.secret().expose().as_bytes();
        let id = issued.record().id();
        assert_eq!(server.verify(presented).await.unwrap().id(), id);
        let reason = RevocationReason::KeyCompromise;
        shell.revoke(id, reason).await.unwrap();
        let error = server.verify(presented).await.unwrap_err();
        assert_eq!(
            error.kind(),
            VerifyErrorKind::Invalid(InvalidCause::Revoked)
        );
    }
}

/// Eight stores on one file, as in eight processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_6_of_eight_stores_one_rotates_and_a_revocation_leaves_none() {
    let folder = Folder::new();
    let rings: Vec<KeyRing> = (0..8).map(|_| ring(&folder.keys())).collect();
    let issued = rings[0].issue(Grant::new("alice")).await.unwrap();
    let mut head = issued.record().id();
    let mut secrets = vec![issued.into_secret()];
    for generation in 1..=5 {
        let rotating: Vec<_> = rings
            .iter()
            .cloned()
            .map(|ring| tokio::spawn(async move { ring.rotate_now(head).await }))
            .collect();
        let mut winners = Vec::new();
        for outcome in rotating {
            match outcome.await.unwrap() {
                Ok(issued) => winners.push(issued),
                Err(error) => assert_eq!(error.kind(), ErrorKind::KeyRevoked),
            }
        }
        assert_eq!(winners.len(), 1, "generation {generation}");
        let winner = winners.remove(0);
        assert_eq!(winner.record().generation(), generation);
        head = winner.record().id();
        secrets.push(winner.into_secret());
    }
    // One revokes the lineage while the others rotate it.
    let others: Vec<_> = rings[1..]
        .iter()
        .cloned()
        .map(|ring| tokio::spawn(async move { ring.rotate_now(head).await }))
        .collect();
    rings[0]
        .revoke_lineage(head, RevocationReason::KeyCompromise)
        .await
        .unwrap();
    for outcome in others {
        match outcome.await.unwrap() {
            Ok(issued) => secrets.push(issued.into_secret()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::KeyRevoked),
        }
    }
    rings[7]
        .revoke_lineage(head, RevocationReason::KeyCompromise)
        .await
        .unwrap();
    for (ring, secret) in rings.iter().cycle().zip(&secrets) {
        let presented = secret.expose().as_bytes();
        let error = ring.verify(presented).await.unwrap_err();
        let VerifyErrorKind::Invalid(cause) = error.kind() else {
            panic!("{error:?}");
        };
        assert!(matches!(
            cause,
            InvalidCause::Revoked | InvalidCause::Replaced
        ));
    }
}
