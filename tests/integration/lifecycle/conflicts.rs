//! Other writers who always come first: a change is retried, and finally given up.

use std::future::Future;
use std::sync::Arc;

use tower_api_key::store::StoreErrorKind;
use tower_api_key::{
    Error, ErrorKind, Grant, InvalidCause, KeyDigest, KeyRing, KeyRingBuilder, RevocationReason,
};

use super::{HOUR, House, verdict};
use crate::ring::stores::Tapped;
use crate::support::{IMPORTED, issue};

pub(super) const CONFLICT: &str = "the record was changed by another writer; read it and try again";
const REASON: RevocationReason = RevocationReason::KeyCompromise;

/// A ring of `orders` whose first commits conflict. All attempts are kept.
fn contended(
    house: &House,
    conflicts: usize,
    options: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder,
) -> KeyRing {
    let changes = Arc::clone(&house.changes);
    let store = Tapped::new(&house.store).before_commit(move |change| {
        let mut changes = changes.lock().unwrap();
        changes.push(change.clone());
        if changes.len() <= conflicts {
            return Err(StoreErrorKind::Conflict.into());
        }
        Ok(())
    });
    house.over(store, "orders", options)
}

/// For each commit since the last call, the number of limits that it states.
fn tries(house: &House) -> Vec<usize> {
    let changes = house.changes();
    changes.iter().map(|change| change.limits().len()).collect()
}

#[tokio::test]
async fn a_change_is_given_up_after_thirty_two_tries_that_changed_nothing() {
    let house = House::new();
    let plain = house.ring("orders", |builder| builder);
    let id = issue(&plain, "read write").await.record().id();
    let ring = contended(&house, usize::MAX, KeyRingBuilder::accept_imports);
    let limited = contended(&house, usize::MAX, |builder| {
        builder.max_keys_per_subject(2)
    });
    let alice = || Grant::new("alice").expires_in(HOUR);
    let read = "read".parse().unwrap();
    let digest = KeyDigest::sha256(IMPORTED.as_bytes());

    assert_given_up(&house, ring.issue(alice()), [0; 32]).await;
    assert_given_up(&house, limited.issue(alice()), [1; 32]).await;
    assert_given_up(&house, ring.import_digest(alice(), digest), [0; 32]).await;
    assert_given_up(&house, ring.import_plaintext(alice(), IMPORTED), [0; 32]).await;
    let weak = ring.import_insecure_plaintext(alice(), "hunter2");
    assert_given_up(&house, weak, [0; 32]).await;
    assert_given_up(&house, ring.rotate(id, HOUR), [0; 32]).await;
    assert_given_up(&house, ring.rotate_now(id), [0; 32]).await;
    assert_given_up(&house, ring.regrant(id, alice()), [0; 32]).await;
    assert_given_up(&house, limited.regrant(id, alice()), [0; 32]).await;
    let bob = Grant::new("bob").expires_in(HOUR);
    assert_given_up(&house, limited.regrant(id, bob), [1; 32]).await;
    assert_given_up(&house, ring.narrow(id, &read), [0; 32]).await;
}

/// The outcome is a conflict, after attempts that each state this many limits.
async fn assert_given_up<T: std::fmt::Debug>(
    house: &House,
    outcome: impl Future<Output = Result<T, Error>>,
    expected: [usize; 32],
) {
    house
        .assert_refused(outcome, ErrorKind::Conflict, CONFLICT)
        .await;
    assert_eq!(tries(house), expected);
}

/// If every change is refused because others come first, a revocation still succeeds.
#[tokio::test]
async fn r32_a_revocation_is_never_one_of_several_tries() {
    let house = House::new();
    let plain = house.ring("orders", |builder| builder);
    let ring = contended(&house, usize::MAX, |builder| builder);
    let key = issue(&plain, "read").await;
    ring.revoke(key.record().id(), REASON).await.unwrap();
    let old = issue(&plain, "read").await;
    let new = plain.rotate(old.record().id(), HOUR).await.unwrap();
    let count = ring.revoke_lineage(new.record().id(), REASON).await;
    assert_eq!(count.unwrap(), 2);
    let others = [issue(&plain, "read").await, issue(&plain, "write").await];
    assert_eq!(ring.revoke_subject("alice", REASON).await.unwrap(), 2);
    assert_eq!(tries(&house), Vec::<usize>::new());
    for key in [&key, &old, &new].into_iter().chain(&others) {
        assert_eq!(verdict(&plain, key).await, Err(InvalidCause::Revoked));
    }
}
