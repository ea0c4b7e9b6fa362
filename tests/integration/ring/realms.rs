//! One store, several rings: a key is valid only in its own realm.

use tower_api_key::store::{KeyStore, Lookup, MemoryStore};
use tower_api_key::{Grant, InvalidCause, KeyRing, KeyRingBuilder, Realm, VerifyErrorKind};

use super::stores::Tapped;
use super::{invalid, verdict};

/// Environments by prefix, services by realm.
const RINGS: [(&str, &str); 6] = [
    ("acme_live", "a"),
    ("acme_live", "b"),
    ("acme_test", "a/test"),
    ("acme_test", "b/test"),
    ("acme", "A"),
    ("acme_liv", "a "),
];

async fn assert_matrix(
    store: MemoryStore,
    build: fn(KeyRingBuilder) -> KeyRingBuilder,
    other_prefix: InvalidCause,
) {
    let mut rings = Vec::new();
    let mut keys = Vec::new();
    for (prefix, realm) in RINGS {
        let builder = KeyRing::builder(prefix).realm(realm);
        let ring = build(builder).build(store.clone()).unwrap();
        let issued = ring.issue(Grant::new(realm)).await.unwrap();
        keys.push(issued.secret().expose().to_owned());
        rings.push(ring);
    }
    for (ring, (ring_prefix, ring_realm)) in rings.iter().zip(RINGS) {
        for (key, (key_prefix, key_realm)) in keys.iter().zip(RINGS) {
            let expected = if (key_prefix, key_realm) == (ring_prefix, ring_realm) {
                Ok(ring_realm.to_owned())
            } else if key_prefix == ring_prefix {
                invalid(InvalidCause::Unknown)
            } else {
                invalid(other_prefix)
            };
            assert_eq!(
                verdict(ring, key).await,
                expected,
                "a key of {key_prefix}/{key_realm} in {ring_prefix}/{ring_realm}"
            );
        }
    }
}

#[tokio::test]
async fn r31_every_key_in_every_ring() {
    assert_matrix(MemoryStore::new(), |ring| ring, InvalidCause::Malformed).await;
}

#[tokio::test]
async fn r31_every_key_in_every_ring_that_looks_at_any_shape() {
    let build = KeyRingBuilder::accept_imports;
    assert_matrix(MemoryStore::new(), build, InvalidCause::Unknown).await;
}

#[tokio::test]
async fn r31_the_realm_is_the_prefix_where_nothing_is_said() {
    let store = MemoryStore::new();
    let live = KeyRing::builder("acme_live").build(store.clone()).unwrap();
    let test = KeyRing::builder("acme_test").build(store).unwrap();
    assert_eq!(live.realm().as_str(), "acme_live");
    assert_eq!(test.realm().as_str(), "acme_test");
    let issued = live.issue(Grant::new("alice")).await.unwrap();
    let key = issued.secret().expose();
    assert_eq!(verdict(&live, key).await, Ok("alice".to_owned()));
    assert_eq!(verdict(&test, key).await, invalid(InvalidCause::Malformed));
}

#[tokio::test]
async fn r31_a_store_that_ignores_the_realm_opens_nothing() {
    let store = MemoryStore::new();
    let orders = super::ring_over(&store, "orders");
    let issued = orders.issue(Grant::new("alice")).await.unwrap();
    let realm = Realm::new("orders").unwrap();
    for pending in [false, true] {
        let realm = realm.clone();
        let careless =
            Tapped::new(&store).on_find(move |store, _, digest| match store.find(&realm, digest) {
                Lookup::Ready(found) if pending => Lookup::Pending(Box::pin(async { found })),
                lookup => lookup,
            });
        let billing = KeyRing::builder("acme")
            .realm("billing")
            .build(careless)
            .unwrap();
        let key = issued.secret().expose();
        assert_eq!(
            verdict(&billing, key).await,
            invalid(InvalidCause::OtherRealm)
        );
    }
}

#[tokio::test]
async fn a_store_that_answers_with_another_record_opens_nothing() {
    let store = MemoryStore::new();
    let ring = super::ring_over(&store, "orders");
    let [one, other] = [
        ring.issue(Grant::new("alice")).await.unwrap(),
        ring.issue(Grant::new("bob")).await.unwrap(),
    ];
    let wrong = *other.record().digest();
    let confused = Tapped::new(&store).on_find(move |store, realm, _| store.find(realm, &wrong));
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .build(confused)
        .unwrap();
    let (one, other) = (one.secret().expose(), other.secret().expose());
    // This is not a verdict on the key, but an error of the store.
    assert_eq!(
        verdict(&ring, one).await,
        Err(VerifyErrorKind::StoreUnavailable)
    );
    assert_eq!(verdict(&ring, other).await, Ok("bob".to_owned()));
}
