//! Builders take texts and parsed values alike, and report the first error when they are used.

use std::collections::BTreeMap;

use tower_api_key::store::{ListQuery, MemoryStore};
use tower_api_key::{
    CaveatKind, Caveats, Error, ErrorKind, Grant, Import, KeyPrefix, KeyRing, Label, Metadata,
    Narrowing, Realm, ScopeSet, Subject,
};

use crate::support::{issue, ring};

const NET: &str = "net=10.0.0.0/8";

fn is_made_of_lists<T>(members: [&str; 2], wrong: &str, kind: ErrorKind)
where
    T: std::fmt::Debug + PartialEq + for<'a> TryFrom<&'a str, Error = Error>,
    T: for<'a> TryFrom<[&'a str; 2], Error = Error>,
    T: for<'a> TryFrom<&'a [&'a str; 2], Error = Error>,
    T: for<'a> TryFrom<&'a [&'a str], Error = Error>,
    T: TryFrom<Vec<String>, Error = Error> + for<'a> TryFrom<&'a Vec<String>, Error = Error>,
{
    let made = |members: [&str; 2]| {
        let owned = members.map(str::to_owned).to_vec();
        [
            T::try_from(members),
            T::try_from(&members),
            T::try_from(members.as_slice()),
            T::try_from(&owned),
            T::try_from(owned),
        ]
    };
    let set = T::try_from(members.join(" ").as_str()).unwrap();
    for same in made(members) {
        assert_eq!(same.unwrap(), set);
    }
    // Each text of a list is one member, with or without another that is right.
    let two = members.join(" ");
    for texts in [[members[0], wrong], [wrong, members[1]], [members[0], &two]] {
        for refused in made(texts) {
            assert_eq!(refused.unwrap_err().kind(), kind, "{texts:?}");
        }
    }
}

#[test]
fn a_set_is_made_of_lists_of_its_members() {
    is_made_of_lists::<ScopeSet>(["read", "write"], "", ErrorKind::InvalidScope);
    let unknown = "moon=full";
    is_made_of_lists::<Caveats>([NET, "net=::/0"], unknown, ErrorKind::InvalidCaveat);
}

#[tokio::test]
async fn a_grant_of_texts_is_that_of_parsed_values() {
    let ring = KeyRing::builder("acme".parse::<KeyPrefix>().unwrap())
        .realm(Realm::new("orders").unwrap())
        .grantable_scopes(ScopeSet::new(["read", "write"]).unwrap())
        .grantable_caveats([CaveatKind::Net])
        .build(MemoryStore::new())
        .unwrap();
    let texts = Grant::new("alice")
        .scopes("write read")
        .caveats([NET])
        .label("laptop")
        .metadata([("team", "blue")]);
    let parsed = Grant::new(Subject::new("alice").unwrap())
        .scopes(ScopeSet::new(["read", "write"]).unwrap())
        .caveats(Caveats::new([NET]).unwrap())
        .label(Label::new("laptop").unwrap())
        .metadata(Metadata::new([("team", "blue")]).unwrap());
    let [texts, parsed] = [
        ring.issue(texts).await.unwrap().record().to_parts(),
        ring.issue(parsed).await.unwrap().record().to_parts(),
    ];
    assert_eq!(texts.subject, parsed.subject);
    assert_eq!(texts.scopes, parsed.scopes);
    assert_eq!(texts.scopes.as_str(), "read write");
    assert_eq!(texts.caveats, parsed.caveats);
    assert_eq!(texts.caveats.as_str(), NET);
    assert_eq!(texts.label, parsed.label);
    assert_eq!(texts.metadata, parsed.metadata);
}

/// A part that is right does not heal one that was not, be it of the same name.
#[tokio::test]
async fn the_operation_reports_the_first_error_of_a_grant() {
    let ring = KeyRing::builder("acme")
        .grantable_caveats([CaveatKind::Net])
        .accept_imports()
        .build(MemoryStore::new())
        .unwrap();
    let alice = || Grant::new("alice");
    let long = BTreeMap::from([("a".to_owned(), "\0".to_owned())]);
    for (grant, kind) in [
        (alice().scopes("a  b").scopes("a"), ErrorKind::InvalidScope),
        (alice().scopes(["a b"]).label("\n"), ErrorKind::InvalidScope),
        (
            alice().caveats(["moon=full"]).caveats([NET]),
            ErrorKind::InvalidCaveat,
        ),
        (alice().caveats("moon=full"), ErrorKind::InvalidCaveat),
        (alice().label("\n").scopes([""]), ErrorKind::InvalidLabel),
        (
            alice().metadata(long).label("laptop"),
            ErrorKind::InvalidMetadata,
        ),
        (Grant::new("").scopes([""]), ErrorKind::InvalidSubject),
    ] {
        let error = ring.issue(grant.clone()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{grant:?}");
        let import = Import::new(grant.clone().never_expires());
        let plaintext = "k-4f9A7YqZr01mLw8Vx6pTe2Nd";
        let error = ring.import_plaintext(import, plaintext).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{grant:?}");
        let held = ring.list(&ListQuery::new()).await.unwrap();
        assert!(held.is_empty(), "{grant:?}");

        let other = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
        let old = issue(&other, "read").await;
        let error = other.regrant(old.id(), grant.clone()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{grant:?}");
        let same = other.get(old.id()).await.unwrap();
        assert_eq!(same.as_ref(), Some(old.record()), "{grant:?}");
    }
}

/// The parts of a narrowing that are right are not taken without those that are not.
#[tokio::test]
async fn a_narrowing_with_an_error_takes_nothing() {
    let ring = ring();
    let issued = issue(&ring, "read write").await;
    let to_read = || Narrowing::new().to_scopes("read");
    for (narrowing, kind) in [
        (
            Narrowing::new().to_scopes("a  b").to_scopes("read"),
            ErrorKind::InvalidScope,
        ),
        (to_read().with_caveats(["net"]), ErrorKind::InvalidCaveat),
        (
            to_read()
                .with_caveats(["net"])
                .with_caveats(Caveats::none()),
            ErrorKind::InvalidCaveat,
        ),
        (
            Narrowing::new().with_caveats("\n").to_scopes(["a b"]),
            ErrorKind::InvalidCaveat,
        ),
    ] {
        let error = ring.narrow(issued.id(), narrowing).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        let same = ring.get(issued.id()).await.unwrap();
        assert_eq!(same.as_ref(), Some(issued.record()));
    }
    let narrowed = ring.narrow(issued.id(), to_read()).await.unwrap();
    assert_eq!(narrowed.scopes().as_str(), "read");
}

#[test]
fn a_ring_reports_the_first_error_when_it_is_built() {
    let acme = || KeyRing::builder("acme");
    for (builder, kind) in [
        (KeyRing::builder("Acme").realm(""), ErrorKind::InvalidPrefix),
        (acme().realm("\"").realm("orders"), ErrorKind::InvalidRealm),
        (
            acme().realm("").grantable_scopes([""]),
            ErrorKind::InvalidRealm,
        ),
        (
            acme().grantable_scopes([""]).realm(""),
            ErrorKind::InvalidScope,
        ),
        (
            acme().grantable_scopes("a  b").grantable_scopes("a"),
            ErrorKind::InvalidScope,
        ),
        (
            acme().grantable_scopes(["a b"]).max_keys_per_subject(0),
            ErrorKind::InvalidScope,
        ),
    ] {
        let error = builder.build(MemoryStore::new()).unwrap_err();
        assert_eq!(error.kind(), kind);
    }
}
