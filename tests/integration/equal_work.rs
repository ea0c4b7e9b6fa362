//! The calls of a verification, and their order (rules 2 and 7).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tower_api_key::store::{
    BoxFuture, Change, Found, KeyStore, ListQuery, Lookup, MemoryStore, Page, Revoked, StoreError,
    Target,
};
use tower_api_key::{
    Actor, ApiKeyLayer, Grant, InvalidCause, KeyDigest, KeyId, KeyRecord, KeyRing, ManualClock,
    Realm, Revocation, RevocationReason, VerifiedKey, VerifyErrorKind,
};

use crate::floods::WellFormed;
use crate::outcome::{INVALID, check};
use crate::support::{START, with_key};

/// Notes each call of a request.
#[derive(Clone, Default)]
struct Noting {
    store: MemoryStore,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Noting {
    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

impl KeyStore for Noting {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.note(format!("find {realm} {:?}", digest.as_bytes()));
        self.store.find(realm, digest)
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        self.note(format!("get {realm} {id}"));
        self.store.get(realm, id)
    }

    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        self.note(format!("get_many {realm} {ids:?}"));
        self.store.get_many(realm, ids)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.note("commit".to_owned());
        self.store.commit(change)
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        self.note("revoke".to_owned());
        self.store.revoke(realm, target, revocation, by)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.note("list".to_owned());
        self.store.list(realm, query)
    }

    crate::support::forward!(store: purge, record_uses, last_uses);
}

/// For every outcome of a well-formed key, one look-up by the digest of its exact bytes is made,
/// and none by the id that it names.
#[tokio::test]
async fn r07_every_well_formed_key_costs_the_same_calls() {
    let (store, clock) = (Noting::default(), ManualClock::new(START));
    let builder = KeyRing::builder("acme").clock(clock.clone());
    let ring = builder.build(store.clone()).unwrap();
    let grant = |seconds| Grant::new("alice").expires_in(Duration::from_secs(seconds));
    let valid = ring.issue(grant(1_000)).await.unwrap();
    let expired = ring.issue(grant(1)).await.unwrap();
    let revoked = ring.issue(grant(1_000)).await.unwrap();
    let (id, reason) = (revoked.record().id(), RevocationReason::KeyCompromise);
    ring.revoke(id, reason).await.unwrap();
    clock.advance(Duration::from_secs(1));
    // A known id with another secret, whose checksum is right.
    let wrong = WellFormed::new("acme").with_id(valid.record().id());
    let unknown = WellFormed::new("acme").next();

    let invalid = |cause| Some(VerifyErrorKind::Invalid(cause));
    for (key, expected) in [
        (valid.secret().expose(), None),
        (&*unknown, invalid(InvalidCause::Unknown)),
        (&*wrong, invalid(InvalidCause::Unknown)),
        (expired.secret().expose(), invalid(InvalidCause::Expired)),
        (revoked.secret().expose(), invalid(InvalidCause::Revoked)),
    ] {
        store.calls.lock().unwrap().clear();
        let verdict = ring.verify(key.as_bytes()).await;
        assert_eq!(verdict.err().map(|error| error.kind()), expected);
        // The same amount is hashed, too.
        assert_eq!(key.len(), valid.secret().expose().len());
        let digest = KeyDigest::sha256(key.as_bytes());
        let call = format!("find acme {:?}", digest.as_bytes());
        assert_eq!(*store.calls.lock().unwrap(), [call], "{expected:?}");
    }
}

/// On a route of two rings, each refusal costs one look-up in each of them, whichever ring knows the key.
#[tokio::test]
async fn r07_every_refusal_of_two_rings_costs_the_same_calls() {
    let clock = ManualClock::new(START);
    let calls = Arc::default();
    let side = |realm| {
        let store = Noting {
            calls: Arc::clone(&calls),
            ..Noting::default()
        };
        let builder = KeyRing::builder("acme").realm(realm).clock(clock.clone());
        builder.build(store).unwrap()
    };
    let (first, second) = (side("orders"), side("staff"));
    let grant = |seconds| Grant::new("alice").expires_in(Duration::from_secs(seconds));
    let mut keys = vec![WellFormed::new("acme").next()];
    for ring in [&first, &second] {
        let expired = ring.issue(grant(1)).await.unwrap();
        let revoked = ring.issue(grant(1_000)).await.unwrap();
        let (id, reason) = (revoked.id(), RevocationReason::KeyCompromise);
        ring.revoke(id, reason).await.unwrap();
        keys.push(expired.secret().expose().to_owned());
        keys.push(revoked.secret().expose().to_owned());
        keys.push(WellFormed::new("acme").with_id(id));
    }
    clock.advance(Duration::from_secs(1));
    let layer = ApiKeyLayer::new(first).or(second);
    for key in keys {
        calls.lock().unwrap().clear();
        check(&layer, with_key(&key), INVALID).await;
        let digest = KeyDigest::sha256(key.as_bytes());
        let asked =
            ["orders", "staff"].map(|realm| format!("find {realm} {:?}", digest.as_bytes()));
        assert_eq!(*calls.lock().unwrap(), asked, "{key}");
    }
}

/// Answers a look-up later. The wrong variant takes the scopes from a second read, of the newest key of
/// the lineage, as a join of a key's row with its user's row does.
#[derive(Clone)]
struct Reads {
    store: MemoryStore,
    twice: bool,
}

impl KeyStore for Reads {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        let Lookup::Ready(found) = self.store.find(realm, digest) else {
            panic!("memory answers at once");
        };
        let (reads, realm) = (self.clone(), realm.clone());
        Lookup::Pending(Box::pin(async move {
            tokio::task::yield_now().await;
            match found {
                Ok(Some(record)) if reads.twice => {
                    let query = ListQuery::new().lineage(record.lineage());
                    let lineage = reads.store.list(&realm, &query).await?;
                    let newest = lineage.iter().max_by_key(|record| record.generation());
                    let mut parts = record.to_parts();
                    parts.scopes = newest.expect("itself").scopes().clone();
                    Ok(Some(Arc::new(KeyRecord::from(parts))))
                }
                found => found,
            }
        }))
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.commit(change)
    }

    crate::support::forward!(store: revoke, get, list, purge, record_uses, last_uses);
}

/// A verdict on the key from before the elevation, which was read before it, does not change: it
/// contains nothing from the elevation.
#[track_caller]
fn assert_of_one_version(verdict: Result<VerifiedKey, VerifyErrorKind>) {
    let key = verdict.expect("it was live when it was read");
    let seen = (key.subject().as_str(), key.scopes().as_str());
    assert_eq!(seen, ("alice", "read"), "what another commit wrote");
}

/// An elevation that comes between the look-up and the verdict.
async fn raced(twice: bool) -> Result<VerifiedKey, VerifyErrorKind> {
    let store = Reads {
        store: MemoryStore::new(),
        twice,
    };
    let builder = KeyRing::builder("acme").clock(ManualClock::new(START));
    let ring = builder.build(store).unwrap();
    let grant = |scope: &str| Grant::new("alice").scopes([scope]);
    let old = ring.issue(grant("read")).await.unwrap();
    let mut verifying = Box::pin(ring.verify(old.secret().expose().as_bytes()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(
        verifying.as_mut().poll(&mut context),
        Poll::Pending
    ));
    ring.regrant(old.record().id(), grant("admin"))
        .await
        .unwrap();
    let verdict = verifying.await.map_err(|error| error.kind());
    let after = ring.verify(old.secret().expose().as_bytes()).await;
    let replaced = VerifyErrorKind::Invalid(InvalidCause::Replaced);
    assert_eq!(after.unwrap_err().kind(), replaced, "it is dead afterwards");
    verdict
}

#[tokio::test]
async fn r02_a_verdict_beside_an_elevation_reads_one_record_of_one_version() {
    assert_of_one_version(raced(false).await);
    // The same check finds a store that reads twice.
    let verdict = raced(true).await;
    let found = catch_unwind(AssertUnwindSafe(|| assert_of_one_version(verdict)));
    assert!(found.is_err(), "two reads went unseen");
}
