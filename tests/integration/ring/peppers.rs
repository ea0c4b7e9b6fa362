//! Digests with a secret outside the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tower_api_key::store::{KeyStore, Lookup, MemoryStore, StoreErrorKind};
use tower_api_key::{
    Error, ErrorKind, Grant, InvalidCause, Issued, KeyRing, Pepper, VerifyErrorKind,
};

use super::stores::Tapped;
use super::{invalid, verdict};

/// A pepper whose bytes are its version.
fn pepper(version: u8) -> Pepper {
    Pepper::new(version.into(), vec![version; 32]).unwrap()
}

fn build(peppers: &[u8], store: impl KeyStore) -> Result<KeyRing, Error> {
    let mut builder = KeyRing::builder("acme");
    if let Some((&current, earlier)) = peppers.split_first() {
        builder = builder.pepper(pepper(current));
        for &earlier in earlier {
            builder = builder.earlier_pepper(pepper(earlier));
        }
    }
    builder.build(store)
}

/// A key of a ring with these peppers, the current one first.
async fn issue(peppers: &[u8], store: &MemoryStore) -> Issued {
    let ring = build(peppers, store.clone()).unwrap();
    ring.issue(Grant::new("alice")).await.unwrap()
}

#[tokio::test]
async fn r08_a_digest_is_the_hmac_under_the_current_pepper() {
    let store = MemoryStore::new();
    for (peppers, version) in [(vec![3], 3), (vec![4, 3], 4)] {
        let issued = issue(&peppers, &store).await;
        let mut expected = Hmac::<Sha256>::new_from_slice(&[version; 32]).unwrap();
        expected.update(issued.secret().expose().as_bytes());
        let expected: [u8; 32] = expected.finalize().into_bytes().into();
        assert_eq!(issued.record().digest().as_bytes(), &expected);
        assert_eq!(issued.record().pepper_version(), Some(version.into()));
    }
    assert_eq!(issue(&[], &store).await.record().pepper_version(), None);
}

#[tokio::test]
async fn r08_every_row_under_every_choice_of_peppers() {
    let rows: [&[u8]; 4] = [&[], &[1], &[2], &[3]];
    let rings: [&[u8]; 9] = [
        &[],
        &[1],
        &[2],
        &[2, 1],
        &[1, 2],
        &[3, 2, 1],
        &[3, 1, 2],
        &[9],
        &[9, 8],
    ];
    let store = MemoryStore::new();
    for made in rows {
        let issued = issue(made, &store).await;
        for peppers in rings {
            // A row without a pepper is verified by no ring with one, and the reverse.
            let known = match made {
                [] => peppers.is_empty(),
                [version, ..] => peppers.contains(version),
            };
            let expected = if known {
                Ok("alice".to_owned())
            } else {
                invalid(InvalidCause::Unknown)
            };
            let stores = [
                ("ready", Tapped::new(&store)),
                ("pending", Tapped::new(&store).pending()),
                ("first ready", in_turn(&store, 0)),
                ("first pending", in_turn(&store, 1)),
            ];
            for (kind, tapped) in stores {
                let ring = build(peppers, tapped).unwrap();
                assert_eq!(
                    verdict(&ring, issued.secret().expose()).await,
                    expected,
                    "a row of {made:?} under {peppers:?}, {kind}"
                );
            }
        }
    }
}

/// A store that answers every other look-up later.
fn in_turn(store: &MemoryStore, first: usize) -> Tapped {
    let calls = AtomicUsize::new(first);
    Tapped::new(store).on_find(move |store, realm, digest| {
        match (
            store.find(realm, digest),
            calls.fetch_add(1, Ordering::Relaxed) % 2,
        ) {
            (Lookup::Ready(found), 1) => Lookup::Pending(Box::pin(async { found })),
            (lookup, _) => lookup,
        }
    })
}

#[tokio::test]
async fn r08_the_version_alone_is_no_pepper() {
    let store = MemoryStore::new();
    let issued = issue(&[1], &store).await;
    let impostor = KeyRing::builder("acme")
        .pepper(Pepper::new(1, vec![0xff; 32]).unwrap())
        .build(store)
        .unwrap();
    let key = issued.secret().expose();
    assert_eq!(
        verdict(&impostor, key).await,
        invalid(InvalidCause::Unknown)
    );
}

#[tokio::test]
async fn r08_a_known_key_costs_one_look_up_and_an_unknown_one_for_each_pepper() {
    let store = MemoryStore::new();
    let known = issue(&[3], &store).await;
    let earlier = issue(&[1], &store).await;
    let unknown = issue(&[3], &MemoryStore::new()).await;
    for (issued, peppers, expected) in [
        (&known, [3, 2, 1].as_slice(), 1),
        (&earlier, &[3, 1, 2], 2),
        (&earlier, &[3, 2, 1], 3),
        (&unknown, &[3, 2, 1], 3),
        (&unknown, &[3], 1),
        (&unknown, &[], 1),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let calls = Arc::clone(&count);
        let counted = Tapped::new(&store).on_find(move |store, realm, digest| {
            calls.fetch_add(1, Ordering::Relaxed);
            store.find(realm, digest)
        });
        let ring = build(peppers, counted).unwrap();
        let _ = verdict(&ring, issued.secret().expose()).await;
        assert_eq!(count.load(Ordering::Relaxed), expected, "{peppers:?}");
    }
}

#[tokio::test]
async fn r08_an_outage_or_a_dead_key_ends_the_search() {
    let store = MemoryStore::new();
    let issued = issue(&[1], &store).await;
    let key = issued.secret().expose();

    // The first look-up fails. It does not matter that the second would have found the key.
    for pending in [false, true] {
        let calls = AtomicUsize::new(0);
        let failing = Tapped::new(&store).on_find(move |store, realm, digest| {
            if calls.fetch_add(1, Ordering::Relaxed) > 0 {
                return store.find(realm, digest);
            }
            let failed = Err(StoreErrorKind::Unavailable.into());
            if pending {
                Lookup::Pending(Box::pin(async { failed }))
            } else {
                Lookup::Ready(failed)
            }
        });
        let ring = build(&[2, 1], failing).unwrap();
        assert_eq!(
            verdict(&ring, key).await,
            Err(VerifyErrorKind::StoreUnavailable)
        );
        assert_eq!(verdict(&ring, key).await, Ok("alice".to_owned()));
    }

    let ring = build(&[2, 1], store.clone()).unwrap();
    let reason = tower_api_key::RevocationReason::CessationOfOperation;
    ring.revoke(issued.record().id(), reason).await.unwrap();
    for tapped in [Tapped::new(&store), Tapped::new(&store).pending()] {
        let ring = build(&[3, 1, 2], tapped).unwrap();
        assert_eq!(verdict(&ring, key).await, invalid(InvalidCause::Revoked));
    }
}

#[tokio::test]
async fn r08_peppers_that_cannot_work_are_refused() {
    for length in [0, 1, 16, 31] {
        let error = Pepper::new(1, vec![1; length]).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPepper, "{length} bytes");
    }
    for length in [32, 33, 64, 65, 200] {
        let peppered = KeyRing::builder("acme")
            .pepper(Pepper::new(u32::MAX, vec![1; length]).unwrap())
            .build(MemoryStore::new())
            .unwrap();
        let issued = peppered.issue(Grant::new("alice")).await.unwrap();
        let key = issued.secret().expose();
        assert_eq!(verdict(&peppered, key).await, Ok("alice".to_owned()));
    }
    for peppers in [[1, 1].as_slice(), &[2, 1, 1], &[2, 1, 2]] {
        let error = build(peppers, MemoryStore::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPepper, "{peppers:?}");
    }
    // Only earlier ones: new keys would be stored without a pepper.
    let alone = KeyRing::builder("acme").earlier_pepper(pepper(1));
    let error = alone.build(MemoryStore::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidPepper);
}

#[test]
fn r08_debug_of_a_pepper_shows_its_version_alone() {
    let shown = "Pepper { version: 7, .. }";
    assert_eq!(format!("{:?}", pepper(7)), shown);
    let builder = KeyRing::builder("acme").pepper(pepper(7));
    let debug = format!("{builder:?}");
    assert!(debug.contains(shown), "{debug}");
    assert!(!debug.contains("7, 7"), "{debug}");
}
