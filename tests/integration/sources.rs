//! One value in one carrier, byte for byte: the headers that count, and the values that they may hold.

use http::header::{self, AUTHORIZATION, HeaderName};
use tower_api_key::store::MemoryStore;
use tower_api_key::{ApiKeyLayer, ErrorKind, Grant, KeyRing, ManualClock, Source};

use crate::outcome::{IN_AUTHORIZATION, INVALID, MISSING, PASSES, check};
use crate::support::{
    IMPORTED, ObservedStore, START, X_API_KEY, every_kind_of_key, importing_ring, key, request,
    ring,
};

pub(crate) fn x_api_key() -> Source {
    Source::header(X_API_KEY).unwrap()
}

fn named(name: &'static str) -> Source {
    Source::header(HeaderName::from_static(name)).unwrap()
}

pub(crate) fn layer(ring: &KeyRing, sources: impl IntoIterator<Item = Source>) -> ApiKeyLayer {
    ApiKeyLayer::new(ring.clone()).sources(sources)
}

/// `key` with something before, at its middle, and after it.
pub(crate) fn with_bytes(before: &[u8], key: &str, middle: &[u8], after: &[u8]) -> Vec<u8> {
    let (start, end) = key.as_bytes().split_at(key.len() / 2);
    [before, start, middle, end, after].concat()
}

#[tokio::test]
async fn r09_a_header_holds_exactly_one_key_and_nothing_beside_it() {
    for (ring, key) in every_kind_of_key().await {
        let layer = ApiKeyLayer::new(ring);
        let values = [
            (key.clone().into_bytes(), PASSES),
            (Vec::new(), MISSING),
            (b" ".to_vec(), INVALID),
            (b",".to_vec(), INVALID),
            (with_bytes(b" ", &key, b"", b""), INVALID),
            (with_bytes(b"\t", &key, b"", b""), INVALID),
            (with_bytes(b"", &key, b"", b" "), INVALID),
            (with_bytes(b"", &key, b"", b"\t"), INVALID),
            (with_bytes(b"", &key, b" ", b""), INVALID),
            (with_bytes(b"", &key, b"\t", b""), INVALID),
            (with_bytes(b"", &key, b",", b""), INVALID),
            (with_bytes(b",", &key, b"", b""), INVALID),
            (with_bytes(b"", &key, b"", b","), INVALID),
            (format!("{key},{key}").into_bytes(), INVALID),
            (format!("{key}, {key}").into_bytes(), INVALID),
            (format!("{key} {key}").into_bytes(), INVALID),
            (format!("{key};{key}").into_bytes(), INVALID),
            (with_bytes(b"", &key, b"\x80", b""), INVALID),
            (with_bytes(b"\xff", &key, b"", b""), INVALID),
            (with_bytes(b"", &key, b"", "é".as_bytes()), INVALID),
            (with_bytes(b"", &key, b"", b"\xc2\xa0"), INVALID),
            (with_bytes(b"\"", &key, b"", b"\""), INVALID),
            (format!("Bearer {key}").into_bytes(), INVALID),
            (format!("ApiKey {key}").into_bytes(), INVALID),
            (key.as_bytes()[1..].to_vec(), INVALID),
            (key.as_bytes()[..key.len() - 1].to_vec(), INVALID),
        ];
        for (value, expected) in values {
            check(&layer, request([(X_API_KEY, value)]), expected).await;
        }
    }
}

#[tokio::test]
async fn r29_every_change_of_one_character_is_invalid() {
    for (ring, key) in every_kind_of_key().await {
        let layer = ApiKeyLayer::new(ring);
        check(&layer, request([(X_API_KEY, &key)]), PASSES).await;
        for at in 0..key.len() {
            let mut mutants = vec![key.clone().into_bytes(), key.clone().into_bytes()];
            mutants[0].remove(at);
            mutants[1].insert(at, b'0');
            let original = key.as_bytes()[at];
            for byte in [
                b'0',
                b'z',
                b'_',
                b'-',
                b'.',
                b'%',
                0x80 | original,
                original ^ 0x20,
            ] {
                let mut mutant = key.clone().into_bytes();
                mutant[at] = byte;
                // With a byte below the space, there is no header value to make.
                if byte != original && byte >= b' ' && byte != 0x7f {
                    mutants.push(mutant);
                }
            }
            let percent = format!("{}%{original:02X}{}", &key[..at], &key[at + 1..]);
            mutants.push(percent.into_bytes());
            for mutant in mutants
                .into_iter()
                .filter(|mutant| mutant != key.as_bytes())
            {
                check(&layer, request([(X_API_KEY, mutant)]), INVALID).await;
            }
        }
    }
}

#[tokio::test]
async fn headers_of_any_name_count_alone_and_only_they() {
    // Longer than 64 bytes, and equal to another except for 64.
    const LONG: &str = "x-a-very-long-name-of-a-header-that-nobody-would-ever-want-to-send-at-all";
    for (ring, key) in every_kind_of_key().await {
        for name in ["x-acme-token", "api_key", "token", "k", LONG] {
            let layer = layer(&ring, [named(name)]);
            let (_, inner) = check(&layer, request([(name, &key)]), PASSES).await;
            assert!(!inner.last().headers.contains_key(name), "{name}");
            check(&layer, request([(X_API_KEY, &key)]), MISSING).await;
            check(&layer, request([(name, "")]), MISSING).await;
            check(&layer, request([(name, "nonsense")]), INVALID).await;
        }
        let several = layer(
            &ring,
            [x_api_key(), named("x-legacy-key"), Source::bearer()],
        );
        for (name, value) in [
            ("x-api-key", key.clone()),
            ("x-legacy-key", key.clone()),
            ("authorization", format!("Bearer {key}")),
        ] {
            let (_, inner) = check(&several, request([(name, value)]), PASSES).await;
            assert!(inner.last().headers.is_empty(), "{name}");
        }
        let twice = layer(&ring, [x_api_key(), x_api_key()]);
        check(&twice, request([(X_API_KEY, &key)]), PASSES).await;
    }
}

#[tokio::test]
async fn nothing_but_an_enabled_source_authenticates() {
    for (ring, key) in every_kind_of_key().await {
        let none = layer(&ring, []);
        let default = ApiKeyLayer::new(ring.clone());
        for (name, value) in [
            ("cookie", format!("x-api-key={key}")),
            ("proxy-authorization", format!("Bearer {key}")),
            ("x-api-keys", key.clone()),
            ("x-api-ke", key.clone()),
            ("api-key", key.clone()),
            ("x--api-key", key.clone()),
            ("xapikey", key.clone()),
            ("x.api.key", key.clone()),
            ("from", key.clone()),
        ] {
            let request = || request([(name, &value)]);
            check(&none, request(), MISSING).await;
            check(&default, request(), MISSING).await;
        }
        check(&none, request([(X_API_KEY, &key)]), MISSING).await;
        // The holder of a minted key in `Authorization` must be notified.
        let bearer = || request([(AUTHORIZATION, format!("Bearer {key}"))]);
        let minted = key.starts_with("acme_");
        let expected = if minted { IN_AUTHORIZATION } else { MISSING };
        check(&default, bearer(), expected).await;
        let basic = request([(AUTHORIZATION, "Basic YTpi")]);
        let (response, _) = check(&none, basic, MISSING).await;
        assert_eq!(
            response.values("www-authenticate"),
            ["ApiKey realm=\"orders\""]
        );
        assert_eq!(response.values("vary"), ["*"]);
        // If a layer accepts no credential, it cannot be optional.
        check(&none.optional(), request([(X_API_KEY, &key)]), MISSING).await;
    }
}

/// A value that cannot be a key costs no look-up, whatever its length. Neither does a typo.
#[tokio::test]
async fn r09_a_length_cap_comes_before_any_work() {
    let store = ObservedStore::new();
    let ring = KeyRing::builder("acme").build(store.clone()).unwrap();
    let minted = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring);
    let mut mistyped = minted.clone();
    let last = if minted.ends_with('Q') { "R" } else { "Q" };
    mistyped.replace_range(minted.len() - 1.., last);
    check(&layer, request([(X_API_KEY, mistyped)]), INVALID).await;
    for length in [1, minted.len() - 1, minted.len() + 1, 512, 1 << 16] {
        let value: String = minted.chars().cycle().take(length).collect();
        check(&layer, request([(X_API_KEY, value)]), INVALID).await;
        assert_eq!(store.lookups(), 0, "{length}");
    }

    let store = ObservedStore::new();
    let ring = importing_ring(store.clone());
    let longest: String = IMPORTED.chars().cycle().take(512).collect();
    let grant = Grant::new("alice").expires_in(std::time::Duration::from_hours(24));
    ring.import_plaintext(grant.clone(), &longest)
        .await
        .unwrap();
    let layer = ApiKeyLayer::new(ring.clone());
    check(&layer, request([(X_API_KEY, &longest)]), PASSES).await;
    assert_eq!(store.lookups(), 1);
    for length in [513, 1 << 16] {
        let value: String = IMPORTED.chars().cycle().take(length).collect();
        check(&layer, request([(X_API_KEY, &value)]), INVALID).await;
        let refused = ring.import_plaintext(grant.clone(), &value).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidPlaintext);
    }
    for value in ["a,b", "a b", "\u{e9}"] {
        check(&layer, request([(X_API_KEY, value)]), INVALID).await;
    }
    assert_eq!(store.lookups(), 1);
}

#[tokio::test]
async fn a_ring_that_does_not_accept_imports_does_not_know_them() {
    let store = MemoryStore::new();
    let grant = Grant::new("alice").expires_in(std::time::Duration::from_hours(24));
    let importing = importing_ring(store.clone());
    importing.import_plaintext(grant, IMPORTED).await.unwrap();
    let strict = KeyRing::builder("acme")
        .realm("orders")
        .clock(ManualClock::new(START))
        .build(store)
        .unwrap();
    let imported = || request([(X_API_KEY, IMPORTED)]);
    check(&ApiKeyLayer::new(importing), imported(), PASSES).await;
    check(&ApiKeyLayer::new(strict), imported(), INVALID).await;
    check(&ApiKeyLayer::new(ring()), imported(), INVALID).await;
}

#[test]
fn a_header_with_a_meaning_of_its_own_is_no_carrier() {
    let reserved = [
        header::ACCEPT,
        header::AUTHORIZATION,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::DATE,
        header::EXPECT,
        header::FORWARDED,
        header::HOST,
        header::ORIGIN,
        header::PROXY_AUTHORIZATION,
        header::RANGE,
        header::REFERER,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::USER_AGENT,
        header::VARY,
        header::VIA,
    ];
    for name in reserved {
        let spelled_at_run_time = HeaderName::from_bytes(name.as_str().as_bytes()).unwrap();
        for name in [name, spelled_at_run_time] {
            let refused = Source::header(name.clone()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidCarrier, "{name}");
        }
    }
    for name in ["x-api-key", "apikey", "x_api_key", "authorization-key"] {
        let made = Source::header(HeaderName::from_bytes(name.as_bytes()).unwrap());
        assert_eq!(made.unwrap(), named(name));
    }
}
