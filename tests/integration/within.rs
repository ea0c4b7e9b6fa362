//! The order of the records of one key (invariants 1, 2 and 14), and the stores that keep to it.

use std::sync::Arc;

use proptest::prelude::*;
use tower_api_key::store::{Change, Freshness, Index, MemoryStore, StoreErrorKind, Write};
use tower_api_key::{
    Caveats, KeyDigest, KeyRecord, KeyRecordParts, Realm, Revocation, RevocationReason, ScopeSet,
    Timestamp,
};

/// A small number of values for each field, so that many records are within others.
fn any_record() -> impl Strategy<Value = KeyRecord> {
    let end = || proptest::option::of(0_u64..3);
    let caveats = proptest::sample::subsequence(vec!["a=1", "b", "net=10.0.0.0/8"], 0..=3);
    let scopes = proptest::sample::subsequence(vec!["read", "write", "admin"], 0..=3);
    let others = (any::<bool>(), 1_u64..4, proptest::option::of("[xy]"));
    (scopes, caveats, 0_u64..3, end(), end(), others).prop_map(
        |(scopes, caveats, not_before, expires_at, grace_ends_at, (is_revoked, version, label))| {
            let mut parts = parts();
            parts.scopes = ScopeSet::new(scopes).unwrap();
            parts.caveats = caveats.join(" ").parse::<Caveats>().unwrap();
            parts.not_before = Timestamp::from_unix(not_before);
            parts.expires_at = expires_at.map(Timestamp::from_unix);
            parts.grace_ends_at = grace_ends_at.map(Timestamp::from_unix);
            parts.revocation = is_revoked.then_some(revocation());
            parts.version = version;
            parts.label = label.map(|label| label.parse().unwrap());
            parts.into()
        },
    )
}

fn parts() -> KeyRecordParts {
    let realm = Realm::new("orders").unwrap();
    let (id, digest) = ("AAAAAAAAAAAA".parse().unwrap(), KeyDigest::sha256(b"a"));
    KeyRecordParts::new(
        id,
        realm,
        digest,
        "alice".parse().unwrap(),
        Timestamp::from_unix(0),
    )
}

fn revocation() -> Revocation {
    Revocation::new(Timestamp::from_unix(7), RevocationReason::KeyCompromise)
}

/// What a key allows: the scopes at each time, if no caveat is added to those of the other record.
fn allowed(record: &KeyRecord, at: u64, scope: &str) -> bool {
    record.is_live_at(Timestamp::from_unix(at)) && record.scopes().contains(scope)
}

proptest! {
    #[test]
    fn invariant_1_the_order_is_one_of_authority(
        one in any_record(),
        two in any_record(),
        three in any_record(),
    ) {
        prop_assert!(one.is_within(&one));
        if one.is_within(&two) && two.is_within(&three) {
            prop_assert!(one.is_within(&three));
        }
        if one.is_within(&two) {
            for at in 0..4 {
                for scope in ["read", "write", "admin"] {
                    prop_assert!(!allowed(&one, at, scope) || allowed(&two, at, scope));
                }
            }
            for caveat in two.caveats().iter() {
                prop_assert!(one.caveats().iter().any(|own| own == caveat));
            }
        }
    }

    #[test]
    fn invariant_1_the_meet_is_the_largest_record_within_both(
        one in any_record(),
        two in any_record(),
        three in any_record(),
    ) {
        let both = one.meet(&two).unwrap();
        prop_assert!(both.is_within(&one) && both.is_within(&two));
        let lower = three.is_within(&one) && three.is_within(&two);
        prop_assert_eq!(lower, three.is_within(&both));
        prop_assert_eq!(one.is_within(&two), one.is_within(&both));
        let other = two.meet(&one).unwrap();
        prop_assert!(both.is_within(&other) && other.is_within(&both));
    }

    /// Rules 21 and 22: late answers, and those of a database that has gone back and on in another way.
    #[test]
    fn r22_an_index_never_widens_a_key(records in proptest::collection::vec(any_record(), 1..6)) {
        let index = Index::new(Freshness::always());
        let mut newest = 0;
        for (number, record) in records.iter().enumerate() {
            index.put(record.clone());
            newest = newest.max(record.version());
            let held = index.find(record.realm(), record.digest()).unwrap().unwrap();
            for earlier in &records[..=number] {
                prop_assert!(held.is_within(earlier));
            }
            prop_assert_eq!(held.version(), newest);
        }
    }

    #[test]
    fn invariant_1_the_store_in_memory_widens_no_key(one in any_record(), two in any_record()) {
        let store = MemoryStore::new();
        store.apply(&Change::new(vec![Write::new(one.clone())])).unwrap();
        let write = Write::next(&one, |parts| *parts = two.to_parts());
        let written = store.apply(&Change::new(vec![write]));
        prop_assert_eq!(written.is_ok(), two.is_within(&one));
    }
}

fn edited(record: &KeyRecord, edit: impl FnOnce(&mut KeyRecordParts)) -> KeyRecord {
    let mut parts = record.to_parts();
    edit(&mut parts);
    parts.into()
}

fn held(index: &Index, record: &KeyRecord) -> Arc<KeyRecord> {
    index
        .find(record.realm(), record.digest())
        .unwrap()
        .unwrap()
}

#[test]
fn r22_a_late_revocation_is_not_lost() {
    let index = Index::new(Freshness::always());
    let newer = edited(&parts().into(), |parts| {
        parts.version = 5;
        parts.label = Some("newer".parse().unwrap());
    });
    let late = edited(&parts().into(), |parts| {
        parts.version = 3;
        parts.revocation = Some(revocation());
    });
    index.put(newer.clone());
    index.put(late);
    let expected = edited(&newer, |parts| parts.revocation = Some(revocation()));
    assert_eq!(*held(&index, &newer), expected);
}

#[test]
fn r27_an_index_ends_a_key_if_no_set_can_hold_its_caveats() {
    let index = Index::new(Freshness::always());
    for letter in ["a", "b"] {
        let texts: Vec<String> = (0..3)
            .map(|number| format!("{number}={}", letter.repeat(1_000)))
            .collect();
        let record = edited(&parts().into(), |parts| {
            parts.expires_at = None;
            parts.caveats = texts.join(" ").parse().unwrap();
        });
        index.put(record.clone());
        let is_revoked = held(&index, &record).revocation().is_some();
        assert_eq!(is_revoked, letter == "b");
    }
}

#[test]
fn r21_another_key_with_the_digest_of_one_that_is_held_is_left_out() {
    let index = Index::new(Freshness::always());
    let first = KeyRecord::from(parts());
    index.put(first.clone());
    let other = edited(&first, |parts| {
        parts.subject = "bob".parse().unwrap();
        parts.version = 9;
    });
    index.put(other.clone());
    assert_eq!(*held(&index, &first), first);
    assert!(index.remove(first.digest(), first.version()));
    index.put(other.clone());
    assert_eq!(*held(&index, &first), other);
}

#[test]
fn r21_a_revoked_key_ends_another_one_with_its_digest() {
    let index = Index::new(Freshness::always());
    let first = KeyRecord::from(parts());
    index.put(first.clone());
    // The database went back before an import, and the key was imported again.
    let other = edited(&first, |parts| {
        parts.id = "BBBBBBBBBBBB".parse().unwrap();
        parts.revocation = Some(revocation());
    });
    index.put(other.clone());
    let ended = held(&index, &first);
    assert_eq!(ended.id(), first.id());
    assert!(ended.revocation().is_some());
    index.put(other);
    assert_eq!(held(&index, &first), ended);
}

#[test]
fn the_store_in_memory_says_what_a_write_would_gain() {
    let store = MemoryStore::new();
    let record = KeyRecord::from(parts());
    let write = |edit: fn(&mut KeyRecordParts)| {
        let error = store
            .apply(&Change::new(vec![Write::next(&record, edit)]))
            .unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        (error.kind(), source.unwrap_or_default())
    };
    store
        .apply(&Change::new(vec![Write::new(record.clone())]))
        .unwrap();
    let (kind, source) = write(|parts| parts.scopes = "admin".parse().unwrap());
    assert_eq!(kind, StoreErrorKind::Unavailable);
    assert_eq!(source, "scopes: the authority of a key only shrinks");
    let (kind, _) = write(|parts| parts.generation = 1);
    assert_eq!(kind, StoreErrorKind::Conflict);
}
