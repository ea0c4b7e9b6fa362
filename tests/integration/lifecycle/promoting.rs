//! From a temporary key to a real one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use tower::Layer;
use tower_api_key::store::{
    BoxFuture, Change, KeyStore, ListQuery, Lookup, MemoryStore, StoreError, StoreErrorKind,
};
use tower_api_key::{
    ApiKeyLayer, Error, ErrorKind, Grant, InvalidCause, Issued, KeyDigest, KeyRecord, KeyRing,
    Realm, RejectionKind, RevocationReason,
};

use super::conflicts::CONFLICT;
use super::{House, MINUTE, verdict};
use crate::ring::stores::Tapped;
use crate::support::{Inner, issue, poll_once, send, with_key};

fn alice() -> Grant {
    Grant::new("alice").scopes(["cart", "orders"])
}

fn visitors(house: &House, store: impl KeyStore) -> KeyRing {
    house.over(store, "visitors", |builder| {
        builder.grantable_scopes(["cart"]).max_lifetime(15 * MINUTE)
    })
}

/// A store that counts its commits together, from any of its clones.
#[derive(Clone)]
pub(super) struct Counted {
    pub(super) store: Arc<Tapped>,
}

impl KeyStore for Counted {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.store.find(realm, digest)
    }

    fn identity(&self) -> Option<tower_api_key::store::StoreId> {
        Some(tower_api_key::store::StoreId::of(&self.store))
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.commit(change)
    }

    crate::support::forward!(store: revoke, get, list, purge, record_uses, last_uses);
}

/// The ring's layer refuses this key, and the inner service is not called.
async fn assert_denied(ring: &KeyRing, issued: &Issued) {
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring.clone()).layer(inner.clone());
    let response = send(&service, with_key(issued.secret().expose())).await;
    assert_eq!(response.status, 401);
    assert_eq!(response.kind(), Some(RejectionKind::Invalid));
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn r01_a_planted_key_is_dead_after_the_promotion_and_never_had_the_privilege() {
    let house = House::new();
    let store = Counted {
        store: Arc::new(Tapped::new(&house.store).recording(&house.changes)),
    };
    let visitors = visitors(&house, store.clone());
    let customers = house.over(store, "customers", |builder| builder);
    // The attacker gets a temporary key and plants it with the victim, who logs in with it.
    let planted = issue(&visitors, "cart").await;
    let id = planted.record().id();
    let real = customers.promote(&visitors, id, alice()).await.unwrap();

    let changes = house.changes();
    assert_eq!(
        changes.len(),
        2,
        "the issue, and one commit for the promotion"
    );
    for write in changes.iter().flat_map(Change::writes) {
        let record = &write.record;
        if record.digest() == planted.record().digest() {
            assert_eq!(record.scopes().as_str(), "cart");
            assert_eq!(record.realm().as_str(), "visitors");
        }
    }
    let [dead, new] = changes[1].writes() else {
        panic!("{:?}", changes[1]);
    };
    let (dead, new) = if dead.record.id() == id {
        (dead, new)
    } else {
        (new, dead)
    };
    let reason = dead.record.revocation().unwrap().reason;
    assert_eq!(reason, RevocationReason::Superseded);
    assert_eq!(&new.record, real.record());
    for ring in [&visitors, &customers] {
        assert_denied(ring, &planted).await;
    }
    assert_denied(&visitors, &real).await;
    assert_eq!(
        verdict(&customers, &real).await,
        Ok("cart orders".to_owned())
    );
    assert_eq!(real.record().lineage(), id);
    assert_eq!(real.record().generation(), 1);

    // Planted once more, it promotes no other user.
    assert_eq!(house.records().await.len(), 2);
    let text = "the key is revoked: issue a new one";
    house
        .assert_refused(
            customers.promote(&visitors, id, alice()),
            ErrorKind::KeyRevoked,
            text,
        )
        .await;
}

#[tokio::test]
async fn r01_without_a_shared_store_the_temporary_key_dies_first() {
    let house = House::new();
    let order: Arc<Mutex<Vec<&str>>> = Arc::default();
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    let tapped = |store, name: &'static str| {
        let order = Arc::clone(&order);
        Tapped::new(store).before_commit(move |_| {
            order.lock().unwrap().push(name);
            Ok(())
        })
    };
    let visitors = visitors(&house, tapped(&from, "visitors"));
    let customers = house.over(tapped(&to, "customers"), "customers", |builder| builder);
    let planted = issue(&visitors, "cart").await;
    let id = planted.record().id();
    order.lock().unwrap().clear();
    let real = customers.promote(&visitors, id, alice()).await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["visitors", "customers"]);
    assert_denied(&visitors, &planted).await;
    assert_denied(&customers, &planted).await;
    assert_eq!(
        verdict(&customers, &real).await,
        Ok("cart orders".to_owned())
    );
}

/// The error of a promotion if a store refuses its commit, and the number of attempts.
const FAILURES: [(StoreErrorKind, ErrorKind, &str, usize); 2] = [
    (
        StoreErrorKind::Unavailable,
        ErrorKind::Store,
        "the key store failed",
        1,
    ),
    (StoreErrorKind::Conflict, ErrorKind::Conflict, CONFLICT, 32),
];

/// A promotion between two stores, one of which refuses each commit like this.
struct HalfWay {
    error: Error,
    /// The verdict of the temporary key's ring on it.
    temporary: Result<String, InvalidCause>,
    /// The number of commits that each store was asked for.
    tries: [usize; 2],
    /// The records in the store of the real key.
    real: Vec<Arc<KeyRecord>>,
}

async fn promote_where(refusing: usize, with: StoreErrorKind) -> HalfWay {
    let house = House::new();
    let planted = issue(&visitors(&house, house.store.clone()), "cart").await;
    let tries: [Arc<AtomicUsize>; 2] = Default::default();
    let [from, to] = [(0, &house.store), (1, &house.other)].map(|(number, store)| {
        let tries = Arc::clone(&tries[number]);
        Tapped::new(store).before_commit(move |_| {
            tries.fetch_add(1, Ordering::Relaxed);
            if number == refusing {
                return Err(with.into());
            }
            Ok(())
        })
    });
    let visitors = visitors(&house, from);
    let customers = house.over(to, "customers", |builder| builder);
    let id = planted.record().id();
    HalfWay {
        error: customers.promote(&visitors, id, alice()).await.unwrap_err(),
        temporary: verdict(&visitors, &planted).await,
        tries: tries.map(|tries| tries.load(Ordering::Relaxed)),
        real: customers.list(&ListQuery::new()).await.unwrap().to_vec(),
    }
}

#[tokio::test]
async fn r01_a_temporary_key_that_cannot_be_ended_lives_on_alone() {
    for (with, kind, text, tries) in FAILURES {
        let left = promote_where(0, with).await;
        assert_eq!(left.error.kind(), kind);
        assert_eq!(left.error.to_string(), text);
        assert_eq!(left.tries, [tries, 0]);
        assert_eq!(left.temporary, Ok("cart".to_owned()));
        assert_eq!(left.real, []);
    }
}

#[tokio::test]
async fn r01_a_promotion_that_fails_half_way_leaves_neither_key() {
    for (with, kind, text, tries) in FAILURES {
        let left = promote_where(1, with).await;
        assert_eq!(left.error.kind(), kind);
        assert_eq!(left.error.to_string(), text);
        assert_eq!(left.tries, [1, tries]);
        assert_eq!(left.temporary, Err(InvalidCause::Replaced));
        assert_eq!(left.real, []);
    }
}

/// The temporary key is dead by then: the promotion keeps its place while others issue keys.
#[tokio::test]
async fn a_promotion_between_stores_goes_on_while_others_issue_keys() {
    let house = House::new();
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    let visitors = visitors(&house, from);
    let others = house.over(to.clone(), "customers", |builder| builder);
    let others = Mutex::new(Some(others));
    let store = Tapped::new(&to).before_commit(move |_| {
        if let Some(others) = others.lock().unwrap().take() {
            let issued = poll_once(&mut Box::pin(others.issue(Grant::new("alice"))));
            assert!(matches!(issued, Poll::Ready(Ok(_))));
        }
        Ok(())
    });
    let customers = house.over(store, "customers", |builder| {
        builder.max_keys_per_subject(2)
    });
    let temporary = issue(&visitors, "cart").await;
    let id = temporary.record().id();
    let real = customers.promote(&visitors, id, alice()).await.unwrap();
    let scopes = verdict(&customers, &real).await;
    assert_eq!(scopes, Ok("cart orders".to_owned()));

    // No place is left for the next promotion, so its temporary key stays live.
    let temporary = issue(&visitors, "cart").await;
    let id = temporary.record().id();
    let error = customers.promote(&visitors, id, alice()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyKeys { limit: 2 });
    assert_eq!(verdict(&visitors, &temporary).await, Ok("cart".to_owned()));
}
