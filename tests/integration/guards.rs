//! Scope guards: what they accept and refuse, and what they do if no layer authenticates.

use std::panic::catch_unwind;

use http::{Request, StatusCode};
use proptest::prelude::*;
use tower::{Layer, ServiceBuilder};
use tower_api_key::{
    ApiKeyLayer, ErrorKind, KeyRing, RejectionKind, RequireScopeLayer, Requirement, Scope,
    ScopeSet, StatusProfile,
};

use crate::support::{Inner, Whole, as_grpc, key, ring, send, with_key};

const INVALID_SCOPE: &str =
    "invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\";

#[track_caller]
fn assert_all(responses: &[(Whole, usize)], passes: bool, what: &str) {
    for (response, calls) in responses {
        if passes {
            assert_eq!(response.status, StatusCode::OK, "{what}");
            assert_eq!(*calls, 1, "{what}");
        } else {
            let kind = Some(RejectionKind::InsufficientScope);
            assert_eq!(response.kind(), kind, "{what}");
            assert_eq!(response.status, StatusCode::FORBIDDEN, "{what}");
            assert_eq!(*calls, 0, "{what}");
        }
    }
}

/// Sends a key with these scopes through a layer that requires something, and through a guard with
/// the same requirement inside a plain layer. Returns the responses, and the number of calls of the
/// inner service.
async fn both_ways(ring: &KeyRing, held: &str, required: &Requirement) -> [(Whole, usize); 2] {
    let key = key(ring, held).await;
    let layer = ApiKeyLayer::new(ring.clone());
    let (first, second) = (Inner::new(), Inner::new());
    let in_one = layer.clone().require(required.clone()).layer(first.clone());
    let guarded = ServiceBuilder::new()
        .layer(layer)
        .layer(RequireScopeLayer::new(required.clone()))
        .service(second.clone());
    let in_one = send(&in_one, with_key(&key)).await;
    let guarded = send(&guarded, with_key(&key)).await;
    [(in_one, first.calls()), (guarded, second.calls())]
}

#[tokio::test]
async fn r15_a_guard_alone_refuses_everything_as_a_server_error() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let grpc = as_grpc(with_key(&key), "application/grpc");
    for (request, status) in [
        (Request::new(()), StatusCode::INTERNAL_SERVER_ERROR),
        (with_key(&key), StatusCode::INTERNAL_SERVER_ERROR),
        (grpc, StatusCode::OK),
    ] {
        let inner = Inner::new();
        let service = RequireScopeLayer::new("read").layer(inner.clone());
        let response = send(&service, request).await;
        assert_eq!(response.status, status);
        assert_eq!(response.kind(), Some(RejectionKind::NotAuthenticated));
        assert_eq!(inner.calls(), 0);
    }
}

#[tokio::test]
async fn r15_a_guard_outside_its_authenticator_refuses_valid_keys_too() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(RequireScopeLayer::new("read"))
        .layer(ApiKeyLayer::new(ring))
        .service(inner.clone());

    let response = send(&service, with_key(&key)).await;

    assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.kind(), Some(RejectionKind::NotAuthenticated));
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn r15_a_guard_behind_an_optional_layer_asks_for_the_key_as_that_layer_would() {
    let profiles = [
        (StatusProfile::Rfc9110, StatusCode::UNAUTHORIZED),
        (StatusProfile::FastApi, StatusCode::UNAUTHORIZED),
        (StatusProfile::AwsGateway, StatusCode::FORBIDDEN),
    ];
    for (profile, status) in profiles {
        let layer = ApiKeyLayer::new(ring())
            .profile(profile)
            .danger_without_cache_guard();
        let inner = Inner::new();
        let guarded = ServiceBuilder::new()
            .layer(layer.clone().optional())
            .layer(RequireScopeLayer::new("read"))
            .service(inner.clone());
        let mandatory = layer.layer(inner.clone());

        let response = send(&guarded, Request::new(())).await;
        let expected = send(&mandatory, Request::new(())).await;

        assert_eq!(response.status, status, "{profile:?}");
        assert_eq!(response.kind(), Some(RejectionKind::Missing), "{profile:?}");
        assert_eq!(response.headers, expected.headers, "{profile:?}");
        assert_eq!(response.body, expected.body, "{profile:?}");
        assert_eq!(inner.calls(), 0, "{profile:?}");
    }
}

#[tokio::test]
async fn r15_an_optional_layer_that_requires_a_scope_requires_a_key() {
    let inner = Inner::new();
    for layer in [
        ApiKeyLayer::new(ring()).optional().require("read"),
        ApiKeyLayer::new(ring()).require("read").optional(),
    ] {
        let response = send(&layer.layer(inner.clone()), Request::new(())).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
        assert_eq!(response.kind(), Some(RejectionKind::Missing));
    }
    assert_eq!(inner.calls(), 0);
}

#[test]
fn r15_a_requirement_of_nothing_does_not_build() {
    let nothing: [&str; 0] = [];
    let nothing_nested: [Requirement; 0] = [];
    for built in [
        Requirement::all(nothing),
        Requirement::any(nothing),
        Requirement::all(nothing_nested.clone()),
        Requirement::any(nothing_nested),
    ] {
        assert_eq!(built.unwrap_err().kind(), ErrorKind::EmptyRequirement);
    }
}

#[tokio::test]
async fn nested_requirements_are_met_as_they_read() {
    let ring = ring();
    let all = |these: [&str; 2]| Requirement::all(these).unwrap();
    let any = |these: [&str; 2]| Requirement::any(these).unwrap();
    let any_of_alls = Requirement::any([all(["a", "b"]), all(["c", "d"])]).unwrap();
    let all_of_anys = Requirement::all([any(["a", "b"]), any(["c", "d"])]).unwrap();
    let deep = Requirement::all([
        Requirement::scope("a").unwrap(),
        Requirement::any([Requirement::scope("b").unwrap(), all(["c", "d"])]).unwrap(),
    ])
    .unwrap();
    let table = [
        (&any_of_alls, "(a and b) or (c and d)", "a b", true),
        (&any_of_alls, "(a and b) or (c and d)", "c d", true),
        (&any_of_alls, "(a and b) or (c and d)", "a c", false),
        (&any_of_alls, "(a and b) or (c and d)", "", false),
        (&all_of_anys, "(a or b) and (c or d)", "a d", true),
        (&all_of_anys, "(a or b) and (c or d)", "a b", false),
        (&all_of_anys, "(a or b) and (c or d)", "", false),
        (&deep, "a and (b or (c and d))", "a b", true),
        (&deep, "a and (b or (c and d))", "a c d", true),
        (&deep, "a and (b or (c and d))", "a c", false),
        (&deep, "a and (b or (c and d))", "b c d", false),
    ];
    for (required, text, held, passes) in table {
        assert_eq!(required.to_string(), text);
        let responses = both_ways(&ring, held, required).await;
        assert_all(&responses, passes, &format!("{held:?} for {text}"));
        if !passes {
            let detail = format!("Insufficient scope: expected {text}");
            for (response, _) in &responses {
                assert_eq!(response.json()["detail"], detail);
            }
        }
    }
}

#[tokio::test]
async fn r30_a_scope_matches_itself_and_nothing_else() {
    let ring = ring();
    let table = [
        ("orders:read", "orders:read", true),
        ("a orders:read z", "orders:read", true),
        ("", "orders:read", false),
        ("orders", "orders:read", false),
        ("orders:", "orders:read", false),
        ("orders:readx", "orders:read", false),
        ("orders:read", "orders:readx", false),
        ("xorders:read", "orders:read", false),
        ("Orders:Read", "orders:read", false),
        ("orders:read", "ORDERS:READ", false),
        ("*", "orders:read", false),
        ("orders:*", "orders:read", false),
        ("orders:read", "*", false),
        ("orders:read", "orders:*", false),
        ("orders.*", "orders:read", false),
        ("**", "orders:read", false),
        ("orders/read", "orders:read", false),
        ("orders%3Aread", "orders:read", false),
        ("orders:read,orders:write", "orders:read", false),
        ("*", "*", true),
    ];
    for (held, required, passes) in table {
        let requirement = Requirement::scope(required).unwrap();
        let responses = both_ways(&ring, held, &requirement).await;
        assert_all(&responses, passes, &format!("{held:?} for {required:?}"));
    }
}

#[tokio::test]
async fn r30_a_denial_names_what_is_required_and_never_what_is_held() {
    let ring = ring();
    let requirement = Requirement::scope("orders:write").unwrap();
    for (response, _) in both_ways(&ring, "canary:held", &requirement).await {
        let told = format!("{:?} {:?}", response.headers, response.body);
        assert!(told.contains("orders:write"), "{told}");
        assert!(!told.contains("canary"), "{told}");
    }
}

#[tokio::test]
async fn stacked_guards_all_have_to_be_met_and_the_outermost_answers() {
    let ring = ring();
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(ring.clone()).require("a"))
        .layer(RequireScopeLayer::new("b"))
        .layer(RequireScopeLayer::new("c"))
        .service(inner.clone());
    let table = [
        ("", Some("a")),
        ("b c", Some("a")),
        ("a c", Some("b")),
        ("a", Some("b")),
        ("a b", Some("c")),
        ("a b c", None),
    ];
    for (held, lacking) in table {
        let before = inner.calls();
        let response = send(&service, with_key(&key(&ring, held).await)).await;
        if let Some(scope) = lacking {
            let detail = format!("Insufficient scope: expected {scope}");
            assert_eq!(response.status, StatusCode::FORBIDDEN, "{held:?}");
            assert_eq!(response.json()["detail"], detail, "{held:?}");
            assert_eq!(inner.calls(), before, "{held:?}");
        } else {
            assert_eq!(response.status, StatusCode::OK, "{held:?}");
            assert_eq!(inner.calls(), before + 1, "{held:?}");
        }
    }
}

#[test]
#[should_panic(
    expected = "invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\"
)]
fn r30_a_typo_in_a_guard_ends_the_start_of_the_program() {
    let _ = RequireScopeLayer::new("orders read");
}

#[test]
fn r30_a_literal_outside_the_grammar_panics_with_the_rule_and_not_with_the_text() {
    let too_long = "a".repeat(Scope::MAX_LEN + 1);
    for text in [
        "", " ", "a b", "a\"b", "a\\b", "a\nb", "é", "\u{7f}", &too_long,
    ] {
        let ring = ring();
        let text_of_guard = text.to_owned();
        let text_of_layer = text.to_owned();
        let panics = [
            catch_unwind(move || drop(RequireScopeLayer::new(text_of_guard.as_str()))),
            catch_unwind(std::panic::AssertUnwindSafe(move || {
                drop(ApiKeyLayer::new(ring).require(text_of_layer.as_str()));
            })),
        ];
        for panic in panics {
            let payload = panic.unwrap_err();
            let message = payload.downcast_ref::<String>().unwrap();
            assert_eq!(message, INVALID_SCOPE, "{text:?}");
        }
    }
}

proptest! {
    #[test]
    fn r30_what_is_not_a_scope_token_never_becomes_a_requirement(
        text in r#"[a-z:*" ,\\é\x00-\x20]{0,6}"#,
    ) {
        let token = !text.is_empty()
            && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        match Requirement::scope(&text) {
            Ok(requirement) => {
                prop_assert!(token);
                prop_assert_eq!(requirement.to_string(), text);
            }
            Err(error) => {
                prop_assert!(!token);
                prop_assert_eq!(error.kind(), ErrorKind::InvalidScope);
            }
        }
    }

    #[test]
    fn r30_a_requirement_is_met_by_exactly_the_sets_that_hold_its_scope(
        held in proptest::collection::vec("[ab:*,]{1,3}", 0..4),
        required in "[ab:*,]{1,3}",
    ) {
        let requirement = Requirement::scope(&required).unwrap();
        let scopes = ScopeSet::new(&held).unwrap();
        prop_assert_eq!(requirement.is_met_by(&scopes), held.contains(&required));
        prop_assert!(!requirement.is_met_by(&ScopeSet::empty()));
    }
}

#[tokio::test]
async fn r15_a_layer_that_requires_twice_requires_both() {
    let ring = ring();
    let layer = ApiKeyLayer::new(ring.clone()).require("a").require("b");
    for (scopes, status) in [
        ("a", StatusCode::FORBIDDEN),
        ("b", StatusCode::FORBIDDEN),
        ("a b", StatusCode::OK),
    ] {
        let key = key(&ring, scopes).await;
        let response = send(&layer.layer(Inner::new()), with_key(&key)).await;
        assert_eq!(response.status, status, "{scopes}");
    }
}
