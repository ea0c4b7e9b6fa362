//! Rejections that a method of tonic returns as its status.

use std::sync::OnceLock;

use http::Extensions;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tower_api_key::{
    ApiKeyLayer, EventKind, KeyRing, ManualClock, Rejection, RejectionKind, Requirement,
    VerifiedKey,
};

use super::greeter::{Check, PATH, Server, say};
use super::{assert_status, metadata};
use crate::events::{Recorder, about, nameless, rejected};
use crate::support::{START, issue};

/// The conversion in `examples/tonic.rs`.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn status(rejection: Rejection) -> Status {
    let metadata = MetadataMap::from_headers(rejection.grpc_metadata());
    Status::with_metadata(rejection.grpc_code().into(), rejection.detail(), metadata)
}

fn requires_write(extensions: &Extensions) -> Result<(), Status> {
    let key = VerifiedKey::of(extensions).map_err(status)?;
    let write = Requirement::scope("write").unwrap();
    key.require(&write).map_err(status)
}

/// A server with a layer, its ring, and the observers of both.
struct Fixture {
    server: Server,
    ring: KeyRing,
    of_ring: Recorder,
    of_layer: Recorder,
}

async fn fixture(check: Check, layer: fn(KeyRing) -> ApiKeyLayer) -> Fixture {
    let (of_ring, of_layer) = (Recorder::default(), Recorder::default());
    let builder = KeyRing::builder("acme").realm("orders");
    let builder = builder.clock(ManualClock::new(START));
    let ring = builder
        .observer(of_ring.clone())
        .build(tower_api_key::store::MemoryStore::new())
        .unwrap();
    let layer = layer(ring.clone()).observer(of_layer.clone());
    Fixture {
        server: Server::checking(layer, check).await,
        ring,
        of_ring,
        of_layer,
    }
}

#[tokio::test]
async fn r18_a_requirement_inside_a_method_is_a_rejection_to_the_observers() {
    let fixture = fixture(requires_write, ApiKeyLayer::new).await;
    let Fixture { server, ring, .. } = &fixture;
    let (reader, writer) = (issue(ring, "read").await, issue(ring, "write").await);
    fixture.of_ring.take();

    let presented = metadata([("x-api-key", reader.secret().expose())]);
    let refused = say(server, PATH, presented, "hello").await;
    let sent = refused.as_ref().unwrap_err().metadata();
    assert_eq!(sent.get("cache-control").unwrap(), "no-store");
    assert_status(
        refused,
        Code::PermissionDenied,
        "Insufficient scope: expected write",
        server.calls(),
    );
    let kind = rejected(RejectionKind::InsufficientScope);
    let told = [about(kind, reader.record())];
    assert_eq!(fixture.of_ring.take(), told);
    assert_eq!(fixture.of_layer.take(), told);

    let presented = metadata([("x-api-key", writer.secret().expose())]);
    say(server, PATH, presented, "hello").await.unwrap();
    let told = [about(EventKind::Authenticated, writer.record())];
    assert_eq!(fixture.of_ring.take(), told);
    fixture.server.stop().await;
}

#[tokio::test]
async fn r18_a_method_behind_an_optional_layer_refuses_as_the_layer_would() {
    let optional = |ring| ApiKeyLayer::new(ring).optional();
    let fixture = fixture(requires_write, optional).await;
    let missing = say(&fixture.server, PATH, metadata([]), "hello").await;
    assert_status(
        missing,
        Code::Unauthenticated,
        "API key missing",
        fixture.server.calls(),
    );
    let told = [nameless(rejected(RejectionKind::Missing), None)];
    assert_eq!(fixture.of_ring.take(), told);
    fixture.server.stop().await;
}

/// What an upstream sent: the same code, message and headers as a rejection.
static UPSTREAM: OnceLock<Status> = OnceLock::new();

/// A service that hands on the answer of an upstream, whose header has the content of a mark, has not
/// refused the key.
#[tokio::test]
async fn r18_a_status_from_elsewhere_is_no_rejection() {
    let upstream = fixture(requires_write, ApiKeyLayer::new).await;
    let reader = issue(&upstream.ring, "read").await;
    let presented = metadata([("x-api-key", reader.secret().expose())]);
    let refused = say(&upstream.server, PATH, presented, "hello").await;
    UPSTREAM.set(refused.unwrap_err()).unwrap();
    upstream.server.stop().await;

    let forged = |_: &Extensions| {
        let mut metadata = MetadataMap::new();
        metadata.insert("cache-control", MetadataValue::from_static("no-store"));
        let message = "Insufficient scope: expected write";
        Err(Status::with_metadata(7.into(), message, metadata))
    };
    for check in [
        |_: &Extensions| Err(UPSTREAM.get().unwrap().clone()),
        forged,
    ] {
        let fixture = fixture(check, ApiKeyLayer::new).await;
        let key = issue(&fixture.ring, "read").await;
        fixture.of_ring.take();
        let presented = metadata([("x-api-key", key.secret().expose())]);
        let refused = say(&fixture.server, PATH, presented, "hello").await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(refused.metadata().get("cache-control").unwrap(), "no-store");
        let told = [about(EventKind::Authenticated, key.record())];
        assert_eq!(fixture.of_ring.take(), told);
        fixture.server.stop().await;
    }
}
