//! Rule 18: a gRPC client gets a gRPC status, from a real server to a real client.

mod greeter;
mod handlers;
mod python;
mod routes;
mod wire;

use std::time::Duration;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tower_api_key::{
    ApiKeyLayer, KeyRing, RequireScopeLayer, Requirement, RevocationReason, Source, StatusProfile,
};

use self::greeter::{PATH, Server, say};
use crate::stores::{Outcome, ScriptedStore, scripted_ring, scripted_ring_with};
use crate::support::{X_API_KEY, issue, key, ring};

fn metadata<const N: usize>(entries: [(&'static str, &str); N]) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for (name, value) in entries {
        metadata.append(name, MetadataValue::try_from(value).unwrap());
    }
    metadata
}

#[track_caller]
fn assert_status(result: Result<String, Status>, code: Code, message: &str, calls: usize) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    assert_eq!(status.message(), message);
    assert_eq!(status.details(), b"");
    assert_eq!(calls, 0, "the method ran");
}

/// A server that requires `read`, over a scripted store.
async fn reading_server() -> (Server, KeyRing, ScriptedStore) {
    let (ring, _, store) = scripted_ring();
    let layer = ApiKeyLayer::new(ring.clone())
        .sources([Source::header(X_API_KEY).unwrap(), Source::bearer()])
        .require("read");
    (Server::start(layer).await, ring, store)
}

#[tokio::test]
async fn r18_a_method_reads_the_proof_from_the_extensions() {
    let (server, ring, _) = reading_server().await;
    let key = key(&ring, "read write").await;
    let bearer = format!("Bearer {key}");
    for presented in [
        metadata([("x-api-key", &key)]),
        metadata([("authorization", &bearer)]),
    ] {
        let answer = say(&server, PATH, presented, "hello").await;
        assert_eq!(answer.unwrap(), "hello, alice (read write); no credential");
    }
    assert_eq!(server.calls(), 2);
    server.stop().await;
}

#[tokio::test]
async fn r18_a_client_without_a_valid_key_is_unauthenticated() {
    let (server, ring, _) = reading_server().await;
    let unknown = key(&self::ring(), "read").await;
    let revoked = issue(&ring, "read").await;
    ring.revoke(revoked.record().id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();

    let missing = say(&server, PATH, metadata([]), "hello").await;
    assert_status(
        missing,
        Code::Unauthenticated,
        "API key missing",
        server.calls(),
    );
    for presented in ["nonsense", &unknown, revoked.secret().expose()] {
        let invalid = say(&server, PATH, metadata([("x-api-key", presented)]), "hello").await;
        assert_status(
            invalid,
            Code::Unauthenticated,
            "Invalid API key",
            server.calls(),
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn r18_a_key_that_lacks_the_scope_is_denied() {
    let (server, ring, _) = reading_server().await;
    let key = key(&ring, "write").await;
    let lacking = say(&server, PATH, metadata([("x-api-key", &key)]), "hello").await;
    assert_status(
        lacking,
        Code::PermissionDenied,
        "Insufficient scope: expected read",
        server.calls(),
    );
    server.stop().await;
}

#[tokio::test]
async fn r18_an_ambiguous_key_is_an_invalid_argument() {
    let (server, ring, _) = reading_server().await;
    let key = key(&ring, "read").await;
    let bearer = format!("Bearer {key}");
    let table = [
        (
            metadata([("x-api-key", &key), ("x-api-key", &key)]),
            "Ambiguous API key: the header is repeated",
        ),
        (
            metadata([("x-api-key", &key), ("authorization", &bearer)]),
            "Ambiguous API key: several headers carry one",
        ),
        (
            metadata([("x-api-key", &key), ("x_api_key", "other")]),
            "Ambiguous API key: a header differs from the expected one only in _ and -",
        ),
    ];
    for (presented, message) in table {
        let ambiguous = say(&server, PATH, presented, "hello").await;
        assert_status(ambiguous, Code::InvalidArgument, message, server.calls());
    }
    server.stop().await;
}

#[tokio::test]
async fn r18_a_key_in_the_url_or_the_referer_is_an_invalid_argument() {
    let (server, ring, _) = reading_server().await;
    let key = key(&ring, "read").await;
    let query = format!("{PATH}?key={key}");
    let in_url = say(&server, &query, metadata([("x-api-key", &key)]), "hello").await;
    assert_status(
        in_url,
        Code::InvalidArgument,
        "API key in URL: send it in a header, and replace this key",
        server.calls(),
    );
    let referer = format!("https://acme.test/?key={key}");
    let in_referer = say(
        &server,
        PATH,
        metadata([("x-api-key", &key), ("referer", &referer)]),
        "hello",
    )
    .await;
    assert_status(
        in_referer,
        Code::InvalidArgument,
        "API key in Referer: send it in a header, and replace this key",
        server.calls(),
    );
    server.stop().await;
}

#[tokio::test]
async fn r18_a_store_without_an_answer_is_unavailable() {
    let (server, ring, store) = reading_server().await;
    let key = key(&ring, "read").await;
    for outcome in [Outcome::Error, Outcome::Panic] {
        store.answer(outcome);
        let down = say(&server, PATH, metadata([("x-api-key", &key)]), "hello").await;
        assert_status(
            down,
            Code::Unavailable,
            "Key store unavailable",
            server.calls(),
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn r18_a_store_that_answers_late_or_never_works_through_the_server() {
    let bound = Duration::from_secs(3);
    let (ring, clock, store) = scripted_ring_with(|builder| builder.lookup_timeout(bound));
    let key = key(&ring, "read").await;
    let server = Server::start(ApiKeyLayer::new(ring)).await;
    store.hold();
    let wait_for_look_ups = async |count| {
        for _ in 0..10_000_000 {
            if store.held() >= count && clock.sleepers() > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("the look-up was never asked for");
    };

    let late = say(&server, PATH, metadata([("x-api-key", &key)]), "hello");
    let release = async {
        wait_for_look_ups(1).await;
        assert!(store.release(0, Outcome::Honest));
    };
    let (answer, ()) = tokio::join!(late, release);
    assert_eq!(answer.unwrap(), "hello, alice (read); no credential");
    assert_eq!(server.calls(), 1);
    // Releases the sleeper of the answered request.
    clock.advance(bound);

    let never = say(&server, PATH, metadata([("x-api-key", &key)]), "hello");
    let give_up = async {
        wait_for_look_ups(2).await;
        clock.advance(bound);
    };
    // Only a safety net: if a wait has no bound, the test fails here instead of hanging.
    let net = Duration::from_mins(1);
    let both = async { tokio::join!(never, give_up) };
    let (answer, ()) = tokio::time::timeout(net, both).await.unwrap();
    let calls = server.calls() - 1;
    assert_status(answer, Code::Unavailable, "Key store unavailable", calls);
    server.stop().await;
}

#[tokio::test]
async fn r18_a_guard_without_an_authenticator_is_an_internal_error() {
    let server = Server::start(RequireScopeLayer::new("read")).await;
    let key = key(&ring(), "read").await;
    let answer = say(&server, PATH, metadata([("x-api-key", &key)]), "hello").await;
    assert_status(
        answer,
        Code::Internal,
        "Authentication layer missing",
        server.calls(),
    );
    server.stop().await;
}

#[tokio::test]
async fn r18_a_guard_inside_an_authenticator_answers_as_the_layer_does() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let optional = ApiKeyLayer::new(ring).optional();
    let server = Server::start((optional, RequireScopeLayer::new("write"))).await;

    let lacking = say(&server, PATH, metadata([("x-api-key", &key)]), "hello").await;
    assert_status(
        lacking,
        Code::PermissionDenied,
        "Insufficient scope: expected write",
        server.calls(),
    );
    let missing = say(&server, PATH, metadata([]), "hello").await;
    assert_status(
        missing,
        Code::Unauthenticated,
        "API key missing",
        server.calls(),
    );
    server.stop().await;
}

#[tokio::test]
async fn r18_an_optional_layer_lets_an_anonymous_call_through() {
    let server = Server::start(ApiKeyLayer::new(ring()).optional()).await;
    let answer = say(&server, PATH, metadata([]), "hello").await;
    assert_eq!(answer.unwrap(), "hello, nobody; no credential");
    server.stop().await;
}

#[tokio::test]
async fn r18_a_message_with_a_percent_sign_arrives_as_it_was() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let required = Requirement::any(["50%", "a%20b", "100%%"]).unwrap();
    let server = Server::start(ApiKeyLayer::new(ring).require(required)).await;
    let lacking = say(&server, PATH, metadata([("x-api-key", &key)]), "hello").await;
    assert_status(
        lacking,
        Code::PermissionDenied,
        "Insufficient scope: expected 50% or a%20b or 100%%",
        server.calls(),
    );
    server.stop().await;
}

#[tokio::test]
async fn r18_neither_a_profile_nor_a_responder_changes_what_a_client_gets() {
    let layer = ApiKeyLayer::new(ring())
        .profile(StatusProfile::AwsGateway)
        .responder(|_| panic!("a gRPC client reads no such response"));
    let server = Server::start(layer).await;
    let missing = say(&server, PATH, metadata([]), "hello").await;
    assert_status(
        missing,
        Code::Unauthenticated,
        "API key missing",
        server.calls(),
    );
    let invalid = say(&server, PATH, metadata([("x-api-key", "?")]), "hello").await;
    assert_status(
        invalid,
        Code::Unauthenticated,
        "Invalid API key",
        server.calls(),
    );
    server.stop().await;
}
