//! Issuing, verifying, revoking, getting and listing, without any HTTP.

mod concurrency;
mod errors;
mod imports;
mod lifetimes;
mod peppers;
mod realms;
pub(crate) mod stores;

use std::collections::BTreeMap;
use std::time::Duration;

use tower_api_key::store::{Cursor, ListQuery, MemoryStore};
use tower_api_key::{
    ErrorKind, Grant, InvalidCause, KeyId, KeyRecord, KeyRing, KeyState, Label, Metadata,
    Revocation, RevocationReason, Timestamp, VerifyError, VerifyErrorKind,
};

use crate::support::{START, issue, ring, ring_and_clock};

const DAY: Duration = Duration::from_hours(24);

fn ring_over(store: &MemoryStore, realm: &str) -> KeyRing {
    KeyRing::builder("acme")
        .realm(realm)
        .build(store.clone())
        .unwrap()
}

/// The verdict of a ring on a key: its subject, or the kind of the error.
async fn verdict(ring: &KeyRing, key: &str) -> Result<String, VerifyErrorKind> {
    ring.verify(key.as_bytes())
        .await
        .map(|key| key.subject().to_string())
        .map_err(|error| error.kind())
}

fn invalid<T>(cause: InvalidCause) -> Result<T, VerifyErrorKind> {
    Err(VerifyErrorKind::Invalid(cause))
}

#[tokio::test]
async fn an_issued_key_verifies_as_what_was_granted() {
    let (ring, clock) = ring_and_clock();
    let grant = Grant::new("alice")
        .scopes(["write", "read"])
        .expires_in(DAY)
        .label("laptop")
        .metadata([("tier", "gold"), ("region", "eu")]);
    let issued = ring.issue(grant).await.unwrap();
    let metadata = Metadata::new([("region", "eu"), ("tier", "gold")]).unwrap();

    let parts = issued.record().to_parts();
    assert_eq!(parts.realm.as_str(), "orders");
    assert_eq!(parts.subject, "alice");
    assert_eq!(parts.scopes.as_str(), "read write");
    assert_eq!((parts.issued_at, parts.not_before), (START, START));
    assert_eq!(parts.expires_at, START.checked_add(DAY));
    assert_eq!((parts.grace_ends_at, parts.revocation), (None, None));
    assert_eq!(
        (parts.pepper_version, parts.generation, parts.version),
        (None, 0, 1)
    );
    assert_eq!(parts.lineage, parts.id);
    assert_eq!(parts.label.as_ref().map(Label::as_str), Some("laptop"));
    assert_eq!(parts.metadata, metadata);
    assert_eq!(KeyRecord::from(parts), **issued.record());

    let key = issued.secret().expose().as_bytes();
    let verified = ring.verify(key).await.unwrap();
    assert_eq!(verified.id(), issued.record().id());
    assert_eq!(verified.lineage(), issued.record().id());
    assert_eq!(verified.realm(), ring.realm());
    assert_eq!(verified.subject(), "alice");
    assert_eq!(verified.scopes().as_str(), "read write");
    assert_eq!(verified.valid_until(), START.checked_add(DAY));
    assert_eq!(verified.label().map(Label::as_str), Some("laptop"));
    assert_eq!(verified.metadata(), &metadata);

    clock.advance(DAY);
    let error = ring.verify(key).await.map(|_| ()).unwrap_err();
    assert_eq!(
        error.kind(),
        VerifyErrorKind::Invalid(InvalidCause::Expired)
    );
    assert_eq!(error.key_id(), Some(issued.record().id()));
}

#[tokio::test]
async fn a_key_of_this_shape_that_was_never_issued_is_unknown() {
    let issued = issue(&ring(), "read").await;
    let error: VerifyError = ring()
        .verify(issued.secret().expose().as_bytes())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(
        error.kind(),
        VerifyErrorKind::Invalid(InvalidCause::Unknown)
    );
    assert_eq!(error.key_id(), None);
    assert_eq!(error.claimed_key_id(), Some(issued.record().id()));
    for presented in ["", "acme", "acme_", "x"] {
        assert_eq!(
            verdict(&ring(), presented).await,
            invalid(InvalidCause::Malformed)
        );
    }
}

#[tokio::test]
async fn revoking_is_seen_at_once_and_done_once() {
    let (ring, clock) = ring_and_clock();
    let issued = issue(&ring, "read").await;
    let (id, key) = (issued.record().id(), issued.secret().expose());
    assert_eq!(verdict(&ring, key).await, Ok("alice".to_owned()));

    clock.advance(DAY);
    ring.revoke(id, RevocationReason::KeyCompromise)
        .await
        .unwrap();
    assert_eq!(verdict(&ring, key).await, invalid(InvalidCause::Revoked));
    let revoked = ring.get(id).await.unwrap().unwrap();
    let first = Revocation::new(
        START.checked_add(DAY).unwrap(),
        RevocationReason::KeyCompromise,
    );
    assert_eq!((revoked.revocation(), revoked.version()), (Some(first), 2));
    assert_eq!(revoked.valid_until(), Timestamp::from_unix(0));
    assert_eq!(revoked.state_at(START), KeyState::Revoked);

    // With another reason later, the first reason stays.
    clock.advance(DAY);
    ring.revoke(id, RevocationReason::Superseded).await.unwrap();
    assert_eq!(ring.get(id).await.unwrap().unwrap(), revoked);

    // Revocation is terminal, at any reading of the clock.
    clock.set(START);
    assert_eq!(verdict(&ring, key).await, invalid(InvalidCause::Revoked));
}

#[tokio::test]
async fn revoking_one_key_leaves_the_others_alone() {
    let ring = ring();
    let (one, other) = (issue(&ring, "read").await, issue(&ring, "read").await);
    ring.revoke(one.record().id(), RevocationReason::Unspecified)
        .await
        .unwrap();
    assert_eq!(
        verdict(&ring, one.secret().expose()).await,
        invalid(InvalidCause::Revoked)
    );
    assert_eq!(
        verdict(&ring, other.secret().expose()).await,
        Ok("alice".to_owned())
    );
    assert_eq!(
        ring.get(other.id()).await.unwrap().as_ref(),
        Some(other.record())
    );
}

#[tokio::test]
async fn r31_a_ring_neither_shows_nor_revokes_keys_of_another_realm() {
    let store = MemoryStore::new();
    let (orders, billing) = (ring_over(&store, "orders"), ring_over(&store, "billing"));
    let issued = issue(&orders, "read").await;
    let id = issued.record().id();

    assert_eq!(billing.get(id).await.unwrap(), None);
    assert_eq!(billing.list(&ListQuery::new()).await.unwrap().records(), []);
    for (ring, id) in [(&billing, id), (&orders, "0123456789AB".parse().unwrap())] {
        let error = ring
            .revoke(id, RevocationReason::KeyCompromise)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert_eq!(
        verdict(&orders, issued.secret().expose()).await,
        Ok("alice".to_owned())
    );
}

#[tokio::test]
async fn listing_pages_through_one_realm_in_the_order_of_ids() {
    let store = MemoryStore::new();
    let (orders, billing) = (ring_over(&store, "orders"), ring_over(&store, "billing"));
    let mut ids: BTreeMap<&str, Vec<KeyId>> = BTreeMap::new();
    for number in 0..30 {
        let subject = if number % 3 == 0 { "bob" } else { "alice" };
        let issued = orders.issue(Grant::new(subject)).await.unwrap();
        ids.entry(subject).or_default().push(issued.record().id());
        billing.issue(Grant::new(subject)).await.unwrap();
    }
    let listed = async |query: ListQuery| -> Vec<KeyId> {
        let records = orders.list(&query).await.unwrap();
        records.iter().map(|record| record.id()).collect()
    };
    let sorted = |mut ids: Vec<KeyId>| {
        ids.sort_unstable();
        ids
    };
    let all = sorted(ids.values().flatten().copied().collect());

    assert_eq!(listed(ListQuery::new()).await, all);
    assert_eq!(billing.list(&ListQuery::new()).await.unwrap().len(), 30);
    for subject in ["alice", "bob"] {
        let expected = sorted(ids[subject].clone());
        assert_eq!(listed(ListQuery::new().subject(subject)).await, expected);
    }
    for nobody in ["", "Alice", "alice ", "carol"] {
        assert_eq!(listed(ListQuery::new().subject(nobody)).await, []);
    }
    for &id in &all {
        assert_eq!(listed(ListQuery::new().lineage(id)).await, [id]);
        let after = Cursor::new(id, START);
        assert_eq!(listed(ListQuery::new().lineage(id).after(after)).await, []);
    }
    assert_eq!(listed(ListQuery::new().limit(0)).await, []);
    for size in [1, 7, 30, 31] {
        let mut paged = Vec::new();
        let mut query = ListQuery::new().limit(size);
        loop {
            let page = orders.list(&query).await.unwrap();
            assert!(
                page.len() <= size,
                "a page of {} with limit {size}",
                page.len()
            );
            paged.extend(page.iter().map(|record| record.id()));
            let Some(next) = page.next() else { break };
            query = query.after(next);
        }
        assert_eq!(paged, all, "pages of {size}");
    }

    // A revoked key is still on the list.
    orders
        .revoke(all[0], RevocationReason::Superseded)
        .await
        .unwrap();
    assert_eq!(listed(ListQuery::new()).await, all);
}

#[tokio::test]
async fn a_subject_is_1_to_256_bytes_without_control_characters() {
    let ring = ring();
    for subject in [
        "a",
        "Ålice",
        "a b",
        "user:42",
        &"a".repeat(256),
        &"é".repeat(128),
    ] {
        let issued = ring.issue(Grant::new(subject)).await.unwrap();
        assert_eq!(issued.record().subject(), subject);
    }
    let count = ring.list(&ListQuery::new()).await.unwrap().len();
    for subject in [
        "",
        "\0",
        "a\nb",
        "a\tb",
        "a\u{7f}",
        "a\u{85}b",
        &"a".repeat(257),
        &"é".repeat(129),
    ] {
        let error = ring
            .issue(Grant::new(subject))
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSubject, "{subject:?}");
    }
    assert_eq!(ring.list(&ListQuery::new()).await.unwrap().len(), count);
}
