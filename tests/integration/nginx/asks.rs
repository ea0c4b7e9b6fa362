//! Rule 12 through nginx's `auth_request`: the status of the answer decides if a request passes.

use tower::Layer;
use tower_api_key::{ApiKeyLayer, RequireScopeLayer};

use super::proxy::{Backend, Nginx, ask};
use crate::support::{Inner, key, ring};

const GRPC: [&str; 5] = [
    "application/grpc",
    "application/grpc+proto",
    "Application/gRPC;x=y",
    "application/grpc-web",
    "application/grpc-web-text+proto",
];

/// nginx as in its documentation: `auth_request` asks the first server, and accepted requests go to
/// the second.
async fn asking(test: &str, asked: &Backend, protected: &Backend, further: &str) -> Option<Nginx> {
    let server = format!(
        "location / {{ auth_request /auth; proxy_pass http://{}; }}\n\
         location = /auth {{ internal; proxy_pass http://{}; proxy_pass_request_body off;\n\
         proxy_set_header Content-Length \"\"; proxy_set_header X-Original-URI $request_uri;\n\
         {further} }}",
        protected.address, asked.address
    );
    Nginx::start(test, "", &server).await
}

#[tokio::test]
async fn r12_no_content_type_gets_a_request_past_auth_request() {
    const TEST: &str = "r12_no_content_type_gets_a_request_past_auth_request";
    let ring = ring();
    let key = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring);
    let responder = layer.clone().require("read").responder(|rejection| {
        let mut response = http::Response::new(bytes::Bytes::new());
        *response.status_mut() = rejection.status();
        response
    });
    let inner = Inner::new();
    let protected = Backend::start(inner.clone()).await;
    let lacking = RequireScopeLayer::new("write").layer(Inner::new());
    let asked = [
        (Backend::start(layer.layer(Inner::new())).await, 401, 200),
        (
            Backend::start(responder.layer(Inner::new())).await,
            401,
            200,
        ),
        (
            Backend::start(layer.clone().optional().layer(lacking)).await,
            401,
            403,
        ),
    ];
    let versions = ["", "proxy_http_version 1.1;"];
    for (server, missing, presented) in &asked {
        for version in versions {
            let Some(nginx) = asking(TEST, server, &protected, version).await else {
                return;
            };
            for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
                for content_type in GRPC {
                    let what = format!("{method} {content_type} {version}");
                    let calls = inner.calls();
                    let headers = [("content-type", content_type), ("te", "trailers")];
                    let answer = ask(nginx.address, method, "/", &headers).await;
                    assert_eq!(answer.status, *missing, "{what}: {answer:?}");
                    assert_eq!(inner.calls(), calls, "{what}");

                    let headers = [headers[0], headers[1], ("x-api-key", &key)];
                    let answer = ask(nginx.address, method, "/", &headers).await;
                    assert_eq!(answer.status, *presented, "{what}: {answer:?}");
                    let passed = usize::from(*presented == 200);
                    assert_eq!(inner.calls(), calls + passed, "{what}");
                }
            }
        }
    }
}

/// The remaining risk according to SECURITY.md: if a proxy forwards the client's method too, the
/// client can look like one of gRPC-Web. It cannot look like one of gRPC, because nginx does not ask
/// by HTTP/2.
#[tokio::test]
async fn r12_a_proxy_that_asks_with_the_clients_method_must_not_hand_on_its_content_type() {
    const TEST: &str =
        "r12_a_proxy_that_asks_with_the_clients_method_must_not_hand_on_its_content_type";
    let inner = Inner::new();
    let protected = Backend::start(inner.clone()).await;
    let asked = Backend::start(ApiKeyLayer::new(ring()).layer(Inner::new())).await;
    let method = "proxy_method $request_method; proxy_http_version 1.1;";
    let Some(nginx) = asking(TEST, &asked, &protected, method).await else {
        return;
    };
    for (content_type, status) in GRPC.into_iter().zip([401, 401, 401, 200, 200]) {
        let headers = [("content-type", content_type), ("te", "trailers")];
        let answer = ask(nginx.address, "POST", "/", &headers).await;
        assert_eq!(answer.status, status, "{content_type}");
    }

    let without = format!("{method} proxy_set_header Content-Type \"\";");
    let nginx = asking(TEST, &asked, &protected, &without).await.unwrap();
    let calls = inner.calls();
    for content_type in GRPC {
        let answer = ask(
            nginx.address,
            "POST",
            "/",
            &[("content-type", content_type)],
        )
        .await;
        assert_eq!(answer.status, 401, "{content_type}");
    }
    assert_eq!(inner.calls(), calls);
}
