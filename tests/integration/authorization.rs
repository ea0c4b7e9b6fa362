//! Keys in `Authorization` under a scheme of one's own, and without any.

use http::HeaderName;
use http::header::{AUTHORIZATION, CONNECTION, REFERER};
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, ErrorKind, EventKind, Grant, KeyPlace, KeyRing, RejectionKind, Source, VerifiedKey,
};

use crate::events::{Recorder, nameless, rejected};
use crate::misplaced::Scene;
use crate::outcome::{IN_REFERER, INVALID, MISSING, Outcome, PASSES, REPEATED, SEVERAL, check};
use crate::sources::{layer, with_bytes, x_api_key};
use crate::support::{IMPORTED, X_API_KEY, every_kind_of_key, importing_ring, request};

const TO_RAW: Outcome = (
    400,
    Some(RejectionKind::KeyMisplaced),
    "API key in Authorization: send it in Authorization without a scheme",
);
const NAMED: Outcome = (
    400,
    Some(RejectionKind::Ambiguous),
    "Ambiguous API key: Connection names the header",
);

fn token() -> Source {
    Source::scheme("Token").unwrap()
}

/// The outcome of a key behind a scheme that is not read: a minted one is found by its value.
fn behind_a_scheme(key: &str) -> Outcome {
    if key.starts_with("acme_") {
        TO_RAW
    } else {
        INVALID
    }
}

#[tokio::test]
async fn r09_without_a_scheme_the_whole_value_is_the_key() {
    for (ring, key) in every_kind_of_key().await {
        let raw = layer(&ring, [Source::authorization_raw()]);
        let scheme = behind_a_scheme(&key);
        let values = [
            (key.clone().into_bytes(), PASSES),
            (Vec::new(), MISSING),
            (b"nonsense".to_vec(), INVALID),
            (b"Bearer".to_vec(), INVALID),
            (b"Basic YTpi".to_vec(), INVALID),
            (b"Negotiate".to_vec(), INVALID),
            (b",".to_vec(), INVALID),
            (with_bytes(b" ", &key, b"", b""), INVALID),
            (with_bytes(b"\t", &key, b"", b""), INVALID),
            (with_bytes(b"", &key, b"", b"\t"), INVALID),
            (with_bytes(b"", &key, b" ", b""), INVALID),
            (with_bytes(b"", &key, b",", b""), INVALID),
            (with_bytes(b",", &key, b"", b""), INVALID),
            (with_bytes(b"", &key, b"", b","), INVALID),
            (with_bytes(b"", &key, b"\x80", b""), INVALID),
            (with_bytes(b"\xff", &key, b"", b""), INVALID),
            (with_bytes(b"\"", &key, b"", b"\""), INVALID),
            (format!("{key},{key}").into_bytes(), INVALID),
            (format!("{key}, {key}").into_bytes(), INVALID),
            (format!("Bearer{key}").into_bytes(), INVALID),
            (format!("Bearer:{key}").into_bytes(), INVALID),
            (key.as_bytes()[1..].to_vec(), INVALID),
            (key.as_bytes()[..key.len() - 1].to_vec(), INVALID),
            // A client that writes a scheme is told not to, if the key is one of the ring.
            (format!("Bearer {key}").into_bytes(), scheme),
            (format!("Token {key}").into_bytes(), scheme),
            (format!("{key} {key}").into_bytes(), scheme),
        ];
        for (value, expected) in values {
            // No value makes a client of an optional layer anonymous.
            let optional = match expected {
                MISSING => PASSES,
                other => other,
            };
            let sent = || request([(AUTHORIZATION, value.clone())]);
            check(&raw, sent(), expected).await;
            let (_, inner) = check(&raw.clone().optional(), sent(), optional).await;
            if expected == PASSES {
                let seen = inner.last();
                assert!(seen.extensions.get::<VerifiedKey>().is_some());
                assert!(!seen.headers.contains_key(AUTHORIZATION));
            }
        }
    }
}

#[tokio::test]
async fn r09_a_scheme_of_ones_own_is_read_as_bearer_is() {
    for (ring, key) in every_kind_of_key().await {
        let layer = layer(&ring, [token()]);
        let elsewhere = if key.starts_with("acme_") {
            let detail = "API key in Authorization: send it in Authorization: Token";
            (400, Some(RejectionKind::KeyMisplaced), detail)
        } else {
            MISSING
        };
        for (value, expected) in [
            (format!("Token {key}"), PASSES),
            (format!("token   {key}"), PASSES),
            (format!("TOKEN {key}"), PASSES),
            ("Token".to_owned(), MISSING),
            ("Token  ".to_owned(), MISSING),
            (format!("Token\t{key}"), INVALID),
            (format!("Token {key} "), INVALID),
            (format!("Token {key},"), INVALID),
            (format!("Token token={key}"), INVALID),
            (format!("Token {key}, Token {key}"), INVALID),
            (format!("Token Token {key}"), INVALID),
            (format!("Tokens {key}"), elsewhere),
            (format!("Token-2 {key}"), elsewhere),
            (format!("Bearer {key}"), elsewhere),
            (format!("ApiKey {key}"), elsewhere),
            (key.clone(), elsewhere),
        ] {
            check(&layer, request([(AUTHORIZATION, value)]), expected).await;
        }
    }
}

#[tokio::test]
async fn r09_all_ways_in_authorization_are_one_credential_or_ambiguous() {
    for (ring, key) in every_kind_of_key().await {
        let sources = [
            Source::authorization_raw(),
            token(),
            Source::bearer(),
            x_api_key(),
        ];
        let reversed: Vec<Source> = sources.iter().rev().cloned().collect();
        let ways = [
            key.clone(),
            format!("Token {key}"),
            format!("Bearer {key}"),
            "Basic YTpi".to_owned(),
            String::new(),
        ];
        for sources in [sources.to_vec(), reversed] {
            let layer = layer(&ring, sources);
            for optional in [layer.clone(), layer.clone().optional()] {
                for (place, one) in ways.iter().enumerate() {
                    let expected = match (place, *one == ways[4]) {
                        (0..=2, _) => PASSES,
                        (3, _) => INVALID,
                        _ => continue,
                    };
                    check(&optional, request([(AUTHORIZATION, one)]), expected).await;
                    for other in &ways {
                        let twice = request([(AUTHORIZATION, one), (AUTHORIZATION, other)]);
                        check(&optional, twice, REPEATED).await;
                    }
                    for headers in [
                        [(AUTHORIZATION, one), (X_API_KEY, &key)],
                        [(X_API_KEY, &key), (AUTHORIZATION, one)],
                    ] {
                        check(&optional, request(headers), SEVERAL).await;
                    }
                    let named = [(CONNECTION, "authorization"), (AUTHORIZATION, one)];
                    check(&optional, request(named), NAMED).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn r34_a_planted_link_turns_no_key_without_a_scheme_off() {
    let scene = Scene::new().await;
    let raw = layer(&scene.ring, [Source::authorization_raw()]);
    let key = scene.proper.secret().expose();
    let with_link = |link: &str| {
        let link = format!("https://example.com/?key={link}");
        request([(AUTHORIZATION, key.to_owned()), (REFERER, link)])
    };
    check(&raw, with_link(scene.stray()), PASSES).await;
    check(&raw, with_link(key), IN_REFERER).await;
    check(&raw.optional(), with_link(key), IN_REFERER).await;
}

#[tokio::test]
async fn a_key_behind_a_scheme_is_reported_by_its_id_and_not_looked_up() {
    let scene = Scene::new().await;
    let raw = layer(&scene.ring, [Source::authorization_raw()]);
    for (layer, value) in [
        (raw.clone(), format!("Bearer {}", scene.stray())),
        (raw.optional(), format!("Basic {}", scene.stray())),
    ] {
        check(&layer, request([(AUTHORIZATION, value)]), TO_RAW).await;
        let place = Some(KeyPlace::Authorization);
        let expected = [
            EventKind::KeyMisplaced,
            rejected(RejectionKind::KeyMisplaced),
        ];
        let expected = expected.map(|kind| crate::events::Told {
            place,
            ..nameless(kind, Some(scene.id()))
        });
        assert_eq!(scene.recorder.take(), expected);
    }
}

/// The other rings of a layer look for their keys by themselves.
#[tokio::test]
async fn a_key_of_any_ring_of_a_layer_may_stand_without_a_scheme() {
    let recorder = Recorder::default();
    let staff = KeyRing::builder("staff").observer(recorder.clone());
    let staff = staff.build(MemoryStore::new()).unwrap();
    let issued = staff.issue(Grant::new("bob")).await.unwrap();
    recorder.take();
    let key = issued.secret().expose();
    let first = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let layer = ApiKeyLayer::new(first)
        .or(staff)
        .sources([Source::authorization_raw()]);
    check(&layer, request([(AUTHORIZATION, key)]), PASSES).await;
    let behind = format!("Bearer {key}");
    check(&layer, request([(AUTHORIZATION, &behind)]), TO_RAW).await;
    let kinds: Vec<EventKind> = recorder.take().iter().map(|told| told.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::Authenticated,
            EventKind::KeyMisplaced,
            rejected(RejectionKind::KeyMisplaced)
        ]
    );
}

#[tokio::test]
async fn a_key_from_elsewhere_may_have_had_a_scheme_of_its_own() {
    let ring = importing_ring(MemoryStore::new());
    let grant = Grant::new("alice").expires_in(std::time::Duration::from_hours(24));
    ring.import_plaintext(grant, IMPORTED).await.unwrap();
    for source in ["Token", "SSWS", "GenieKey", "x.y-z"] {
        let layer = layer(&ring, [Source::scheme(source).unwrap()]);
        let value = format!("{source} {IMPORTED}");
        check(&layer, request([(AUTHORIZATION, value)]), PASSES).await;
    }
}

#[test]
fn a_scheme_is_a_token_whose_credentials_are_one() {
    let longest = "a".repeat(64);
    for name in ["Token", "t", "!#$%&'*+-.^_`|~09azAZ", &longest] {
        assert!(Source::scheme(name).is_ok(), "{name}");
    }
    let longer = "a".repeat(65);
    for name in [
        "",
        " ",
        "Token ",
        "To ken",
        "Token:",
        "a,b",
        "a\"b",
        "a=b",
        "é",
        "a\n",
        &longer,
        "Basic",
        "basic",
        "BASIC",
        "Digest",
        "DPoP",
        "Negotiate",
        "NTLM",
        "OAuth",
        "vapid",
    ] {
        let refused = Source::scheme(name).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidCarrier, "{name}");
    }
    assert_eq!(Source::scheme("apikey").unwrap(), Source::api_key());
    assert_ne!(token(), Source::bearer());
    let authorization: HeaderName = AUTHORIZATION;
    assert!(Source::header(authorization).is_err());
}
