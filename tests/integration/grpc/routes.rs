//! A table with the methods of a service, outside the server's router and on the service itself.

use tonic::Code;
use tower_api_key::{Access, ApiKeyLayer, KeyRing, RouteTable};

use super::greeter::{Server, say};
use super::{assert_status, metadata};
use crate::support::{key, ring};

fn layer(ring: &KeyRing) -> ApiKeyLayer {
    let table = RouteTable::builder()
        .grpc("acme.Greeter", "Say", "read")
        .grpc("acme.Greeter", "Shout", "write")
        .grpc("acme.Greeter", "Version", Access::Public)
        .build()
        .unwrap();
    ApiKeyLayer::new(ring.clone()).routes(table)
}

#[tokio::test]
async fn r18_each_method_of_a_service_asks_for_its_own_scope() {
    let ring = ring();
    let reader = key(&ring, "read").await;
    for server in [
        Server::start(layer(&ring)).await,
        Server::inside(layer(&ring)).await,
    ] {
        let with_key = || metadata([("x-api-key", &reader)]);
        let denied = |result, message| {
            assert_status(result, Code::PermissionDenied, message, server.calls());
        };
        let shout = say(&server, "/acme.Greeter/Shout", with_key(), "hello").await;
        denied(shout, "Insufficient scope: expected write");
        for path in [
            "/acme.Greeter/Whisper",
            "/acme.Greeter/say",
            "/acme.Greeter/Say/",
        ] {
            denied(
                say(&server, path, with_key(), "hello").await,
                "Unknown route",
            );
        }
        let anonymous = say(&server, "/acme.Greeter/Say", metadata([]), "hello").await;
        assert_status(
            anonymous,
            Code::Unauthenticated,
            "API key missing",
            server.calls(),
        );

        let answer = say(&server, "/acme.Greeter/Version", metadata([]), "hello").await;
        assert_eq!(answer.unwrap(), "hello, nobody; no credential");
        let answer = say(&server, "/acme.Greeter/Say", with_key(), "hello").await;
        assert_eq!(answer.unwrap(), "hello, alice (read); no credential");
        assert_eq!(server.calls(), 2);
        server.stop().await;
    }
}
