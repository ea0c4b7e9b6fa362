//! The response of each kind of refusal: every header and every byte of the body.

mod case;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use tower::{Layer, ServiceBuilder};
use tower_api_key::{
    ApiKeyLayer, Rejection, RejectionKind, RequireScopeLayer, Source, StatusProfile,
};

use self::case::{Case, refused};
use crate::support::{Inner, Whole, X_API_KEY, as_grpc, issue, ring, send, with_key};

fn sorted_headers(response: &Whole) -> Vec<(&str, &str)> {
    let mut headers: Vec<(&str, &str)> = response
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    headers.sort_unstable();
    headers
}

/// These headers and the length of this body.
fn with_length<'a>(headers: &[(&'a str, &'a str)], length: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut headers = [headers, &[("content-length", length)]].concat();
    headers.sort_unstable();
    headers
}

#[tokio::test]
async fn every_kind_is_told_exactly_as_it_is_specified() {
    for case in Case::ALL {
        let (response, id) = refused(case, false, |layer| layer).await;
        let expected = case.expected();

        assert_eq!(response.status, expected.status, "{case:?}");
        let length = expected.body.len().to_string();
        let headers = with_length(&expected.headers, &length);
        assert_eq!(sorted_headers(&response), headers, "{case:?}");
        assert_eq!(response.body, expected.body, "{case:?}");
        let detail = response.json()["detail"].as_str().unwrap().to_owned();
        let rejection = response.rejection.unwrap();
        assert_eq!(rejection.kind(), expected.kind, "{case:?}");
        assert_eq!(rejection.status(), expected.status, "{case:?}");
        assert_eq!(rejection.detail(), detail, "{case:?}");
        assert_eq!(rejection.to_string(), detail, "{case:?}");
        assert_eq!(rejection.cause(), expected.cause, "{case:?}");
        let named = (rejection.key_id(), rejection.claimed_key_id());
        assert_eq!(named, expected.names(id), "{case:?}");
    }
}

#[tokio::test]
async fn r18_a_grpc_refusal_is_trailers_only_with_the_same_detail() {
    for case in Case::ALL {
        let (response, id) = refused(case, true, |layer| layer).await;
        let expected = case.expected();

        let code = match expected.kind {
            RejectionKind::Missing | RejectionKind::Invalid => "16",
            RejectionKind::Ambiguous | RejectionKind::KeyInUrl | RejectionKind::KeyMisplaced => "3",
            RejectionKind::InsufficientScope | RejectionKind::UnknownRoute => "7",
            RejectionKind::StoreUnavailable => "14",
            RejectionKind::NotAuthenticated => "13",
            other => panic!("{other:?} is not in the table"),
        };
        let problem: serde_json::Value = serde_json::from_str(expected.body).unwrap();
        let vary = expected.headers.iter().find(|(name, _)| *name == "vary");
        let mut headers = vec![
            ("cache-control", "no-store"),
            ("content-length", "0"),
            ("content-type", "application/grpc"),
            ("grpc-message", problem["detail"].as_str().unwrap()),
            ("grpc-status", code),
            *vary.unwrap(),
        ];
        headers.sort_unstable();
        assert_eq!(response.status, StatusCode::OK, "{case:?}");
        assert_eq!(sorted_headers(&response), headers, "{case:?}");
        assert_eq!(response.body, "", "{case:?}");
        let rejection = response.rejection.unwrap();
        assert_eq!(rejection.kind(), expected.kind, "{case:?}");
        assert_eq!(rejection.status(), expected.status, "{case:?}");
        assert_eq!(rejection.cause(), expected.cause, "{case:?}");
        let named = (rejection.key_id(), rejection.claimed_key_id());
        assert_eq!(named, expected.names(id), "{case:?}");
    }
}

#[tokio::test]
async fn a_profile_changes_the_status_of_missing_and_invalid_and_nothing_else() {
    let profiles = [
        (StatusProfile::Rfc9110, 401, 401),
        (StatusProfile::FastApi, 401, 403),
        (StatusProfile::AwsGateway, 403, 403),
    ];
    for (profile, missing, invalid) in profiles {
        for case in Case::ALL {
            let (response, _) = refused(case, false, |layer| layer.profile(profile)).await;
            let expected = case.expected();

            let status = match expected.kind {
                RejectionKind::Missing => missing,
                RejectionKind::Invalid => invalid,
                _ => expected.status,
            };
            let body = if status == expected.status {
                expected.body.to_owned()
            } else {
                expected.body.replace(
                    r#""title":"Unauthorized","status":401"#,
                    r#""title":"Forbidden","status":403"#,
                )
            };
            assert_eq!(response.status, status, "{profile:?} {case:?}");
            assert_eq!(response.body, body, "{profile:?} {case:?}");
            let length = body.len().to_string();
            let headers = with_length(&expected.headers, &length);
            assert_eq!(sorted_headers(&response), headers, "{profile:?} {case:?}");
            let rejection = response.rejection.unwrap();
            assert_eq!(rejection.kind(), expected.kind, "{profile:?} {case:?}");
            assert_eq!(rejection.status(), status, "{profile:?} {case:?}");
            assert_eq!(rejection.cause(), expected.cause, "{profile:?} {case:?}");
        }
    }
}

/// A responder that copies nothing from the response that it replaces.
fn teapot(rejection: &Rejection) -> Response<Bytes> {
    Response::builder()
        .status(StatusCode::IM_A_TEAPOT)
        .header("x-kind", format!("{:?}", rejection.kind()))
        .body(format!("{} {}", rejection.status().as_u16(), rejection.detail()).into())
        .unwrap()
}

#[tokio::test]
async fn a_responder_replaces_status_headers_and_body() {
    for case in Case::ALL
        .into_iter()
        .filter(|case| case.reaches_responder())
    {
        let (response, id) = refused(case, false, |layer| layer.responder(teapot)).await;
        let expected = case.expected();

        let problem: serde_json::Value = serde_json::from_str(expected.body).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(response.status, StatusCode::IM_A_TEAPOT, "{case:?}");
        let kind = format!("{:?}", expected.kind);
        // The headers that every refusal needs are added to the responder's.
        let vary = response.values("vary").concat();
        let length = (detail.len() + "401 ".len()).to_string();
        assert_eq!(
            sorted_headers(&response),
            [
                ("cache-control", "no-store"),
                ("content-length", length.as_str()),
                ("vary", vary.as_str()),
                ("x-kind", kind.as_str())
            ],
            "{case:?}"
        );
        assert_eq!(
            response.body,
            format!("{} {detail}", expected.status),
            "{case:?}"
        );
        let rejection = response.rejection.unwrap();
        assert_eq!(rejection.kind(), expected.kind, "{case:?}");
        assert_eq!(rejection.cause(), expected.cause, "{case:?}");
        let named = (rejection.key_id(), rejection.claimed_key_id());
        assert_eq!(named, expected.names(id), "{case:?}");
    }
}

#[tokio::test]
async fn r26_a_responder_cannot_take_out_what_no_refusal_may_lack() {
    let layer = ApiKeyLayer::new(ring());
    let bare = |rejection: &Rejection| {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = rejection.status();
        response
    };
    let service = layer.clone().responder(bare).layer(Inner::new());
    let response = send(&service, Request::new(())).await;
    assert_eq!(
        sorted_headers(&response),
        [
            ("cache-control", "no-store"),
            ("content-length", "0"),
            ("vary", "x-api-key"),
            ("www-authenticate", r#"ApiKey realm="orders""#)
        ]
    );

    let own = [
        ("cache-control", "public, max-age=60"),
        ("cdn-cache-control", "max-age=60"),
        ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
        ("vary", "accept-language"),
        ("www-authenticate", "Own"),
        ("x-accel-expires", "60"),
    ];
    let outspoken = move |rejection: &Rejection| {
        let mut response = bare(rejection);
        for (name, value) in own {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    };
    let service = layer.responder(outspoken).layer(Inner::new());
    let response = send(&service, Request::new(())).await;
    assert_eq!(
        sorted_headers(&response),
        [
            ("cache-control", "no-store"),
            ("content-length", "0"),
            ("vary", "accept-language, x-api-key"),
            ("www-authenticate", "Own")
        ]
    );
}

/// A responder that lets every cache store a refusal.
fn storable(rejection: &Rejection) -> Response<Bytes> {
    Response::builder()
        .status(rejection.status())
        .header("cache-control", "public, max-age=60")
        .header("vary", "accept-language")
        .body(Bytes::new())
        .unwrap()
}

#[tokio::test]
async fn r26_no_responder_makes_a_refusal_storable() {
    for case in Case::ALL
        .into_iter()
        .filter(|case| case.reaches_responder())
    {
        let (response, _) = refused(case, false, |layer| layer.responder(storable)).await;
        assert_eq!(response.values("cache-control"), ["no-store"], "{case:?}");
        let vary = ["accept-language, x-api-key, authorization"];
        assert_eq!(response.values("vary"), vary, "{case:?}");
    }

    // A guard does not know which headers carry keys.
    let ring = ring();
    let key = issue(&ring, "orders:read").await;
    let key = key.secret().expose();
    let guard = RequireScopeLayer::new("orders:write").responder(storable);
    let service = ApiKeyLayer::new(ring).layer(guard.layer(Inner::new()));
    let lacking = send(&service, with_key(key)).await;
    assert_eq!(lacking.status, StatusCode::FORBIDDEN);
    assert_eq!(lacking.values("cache-control"), ["no-store"]);
    assert_eq!(lacking.values("vary"), ["*"]);
}

#[tokio::test]
async fn r18_a_responder_is_not_asked_about_grpc_requests() {
    for case in Case::ALL
        .into_iter()
        .filter(|case| case.reaches_responder())
    {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let responder = move |rejection: &Rejection| {
            counter.fetch_add(1, Ordering::Relaxed);
            teapot(rejection)
        };
        let (with, _) = refused(case, true, |layer| layer.responder(responder)).await;
        let (without, _) = refused(case, true, |layer| layer).await;

        assert_eq!(with.status, without.status, "{case:?}");
        assert_eq!(with.headers, without.headers, "{case:?}");
        assert_eq!(with.body, "", "{case:?}");
        assert_eq!(with.kind(), without.kind(), "{case:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 0, "{case:?}");
    }
}

#[tokio::test]
async fn a_guard_has_a_responder_of_its_own_for_lacking_scopes() {
    let ring = ring();
    let issued = issue(&ring, "orders:read").await;
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(ring).danger_without_cache_guard())
        .layer(RequireScopeLayer::new("orders:write").responder(teapot))
        .service(Inner::new());

    let lacking = send(&service, with_key(issued.secret().expose())).await;
    assert_eq!(lacking.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(
        sorted_headers(&lacking),
        [
            ("cache-control", "no-store"),
            ("content-length", "45"),
            ("vary", "*"),
            ("x-kind", "InsufficientScope")
        ]
    );
    assert_eq!(
        lacking.body,
        "403 Insufficient scope: expected orders:write"
    );
    assert_eq!(lacking.kind(), Some(RejectionKind::InsufficientScope));

    let missing = send(&service, Request::new(())).await;
    assert_eq!(missing.status, StatusCode::UNAUTHORIZED);
    assert_eq!(missing.kind(), Some(RejectionKind::Missing));
}

#[tokio::test]
async fn vary_names_every_carrier_of_the_layer() {
    let sources = [
        (vec![Source::header(X_API_KEY).unwrap()], "x-api-key"),
        (vec![Source::bearer()], "authorization"),
        (vec![Source::bearer(), Source::api_key()], "authorization"),
        (vec![Source::scheme("Token").unwrap()], "authorization"),
        (vec![Source::authorization_raw()], "authorization"),
        (
            vec![
                Source::authorization_raw(),
                Source::header(X_API_KEY).unwrap(),
            ],
            "x-api-key, authorization",
        ),
        (
            vec![Source::bearer(), Source::header(X_API_KEY).unwrap()],
            "x-api-key, authorization",
        ),
        (vec![], "*"),
    ];
    for (sources, vary) in sources {
        let service = ApiKeyLayer::new(ring())
            .sources(sources.clone())
            .layer(Inner::new());
        let response = send(&service, Request::new(())).await;
        assert_eq!(response.kind(), Some(RejectionKind::Missing), "{sources:?}");
        assert_eq!(response.values("vary"), [vary], "{sources:?}");
    }
}

#[tokio::test]
async fn r18_only_the_name_of_a_grpc_content_type_asks_for_a_grpc_answer() {
    let service = ApiKeyLayer::new(ring()).layer(Inner::new());
    for (content_type, grpc) in [
        ("application/grpc", true),
        ("Application/gRPC+proto", true),
        ("application/grpc;charset=utf-8", true),
        ("application/grpc-web+json", true),
        ("application/grpc-web-text", true),
        ("application/grpcat", false),
        ("application/grpc-webs", false),
        ("application/grp", false),
        ("text/application/grpc", false),
    ] {
        let response = send(&service, as_grpc(Request::new(()), content_type)).await;
        let status = if grpc { 200 } else { 401 };
        assert_eq!(response.status, status, "{content_type}");
        let code = if grpc { vec!["16"] } else { vec![] };
        assert_eq!(response.values("grpc-status"), code, "{content_type}");
    }
}
