//! A key that lacks what a handler requires: the response of a guard, from inside the handler.

use bytes::Bytes;
use http::{Request, Response};
use tower::{Layer, service_fn};
use tower_api_key::{
    ApiKeyLayer, Rejection, RejectionKind, RequireScopeLayer, Requirement, VerifiedKey,
};

use crate::support::{Inner, as_grpc, key, ring, send, with_key};

fn write() -> Requirement {
    Requirement::any(["orders:write", "admin"]).unwrap()
}

async fn handler(request: Request<()>) -> Result<Response<Body>, std::convert::Infallible> {
    let key = request.extensions().get::<VerifiedKey>().unwrap();
    Ok(match key.require(&write()) {
        Ok(()) => Response::new(Bytes::from_static(b"written")),
        Err(rejection) => rejection.into_response(),
    }
    .map(Body::new))
}

type Body = http_body_util::Full<Bytes>;

#[tokio::test]
async fn a_handler_refuses_as_a_guard_does() {
    let ring = ring();
    let layer = ApiKeyLayer::new(ring.clone());
    assert!(layer.realms().eq([ring.realm()]));
    let reader = key(&ring, "orders:read").await;
    let inside = send(&layer.layer(service_fn(handler)), with_key(&reader)).await;
    let guarded = layer.layer(RequireScopeLayer::new(write()).layer(Inner::new()));
    let guarded = send(&guarded, with_key(&reader)).await;
    assert_eq!(inside.status, 403);
    assert_eq!(inside.headers, guarded.headers);
    assert_eq!(inside.body, guarded.body);
    let (inside, guarded) = (inside.rejection.unwrap(), guarded.rejection.unwrap());
    assert_eq!(format!("{inside:?}"), format!("{guarded:?}"));
    assert_eq!(inside.requirement(), Some(&write()));
    assert_eq!(guarded.requirement(), Some(&write()));
    assert_eq!(inside.grpc_code(), 7);

    let admin = key(&ring, "admin").await;
    let let_in = send(&layer.layer(service_fn(handler)), with_key(&admin)).await;
    assert_eq!(let_in.status, 200);
    assert_eq!(let_in.body, "written");
    assert!(let_in.rejection.is_none());
}

fn saying(what: &'static str) -> impl Fn(&Rejection) -> Response<Bytes> + Clone {
    move |rejection| {
        let mut response = Response::new(Bytes::from_static(what.as_bytes()));
        *response.status_mut() = rejection.status();
        response
    }
}

/// One responder for a stack: it answers every refusal, unless a guard has its own responder.
#[tokio::test]
async fn the_responder_of_a_layer_answers_for_what_is_further_in() {
    let ring = ring();
    let layer = ApiKeyLayer::new(ring.clone()).responder(saying("the layer"));
    let reader = key(&ring, "orders:read").await;
    let guard = RequireScopeLayer::new(write());
    let own = guard.clone().responder(saying("the guard"));
    for (response, said) in [
        (
            send(&layer.layer(service_fn(handler)), with_key(&reader)).await,
            "the layer",
        ),
        (
            send(&layer.layer(guard.layer(Inner::new())), with_key(&reader)).await,
            "the layer",
        ),
        (
            send(&layer.layer(own.layer(Inner::new())), with_key(&reader)).await,
            "the guard",
        ),
    ] {
        assert_eq!(
            (response.status.as_u16(), &response.body),
            (403, &said.into())
        );
        assert_eq!(response.kind(), Some(RejectionKind::InsufficientScope));
        assert_eq!(response.values("cache-control"), ["no-store"]);
    }
    let grpc = as_grpc(with_key(&reader), "application/grpc");
    let refused = send(&layer.layer(guard.layer(Inner::new())), grpc).await;
    assert_eq!(refused.values("grpc-status"), ["7"]);
    assert_eq!(refused.body, "");

    let let_in = send(&layer.layer(Inner::new()), with_key(&reader)).await;
    assert_eq!(let_in.body, "inner");
}
