//! The wire format as its users see it: the keys that are minted, and those that are accepted.

use std::collections::HashSet;

use http::StatusCode;
use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder};
use tower::Layer;
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, ErrorKind, Grant, InvalidCause, Issued, KeyId, KeyRing, RejectionKind,
    VerifyErrorKind,
};

use crate::support::{Inner, X_API_KEY, key, request, ring, send};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SUFFIX_LEN: usize = 46;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn ring_of(prefix: &str) -> KeyRing {
    KeyRing::builder(prefix).build(MemoryStore::new()).unwrap()
}

async fn mint(ring: &KeyRing) -> Issued {
    ring.issue(Grant::new("alice")).await.unwrap()
}

/// The ring's own pattern, applied as secret scanners do it: over bytes, ASCII only.
fn scanner(ring: &KeyRing) -> Regex {
    RegexBuilder::new(&ring.scanner_pattern())
        .unicode(false)
        .build()
        .unwrap()
}

/// The checksum as the format's documentation describes it, one bit at a time.
pub(crate) fn checksum(body: &[u8]) -> String {
    let mut register = u32::MAX;
    for &byte in body {
        register ^= u32::from(byte);
        for _ in 0..8 {
            let polynomial = if register & 1 == 1 { 0xedb8_8320 } else { 0 };
            register = (register >> 1) ^ polynomial;
        }
    }
    let mut value = !register;
    let mut digits = [0; 6];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(value % 62) as usize];
        value /= 62;
    }
    String::from_utf8(digits.to_vec()).unwrap()
}

/// The prefix grammar, `[a-z][a-z0-9_]{0,19}` without `_` at the end, implemented again.
fn is_prefix(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    (1..=20).contains(&characters.len())
        && characters[0].is_ascii_lowercase()
        && *characters.last().unwrap() != '_'
        && characters
            .iter()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
}

proptest! {
    #[test]
    fn a_minted_key_has_the_format_and_verifies(
        prefix in "[a-z][a-z0-9_]{0,18}[a-z0-9]|[a-z]",
    ) {
        block_on(async {
            let ring = ring_of(&prefix);
            prop_assert_eq!(ring.prefix(), &prefix);
            let issued = mint(&ring).await;
            let key = issued.secret().expose();

            prop_assert_eq!(key.len(), prefix.len() + SUFFIX_LEN);
            let (id, secret) = key[prefix.len() + 1..].split_once('_').unwrap();
            prop_assert_eq!(key.strip_prefix(&prefix).unwrap().as_bytes()[0], b'_');
            let record_id = issued.record().id().to_string();
            prop_assert_eq!(id, record_id);
            prop_assert_eq!((id.len(), secret.len()), (12, 32));
            prop_assert!([id, secret].concat().bytes().all(|byte| BASE62.contains(&byte)));
            let (body, tail) = key.split_at(key.len() - 6);
            prop_assert_eq!(tail, checksum(body.as_bytes()));

            let verified = ring.verify(key.as_bytes()).await.unwrap();
            prop_assert_eq!(verified.id(), issued.record().id());
            prop_assert_eq!(verified.subject(), "alice");
            Ok(())
        })?;
    }

    #[test]
    fn a_prefix_is_accepted_exactly_by_the_grammar(
        prefix in "[a-z][a-z0-9_]{0,24}|[A-Za-z0-9_é .-]{0,6}|\\PC{0,22}",
    ) {
        let built = KeyRing::builder(&prefix).realm("r").build(MemoryStore::new());
        match built {
            Ok(ring) => {
                prop_assert!(is_prefix(&prefix), "accepted {prefix:?}");
                prop_assert_eq!(ring.prefix(), &prefix);
            }
            Err(error) => {
                prop_assert!(!is_prefix(&prefix), "refused {prefix:?}");
                prop_assert_eq!(error.kind(), ErrorKind::InvalidPrefix);
            }
        }
    }
}

#[test]
fn prefixes_at_the_edges_of_the_grammar() {
    let long = "a23456789012345678901";
    for (prefix, accepted) in [
        ("a", true),
        ("a1", true),
        ("acme_live", true),
        ("a__b", true),
        (&long[..20], true),
        (long, false),
        ("", false),
        ("_", false),
        ("_acme", false),
        ("acme_", false),
        ("1acme", false),
        ("Acme", false),
        ("acmE", false),
        ("acme-live", false),
        ("acme.live", false),
        ("acme live", false),
        (" acme", false),
        ("acme\n", false),
        ("acmé", false),
    ] {
        let refused = KeyRing::builder(prefix)
            .realm("r")
            .build(MemoryStore::new())
            .map_or_else(|error| Some(error.kind()), |_| None);
        let expected = (!accepted).then_some(ErrorKind::InvalidPrefix);
        assert_eq!(refused, expected, "{prefix:?}");
    }
}

/// Every other spelling of a key: each byte exchanged for each other byte, each byte left out or
/// doubled, each byte added at either end, cases folded, white space around.
fn mutations(key: &str) -> Vec<Vec<u8>> {
    let key = key.as_bytes();
    let mut all = Vec::new();
    for at in 0..key.len() {
        for byte in (0..=u8::MAX).filter(|&byte| byte != key[at]) {
            let mut other = key.to_vec();
            other[at] = byte;
            all.push(other);
        }
        all.push([&key[..at], &key[at + 1..]].concat());
        all.push([&key[..=at], &key[at..]].concat());
        all.push(key[..at].to_vec());
        all.push(key[at + 1..].to_vec());
    }
    for byte in 0..=u8::MAX {
        all.push([key, &[byte]].concat());
        all.push([&[byte], key].concat());
    }
    for space in ["  ", "\t", "\r\n", "\u{a0}", "\u{feff}"] {
        all.push([space.as_bytes(), key].concat());
        all.push([key, space.as_bytes()].concat());
        all.push([space.as_bytes(), key, space.as_bytes()].concat());
    }
    all.push(key.to_ascii_uppercase());
    all.push(key.to_ascii_lowercase());
    all.push([key, key].concat());
    all.push([key, b",", key].concat());
    all.push(format!("\"{}\"", key.escape_ascii()).into_bytes());
    all.retain(|other| other != key);
    all
}

#[tokio::test]
async fn r29_a_key_has_one_spelling() {
    let ring = ring();
    let key = key(&ring, "read").await;

    for other in mutations(&key) {
        let error = ring.verify(&other).await.map(|_| ()).unwrap_err();
        // A CRC-32 detects every change of a single byte, so none of these is even looked up.
        assert_eq!(
            error.kind(),
            VerifyErrorKind::Invalid(InvalidCause::Malformed),
            "{}",
            other.escape_ascii()
        );
        assert_eq!(error.to_string(), "invalid API key");
    }
    ring.verify(key.as_bytes()).await.unwrap();
}

/// Even if the checksum is right for it, a key of other characters has no shape.
#[tokio::test]
async fn r29_a_right_checksum_makes_no_key_of_other_characters() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let body = key.len() - 6;
    for at in [ring.prefix().len() + 1, body - 1] {
        for byte in [b'-', b'_', b'/', b':', b'@', b'[', b'`', b'{'] {
            let mut other = key.as_bytes()[..body].to_vec();
            other[at] = byte;
            let checksum = checksum(&other);
            other.extend(checksum.as_bytes());
            let error = ring.verify(&other).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.key_id()),
                (VerifyErrorKind::Invalid(InvalidCause::Malformed), None),
                "{}",
                other.escape_ascii()
            );
        }
    }
    let right = checksum(&key.as_bytes()[..body]);
    assert_eq!(right.as_bytes(), &key.as_bytes()[body..]);
}

#[tokio::test]
async fn r29_a_key_has_one_spelling_where_imports_have_no_shape() {
    let ring = KeyRing::builder("acme")
        .accept_imports()
        .build(MemoryStore::new())
        .unwrap();
    let issued = mint(&ring).await;
    let key = issued.secret().expose();

    for other in mutations(key) {
        let error = ring.verify(&other).await.map(|_| ()).unwrap_err();
        let presentable = !other.is_empty()
            && other
                .iter()
                .all(|byte| (b'!'..=b'~').contains(byte) && *byte != b',');
        let cause = if presentable {
            InvalidCause::Unknown
        } else {
            InvalidCause::Malformed
        };
        let text = other.escape_ascii();
        assert_eq!(error.kind(), VerifyErrorKind::Invalid(cause), "{text}");
    }
    ring.verify(key.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn r29_no_other_spelling_passes_the_layer() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring).layer(inner.clone());

    // Any text that a header value can hold. An empty one is a missing key.
    let values = mutations(&key)
        .into_iter()
        .filter(|other| !other.is_empty() && http::HeaderValue::from_bytes(other).is_ok());
    let mut refused = 0;
    for other in values {
        let response = send(&service, request([(X_API_KEY, &other)])).await;
        let text = other.escape_ascii().to_string();
        assert_eq!(response.kind(), Some(RejectionKind::Invalid), "{text}");
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{text}");
        refused += 1;
    }
    assert!(refused > 50 * 200, "only {refused} spellings were tried");
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn the_scanner_pattern_finds_exactly_the_keys() {
    let ring = ring_of("acme_live");
    let scanner = scanner(&ring);
    for _ in 0..200 {
        let issued = mint(&ring).await;
        let key = issued.secret().expose();
        for (before, after) in [
            ("", ""),
            ("x-api-key: ", "\r\n"),
            ("{\"key\":\"", "\"}"),
            ("KEY=", ";"),
            ("https://example.com/?k=", "&x=1"),
        ] {
            let text = format!("{before}{key}{after}");
            let found = scanner.find(text.as_bytes()).map(|found| found.range());
            let expected = before.len()..before.len() + key.len();
            assert_eq!(found, Some(expected), "{before}…{after}");
        }
        for text in [
            key[..key.len() - 1].to_owned(),
            key.replacen("acme_live", "acme_test", 1),
            key.replacen("acme_live_", "acme_live-", 1),
        ] {
            assert!(
                !scanner.is_match(text.as_bytes()),
                "found a key that is none"
            );
        }
    }
}

#[tokio::test]
async fn ids_secrets_and_digests_are_distinct() {
    let ring = ring_of("acme");
    let (mut ids, mut secrets, mut digests) = (HashSet::new(), HashSet::new(), HashSet::new());
    for _ in 0..2_000 {
        let issued = mint(&ring).await;
        let key = issued.secret().expose();
        assert!(ids.insert(issued.record().id()));
        assert!(secrets.insert(key[18..44].to_owned()));
        assert!(digests.insert(*issued.record().digest().as_bytes()));
    }
    // Each of 26 × 2000 characters is one of 62. A missing letter means a biased generator.
    let letters: HashSet<u8> = secrets.iter().flat_map(|secret| secret.bytes()).collect();
    assert_eq!(letters.len(), 62);
}

#[test]
fn a_key_id_is_twelve_base62_characters() {
    for text in ["0123456789AB", "zzzzzzzzzzzz"] {
        let id: KeyId = text.parse().unwrap();
        assert_eq!(id.as_str(), text);
        assert_eq!(id.to_string(), text);
        assert_eq!(format!("{id:?}"), format!("KeyId({text})"));
        assert_eq!(format!("{id:>14}|"), format!("  {text}|"));
    }
    for text in [
        "",
        "0123456789A",
        "0123456789ABC",
        "0123456789A_",
        "0123456789é",
        " 123456789AB",
    ] {
        let error = text.parse::<KeyId>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidKeyId, "{text:?}");
    }
}
