//! The credential and every earlier proof are removed before the inner service runs.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use http::{HeaderValue, Request, StatusCode};
use tower::{Layer, ServiceBuilder};
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, KeyRing, ManualClock, RejectionKind, RequireScopeLayer, Source, VerifiedKey,
};

use crate::outcome::{INVALID, MISSING, PASSES, TWIN, check};
use crate::support::{
    Inner, ObservedStore, START, X_API_KEY, every_kind_of_key, importing_ring, key, request, ring,
    send, with_key,
};

const OUTER_KEY: HeaderName = HeaderName::from_static("x-outer-key");

/// A ring of another realm, with a key of it that has every scope.
async fn other_realm() -> (KeyRing, String) {
    let ring = KeyRing::builder("other")
        .realm("billing")
        .clock(ManualClock::new(START))
        .build(MemoryStore::new())
        .unwrap();
    let key = key(&ring, "read write admin").await;
    (ring, key)
}

/// A value that an outer layer has left for the inner service, and that this crate does not touch.
#[derive(Debug, Clone, PartialEq)]
struct Bystander(u8);

/// The request with a proof of another realm, left in it by an outer layer.
async fn planted(mut request: Request<()>) -> Request<()> {
    let (ring, key) = other_realm().await;
    let proof = ring.verify(key.as_bytes()).await.unwrap();
    request.extensions_mut().insert(proof);
    request.extensions_mut().insert(Bystander(7));
    request
}

fn subject_and_realm(inner: &Inner) -> Option<(String, String)> {
    let seen = inner.last();
    assert_eq!(seen.extensions.get::<Bystander>(), Some(&Bystander(7)));
    let key = seen.extensions.get::<VerifiedKey>()?;
    Some((key.subject().to_string(), key.realm().to_string()))
}

/// Rings whose store answers at once and later, with a key.
async fn at_once_and_later() -> [(KeyRing, String); 2] {
    let at_once = importing_ring(ObservedStore::new());
    let later = importing_ring(ObservedStore::new().answering_later());
    let keys = (key(&at_once, "read").await, key(&later, "read").await);
    [(at_once, keys.0), (later, keys.1)]
}

#[tokio::test]
async fn the_inner_service_sees_the_proof_and_not_the_credential() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring).layer(inner.clone());

    let response = send(&service, with_key(&key)).await;

    assert_eq!(response.status, StatusCode::OK);
    let seen = inner.last();
    assert!(!seen.headers.contains_key(X_API_KEY));
    assert_eq!(
        seen.extensions.get::<VerifiedKey>().unwrap().subject(),
        "alice"
    );
}

#[tokio::test]
async fn r11_a_planted_proof_is_absent_inside_in_every_mode() {
    let own = Some(("alice".to_owned(), "orders".to_owned()));
    for (ring, key) in at_once_and_later().await {
        let required = ApiKeyLayer::new(ring);
        let optional = required.clone().optional();
        for layer in [
            &required,
            &required.clone().forward_credential(),
            &required.clone().require("read"),
            &optional,
            &optional.clone().forward_credential(),
        ] {
            let (_, inner) = check(layer, planted(with_key(&key)).await, PASSES).await;
            assert_eq!(subject_and_realm(&inner), own);
            check(layer, planted(with_key("nonsense")).await, INVALID).await;
        }
        check(&required, planted(Request::new(())).await, MISSING).await;
        let (_, inner) = check(&optional, planted(Request::new(())).await, PASSES).await;
        assert_eq!(subject_and_realm(&inner), None);
        // A credential for another layer authenticates no caller of this one.
        let basic = || request([(AUTHORIZATION, "Basic YTpi")]);
        check(&required, planted(basic()).await, MISSING).await;
        let (_, inner) = check(&optional, planted(basic()).await, PASSES).await;
        assert_eq!(subject_and_realm(&inner), None);
    }
}

/// A request is not allowed because of a planted proof.
#[tokio::test]
async fn r11_a_planted_proof_meets_no_requirement() {
    for (ring, key) in at_once_and_later().await {
        let layer = ApiKeyLayer::new(ring);
        for layer in [layer.clone(), layer.optional()] {
            let inner = Inner::new();
            let direct = layer.clone().require("write").layer(inner.clone());
            let guarded = ServiceBuilder::new()
                .layer(layer)
                .layer(RequireScopeLayer::new("write"))
                .service(inner.clone());
            for (request, status, kind) in [
                (Request::new(()), 401, RejectionKind::Missing),
                (with_key("nonsense"), 401, RejectionKind::Invalid),
                (with_key(&key), 403, RejectionKind::InsufficientScope),
            ] {
                let response = send(&direct, planted(request.clone()).await).await;
                assert_eq!(
                    (response.status.as_u16(), response.kind()),
                    (status, Some(kind))
                );
                let response = send(&guarded, planted(request).await).await;
                assert_eq!(
                    (response.status.as_u16(), response.kind()),
                    (status, Some(kind))
                );
            }
            assert_eq!(inner.calls(), 0);
        }
    }
}

#[tokio::test]
async fn r11_the_proof_of_an_outer_layer_ends_at_the_inner_one() {
    let (outer_ring, outer_key) = other_realm().await;
    for (ring, key) in at_once_and_later().await {
        for optional in [false, true] {
            let inner = Inner::new();
            let outer = Source::header(OUTER_KEY).unwrap();
            let layer = ApiKeyLayer::new(ring.clone());
            let service = ServiceBuilder::new()
                .layer(ApiKeyLayer::new(outer_ring.clone()).sources([outer]))
                .layer(if optional { layer.optional() } else { layer })
                .service(inner.clone());

            let both = || request([(OUTER_KEY, &outer_key), (X_API_KEY, &key)]);
            assert_eq!(send(&service, both()).await.status, StatusCode::OK);
            let realm = |inner: &Inner| {
                let proof = inner.last().extensions.get::<VerifiedKey>().cloned();
                proof.map(|proof| proof.realm().to_string())
            };
            assert_eq!(realm(&inner).as_deref(), Some("orders"));
            assert!(inner.last().headers.is_empty());

            let wrong = request([(OUTER_KEY, &outer_key), (X_API_KEY, &outer_key)]);
            let response = send(&service, wrong).await;
            assert_eq!(response.kind(), Some(RejectionKind::Invalid));
            assert_eq!(inner.calls(), 1);

            let response = send(&service, request([(OUTER_KEY, &outer_key)])).await;
            if optional {
                assert_eq!(response.status, StatusCode::OK);
                assert_eq!(realm(&inner), None);
            } else {
                assert_eq!(response.kind(), Some(RejectionKind::Missing));
                assert_eq!(inner.calls(), 1);
            }

            // A rejection leaves no trace for the next request.
            assert_eq!(send(&service, both()).await.status, StatusCode::OK);
            assert_eq!(realm(&inner).as_deref(), Some("orders"));
        }
    }
}

#[tokio::test]
async fn r06_only_the_credential_is_taken_and_everything_else_stays() {
    let mut others = HeaderMap::new();
    for (name, value) in [
        ("accept", "text/html"),
        ("accept", "text/plain"),
        ("cookie", "a=b"),
        ("x-request-id", "7"),
        ("x-api-version", "1"),
    ] {
        others.append(name, HeaderValue::from_static(value));
    }
    let header = Source::header(X_API_KEY).unwrap();
    for (ring, key) in at_once_and_later()
        .await
        .into_iter()
        .chain(every_kind_of_key().await)
    {
        let layer = ApiKeyLayer::new(ring).sources([
            header.clone(),
            Source::bearer(),
            Source::scheme("Token").unwrap(),
            Source::authorization_raw(),
        ]);
        for (carrier, value) in [
            (X_API_KEY, key.clone()),
            (AUTHORIZATION, format!("Bearer {key}")),
            (AUTHORIZATION, format!("Token {key}")),
            (AUTHORIZATION, key.clone()),
        ] {
            let value = HeaderValue::try_from(value).unwrap();
            let send_through = async |layer: &ApiKeyLayer| {
                let mut request = Request::new(());
                *request.headers_mut() = others.clone();
                request.headers_mut().append(carrier.clone(), value.clone());
                check(layer, request, PASSES).await.1.last().headers
            };
            let optional = layer.clone().optional();
            for layer in [&layer, &optional] {
                assert_eq!(send_through(layer).await, others);
            }
            for layer in [layer.clone(), optional].map(ApiKeyLayer::forward_credential) {
                let mut seen = send_through(&layer).await;
                for (name, seen) in &seen {
                    assert_eq!(seen.is_sensitive(), *name == carrier, "{name}");
                }
                let debug = format!("{seen:?}");
                assert!(!debug.contains(&key), "{debug}");
                assert_eq!(seen.remove(&carrier), Some(value.clone()));
                assert_eq!(seen, others);
            }
        }
    }
}

#[tokio::test]
async fn an_optional_layer_lets_nothing_pass_but_requests_without_a_credential() {
    for (ring, key) in at_once_and_later().await {
        let layer = ApiKeyLayer::new(ring).optional();
        for anonymous in [Request::new(()), request([(X_API_KEY, "")])] {
            let (response, inner) = check(&layer, anonymous, PASSES).await;
            assert!(inner.last().extensions.get::<VerifiedKey>().is_none());
            // An anonymous response may be shared, but not with holders of keys.
            assert_eq!(response.values("vary"), ["x-api-key"]);
            assert_eq!(response.values("cache-control"), [""; 0]);
        }
        let (_, inner) = check(&layer, with_key(&key), PASSES).await;
        let seen = inner.last().extensions.get::<VerifiedKey>().cloned();
        assert_eq!(seen.unwrap().subject(), "alice");
        check(&layer, with_key("nonsense"), INVALID).await;
        check(&layer, with_key(&format!("{key} ")), INVALID).await;
        check(&layer, request([("x_api_key", &key)]), TWIN).await;
    }
}

#[tokio::test]
async fn r15_a_requirement_outweighs_the_optional_mode() {
    for (ring, key) in at_once_and_later().await {
        let layer = ApiKeyLayer::new(ring);
        let either_order = [
            layer.clone().optional().require("read"),
            layer.clone().require("read").optional(),
        ];
        for layer in either_order {
            check(&layer, Request::new(()), MISSING).await;
            check(&layer, request([(X_API_KEY, "")]), MISSING).await;
            check(&layer, with_key("nonsense"), INVALID).await;
            check(&layer, with_key(&key), PASSES).await;
        }
    }
}

/// The anonymous pass is remembered, and the memory belongs to the innermost layer.
#[tokio::test]
async fn a_guard_inside_refuses_the_anonymous_as_the_layer_around_it_would() {
    let (outer_ring, _) = other_realm().await;
    let ring = ring();
    let key = key(&ring, "read").await;
    let outer = Source::header(OUTER_KEY).unwrap();
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(outer_ring).sources([outer]).optional())
        .layer(ApiKeyLayer::new(ring).optional())
        .layer(RequireScopeLayer::new("read"))
        .service(inner.clone());

    let response = send(&service, Request::new(())).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(response.kind(), Some(RejectionKind::Missing));
    assert_eq!(
        response.values("www-authenticate"),
        ["ApiKey realm=\"orders\""]
    );
    assert_eq!(inner.calls(), 0);

    let response = send(&service, with_key(&key)).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(inner.calls(), 1);
}
