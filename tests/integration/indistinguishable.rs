//! Rule 25: the response does not reveal, by any byte, why a key is invalid.

use std::time::Duration;

use http::StatusCode;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::Layer;
use tower_api_key::{
    ApiKeyLayer, Grant, InvalidCause, KeyRing, RejectionKind, RevocationReason, Source,
    StatusProfile,
};

use crate::stores::scripted_ring;
use crate::support::{Inner, START, X_API_KEY, as_grpc, issue, key, request, ring, send};

struct InvalidKey {
    name: &'static str,
    bytes: Vec<u8>,
    cause: InvalidCause,
}

/// One ring, and keys that are invalid in it, each for another reason.
async fn invalid_keys() -> (KeyRing, Vec<InvalidKey>) {
    let (ring, clock, store) = scripted_ring();
    let neighbour = KeyRing::builder("acme")
        .realm("billing")
        .clock(clock.clone())
        .build(store.clone())
        .unwrap();
    let mut keys = Vec::new();
    let mut add = |name, bytes: &[u8], cause| {
        keys.push(InvalidKey {
            name,
            bytes: bytes.to_vec(),
            cause,
        });
    };

    let valid = key(&ring, "read").await;
    add("malformed", b"nonsense", InvalidCause::Malformed);
    add("one comma", b",", InvalidCause::Malformed);
    add(
        "bytes beyond ASCII",
        b"acme_\xff\x80",
        InvalidCause::Malformed,
    );
    add("too long", &[b'a'; 10_000], InvalidCause::Malformed);
    let longer = format!("{valid}0");
    add("one too long", longer.as_bytes(), InvalidCause::Malformed);
    let shorter = &valid[..valid.len() - 1];
    add("one too short", shorter.as_bytes(), InvalidCause::Malformed);
    let joined = format!("{valid}, {valid}");
    add("comma-joined", joined.as_bytes(), InvalidCause::Malformed);
    let prefixed = valid.replacen("acme", "acmf", 1);
    add("other prefix", prefixed.as_bytes(), InvalidCause::Malformed);
    let mut mistyped = valid.clone().into_bytes();
    let last = mistyped.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    add("wrong checksum", &mistyped, InvalidCause::Malformed);

    // Minted over another store, so its checksum is right.
    let unknown = key(&self::ring(), "read").await;
    add("unknown", unknown.as_bytes(), InvalidCause::Unknown);
    let foreign = key(&neighbour, "read").await;
    add("other realm", foreign.as_bytes(), InvalidCause::Unknown);

    let careless = issue(&ring, "read").await;
    store.edit(careless.record().id(), |parts| {
        parts.realm = "billing".parse().unwrap();
    });
    add(
        "other realm, from a store that ignores realms",
        careless.secret().expose().as_bytes(),
        InvalidCause::OtherRealm,
    );

    let ten_seconds = Grant::new("alice").expires_in(Duration::from_secs(10));
    let expired = ring.issue(ten_seconds).await.unwrap();
    add(
        "expired",
        expired.secret().expose().as_bytes(),
        InvalidCause::Expired,
    );
    let tomorrow = START.checked_add(Duration::from_hours(24)).unwrap();
    let early = ring.issue(Grant::new("alice").not_before(tomorrow));
    add(
        "not yet valid",
        early.await.unwrap().secret().expose().as_bytes(),
        InvalidCause::NotYetValid,
    );
    let old = issue(&ring, "read").await;
    store.edit(old.record().id(), |parts| parts.grace_ends_at = Some(START));
    add(
        "replaced",
        old.secret().expose().as_bytes(),
        InvalidCause::Replaced,
    );
    let elsewhere = issue(&ring, "read").await;
    store.edit(elsewhere.record().id(), |parts| {
        parts.caveats = "net=10.0.0.0/8".parse().unwrap();
    });
    add(
        "a caveat that is not met",
        elsewhere.secret().expose().as_bytes(),
        InvalidCause::CaveatNotMet,
    );
    let newer = issue(&ring, "read").await;
    store.edit(newer.record().id(), |parts| {
        parts.caveats = "moon=full".parse().unwrap();
    });
    add(
        "a caveat that is not known",
        newer.secret().expose().as_bytes(),
        InvalidCause::UnknownCaveat,
    );
    let revoked = issue(&ring, "read").await;
    ring.revoke(revoked.record().id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    add(
        "revoked",
        revoked.secret().expose().as_bytes(),
        InvalidCause::Revoked,
    );
    clock.advance(Duration::from_secs(10));
    (ring, keys)
}

/// The sets of sources that a layer may have, and the text before the key in each carrier.
fn layers(ring: &KeyRing) -> Vec<(ApiKeyLayer, Vec<(&'static str, &'static str)>)> {
    let layer = ApiKeyLayer::new(ring.clone());
    let x_api_key = || Source::header(X_API_KEY).unwrap();
    vec![
        (layer.clone(), vec![("x-api-key", "")]),
        (
            layer.clone().sources([Source::bearer()]),
            vec![("authorization", "Bearer ")],
        ),
        (
            layer.clone().sources([x_api_key(), Source::bearer()]),
            vec![("x-api-key", ""), ("authorization", "Bearer ")],
        ),
        (
            layer.clone().sources([Source::api_key(), Source::bearer()]),
            vec![("authorization", "ApiKey "), ("authorization", "Bearer ")],
        ),
        (
            layer.sources([
                Source::scheme("Token").unwrap(),
                Source::authorization_raw(),
            ]),
            vec![("authorization", "Token "), ("authorization", "")],
        ),
    ]
}

fn header_value(before: &str, key: &[u8]) -> Vec<u8> {
    [before.as_bytes(), key].concat()
}

#[tokio::test]
async fn r25_every_invalid_key_gets_the_same_response() {
    let (ring, keys) = invalid_keys().await;
    for (layer, carriers) in layers(&ring) {
        for grpc in [false, true] {
            let service = layer.layer(Inner::new());
            let mut first = None;
            for InvalidKey { name, bytes, cause } in &keys {
                for (header, before) in &carriers {
                    let mut request = request([(*header, header_value(before, bytes))]);
                    if grpc {
                        request = as_grpc(request, "application/grpc");
                    }
                    let response = send(&service, request).await;
                    let told = (
                        response.status,
                        Vec::from_iter(response.headers.clone()),
                        response.body.clone(),
                    );
                    let rejection = response.rejection.unwrap();
                    assert_eq!(rejection.kind(), RejectionKind::Invalid, "{name}");
                    assert_eq!(rejection.cause(), Some(*cause), "{name}");
                    let first = first.get_or_insert_with(|| told.clone());
                    assert_eq!(told, *first, "{name} in {header} differs, gRPC: {grpc}");
                }
            }
        }
    }
}

#[tokio::test]
async fn r25_a_profile_keeps_every_invalid_key_alike() {
    let (ring, keys) = invalid_keys().await;
    for profile in [StatusProfile::FastApi, StatusProfile::AwsGateway] {
        let service = ApiKeyLayer::new(ring.clone())
            .profile(profile)
            .layer(Inner::new());
        for InvalidKey { name, bytes, .. } in &keys {
            let response = send(&service, request([(X_API_KEY, bytes)])).await;
            assert_eq!(response.status, StatusCode::FORBIDDEN, "{name}");
            assert_eq!(
                response.body, r#"{"title":"Forbidden","status":403,"detail":"Invalid API key"}"#,
                "{name}"
            );
        }
    }
}

/// The bytes that an HTTP/1.1 server writes for one request, without a date.
async fn on_the_wire(layer: &ApiKeyLayer, header: &str, value: &[u8]) -> Vec<u8> {
    let service = TowerToHyperService::new(layer.layer(Inner::new()));
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let connection = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(server), service);
    let exchange = async move {
        let head = format!("GET / HTTP/1.1\r\nhost: acme.test\r\nconnection: close\r\n{header}: ");
        let request = [head.as_bytes(), value, b"\r\n\r\n"].concat();
        client.write_all(&request).await.unwrap();
        let mut response = Vec::new();
        client.read_to_end(&mut response).await.unwrap();
        response
    };
    let (end, response) = tokio::join!(connection, exchange);
    end.unwrap();
    response
}

#[tokio::test]
async fn r25_every_invalid_key_gets_the_same_bytes_on_the_wire() {
    let (ring, keys) = invalid_keys().await;
    for (layer, carriers) in layers(&ring) {
        let mut first = None;
        for InvalidKey { name, bytes, .. } in &keys {
            // HTTP/1.1 drops white space around a value, so this text is not a key there.
            if bytes.as_slice() == b" " {
                continue;
            }
            for (header, before) in &carriers {
                let told = on_the_wire(&layer, header, &header_value(before, bytes)).await;
                assert!(told.starts_with(b"HTTP/1.1 401 Unauthorized\r\n"), "{name}");
                let first = first.get_or_insert_with(|| told.clone());
                assert_eq!(
                    String::from_utf8_lossy(&told),
                    String::from_utf8_lossy(first),
                    "{name} in {header} differs"
                );
            }
        }
    }
}
