//! Tokens of Laravel Sanctum, by its stored hash of their part after the `|`.

use std::fmt::Write as _;

use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ErrorKind, Import, InvalidCause, KeyDigest, KeyRing, KeyRingBuilder, ManualClock, OldKey,
    Pepper,
};

use super::{grant, invalid, verdict};
use crate::support::START;

const TOKEN: &str = "VSwn9FCqLFivSUGJKMukhq7kcrnXDK8h6JQmleJX97994aca";

fn ring(store: &MemoryStore, build: impl FnOnce(KeyRingBuilder) -> KeyRingBuilder) -> KeyRing {
    let builder = KeyRing::builder("acme").clock(ManualClock::new(START));
    build(builder).build(store.clone()).unwrap()
}

fn row(id: &str) -> (Import, OldKey) {
    (
        grant().into(),
        OldKey::sanctum(id, KeyDigest::sha256(TOKEN.as_bytes())),
    )
}

async fn import(ring: &KeyRing, id: &str) -> Result<bool, ErrorKind> {
    let mut results = ring.import_many([row(id)]).await.unwrap();
    let result = results.remove(0).map(|imported| imported.was_present());
    result.map_err(|error| error.kind())
}

#[tokio::test]
async fn r29_every_byte_of_the_id_and_of_the_token_counts() {
    let store = MemoryStore::new();
    let ring = ring(&store, KeyRingBuilder::accept_sanctum_tokens);
    let uuid = "9d7a4c1e-0b2f-4c58-8d3e-5a6b7c8d9e0f";
    for id in ["42", uuid, "01HZY3K5Q8W2"] {
        assert_eq!(import(&ring, id).await, Ok(false));
        assert_eq!(import(&ring, id).await, Ok(true));
        let key = format!("{id}|{TOKEN}");
        assert_eq!(verdict(&ring, &key).await, Ok("alice".to_owned()));
        for at in 0..key.len() {
            let mut other = key.clone().into_bytes();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(
                verdict(&ring, &other).await,
                invalid(InvalidCause::Unknown),
                "{at}"
            );
        }
        for other in [
            TOKEN.to_owned(),
            format!("|{TOKEN}"),
            format!("0{key}"),
            format!("{key}|"),
            format!("{id}||{TOKEN}"),
            format!("7|{TOKEN}"),
        ] {
            assert_eq!(
                verdict(&ring, &other).await,
                invalid(InvalidCause::Unknown),
                "{other}"
            );
        }
    }
}

/// A reader of Sanctum's table has the id and the hash, but no key.
#[tokio::test]
async fn r08_the_hash_that_sanctum_keeps_is_no_key() {
    let ring = ring(&MemoryStore::new(), KeyRingBuilder::accept_sanctum_tokens);
    import(&ring, "42").await.unwrap();
    let hash = KeyDigest::sha256(TOKEN.as_bytes());
    let hex = hash.as_bytes().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    for key in [
        hex.clone(),
        format!("42|{hex}"),
        format!("42|{}", hex.to_uppercase()),
    ] {
        assert_eq!(verdict(&ring, &key).await, invalid(InvalidCause::Unknown));
    }
    // The digested bytes contain some that no presented key can have.
    let mut message = b"laravel sanctum\0".to_vec();
    message.extend_from_slice(b"42|");
    message.extend_from_slice(hash.as_bytes());
    let verdict = ring.verify(&message).await.unwrap_err();
    let malformed = tower_api_key::VerifyErrorKind::Invalid(InvalidCause::Malformed);
    assert_eq!(verdict.kind(), malformed);
}

#[tokio::test]
async fn only_a_ring_that_says_so_takes_them() {
    let store = MemoryStore::new();
    let plain = ring(&store, KeyRingBuilder::accept_imports);
    assert_eq!(import(&plain, "42").await, Err(ErrorKind::ImportRefused));
    let sanctum = ring(&store, KeyRingBuilder::accept_sanctum_tokens);
    import(&sanctum, "42").await.unwrap();
    let key = format!("42|{TOKEN}");
    assert_eq!(verdict(&plain, &key).await, invalid(InvalidCause::Unknown));
    for id in ["", "4 2", "4|2", "4,2", &"4".repeat(37)] {
        assert_eq!(
            import(&sanctum, id).await,
            Err(ErrorKind::InvalidPlaintext),
            "{id}"
        );
    }
    // The whole text as it is presented is a plaintext, and is found both as a plaintext and by its
    // hash.
    let whole = format!("43|{TOKEN}");
    sanctum.import_plaintext(grant(), &whole).await.unwrap();
    assert_eq!(verdict(&sanctum, &whole).await, Ok("alice".to_owned()));
    let row = (grant().into(), OldKey::plaintext(key));
    assert!(
        sanctum.import_many([row]).await.unwrap()[0]
            .as_ref()
            .unwrap()
            .was_present()
    );
}

/// The ring's own text is digested, so it can include a pepper.
#[tokio::test]
async fn r08_a_pepper_is_no_hindrance() {
    let store = MemoryStore::new();
    let pepper = |version| Pepper::new(version, vec![7; 31 + version as usize]).unwrap();
    let one = ring(&store, |builder| {
        builder.accept_sanctum_tokens().pepper(pepper(1))
    });
    import(&one, "42").await.unwrap();
    let key = format!("42|{TOKEN}");
    assert_eq!(verdict(&one, &key).await, Ok("alice".to_owned()));
    let two = ring(&store, |builder| {
        builder
            .accept_sanctum_tokens()
            .pepper(pepper(2))
            .earlier_pepper(pepper(1))
    });
    assert_eq!(verdict(&two, &key).await, Ok("alice".to_owned()));
    assert_eq!(import(&two, "42").await, Ok(true));
    let without = ring(&store, KeyRingBuilder::accept_sanctum_tokens);
    assert_eq!(
        verdict(&without, &key).await,
        invalid(InvalidCause::Unknown)
    );
}
