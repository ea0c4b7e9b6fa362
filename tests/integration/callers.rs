//! Who called, in the extensions of a response.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyLayer, Caller, Grant, Issued, KeyRing, Rejection, RequireKeyLayer, RequireScopeLayer,
    ResponseGuardLayer, RouteTable, Source, store::MemoryStore,
};

use crate::events::Later;
use crate::support::{Inner, issue, ring, with_key};

async fn answer<S, B>(service: &S, request: Request<()>) -> (u16, Option<Caller>)
where
    S: Service<Request<()>, Response = Response<B>, Error = std::convert::Infallible> + Clone,
{
    let response = service.clone().oneshot(request).await.unwrap();
    let caller = response.extensions().get::<Caller>().cloned();
    (response.status().as_u16(), caller)
}

#[track_caller]
fn assert_is(caller: Option<&Caller>, issued: &Issued) {
    let (caller, record) = (caller.expect("a caller"), issued.record());
    assert_eq!(caller.id(), record.id());
    assert_eq!(caller.realm(), record.realm());
    assert_eq!(caller.subject(), record.subject());
}

#[tokio::test]
async fn each_response_to_a_valid_key_names_it_and_no_other() {
    for later in [false, true] {
        let builder = KeyRing::builder("acme");
        let store = MemoryStore::new();
        let ring = if later {
            builder.build(Later { store }).unwrap()
        } else {
            builder.build(store).unwrap()
        };
        let reader = issue(&ring, "read").await;
        let key = || with_key(reader.secret().expose());
        let layer = ApiKeyLayer::new(ring.clone()).caller_in_response();
        let plain = Inner::new();
        let guarded = RequireScopeLayer::new("write").layer(Inner::new());
        let lacking = layer.clone().require("write").layer(plain.clone());
        let table = RouteTable::builder().get("/other", "read").build().unwrap();
        let routed = layer.clone().routes(table).layer(plain.clone());
        let answered = layer.clone().responder(|rejection: &Rejection| {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = rejection.status();
            response
        });

        for (name, (status, caller), expected) in [
            (
                "accepted",
                answer(&layer.layer(plain.clone()), key()).await,
                200,
            ),
            ("lacking a scope", answer(&lacking, key()).await, 403),
            ("of no route", answer(&routed, key()).await, 403),
            (
                "by a guard",
                answer(&layer.layer(guarded.clone()), key()).await,
                403,
            ),
            (
                "by a responder",
                answer(&answered.layer(guarded.clone()), key()).await,
                403,
            ),
        ] {
            assert_eq!(status, expected, "{name}, later: {later}");
            assert_is(caller.as_ref(), &reader);
        }

        let revoked = issue(&ring, "read").await;
        let reason = tower_api_key::RevocationReason::Unspecified;
        ring.revoke(revoked.record().id(), reason).await.unwrap();
        let optional = layer.clone().optional();
        for (name, (status, caller), expected) in [
            (
                "no key",
                answer(&layer.layer(plain.clone()), Request::new(())).await,
                401,
            ),
            (
                "anonymous",
                answer(&optional.layer(plain.clone()), Request::new(())).await,
                200,
            ),
            (
                "anonymous, by a guard",
                answer(&optional.layer(guarded), Request::new(())).await,
                401,
            ),
            (
                "revoked",
                answer(
                    &layer.layer(plain.clone()),
                    with_key(revoked.secret().expose()),
                )
                .await,
                401,
            ),
        ] {
            assert_eq!(status, expected, "{name}, later: {later}");
            assert!(caller.is_none(), "{name}, later: {later}: {caller:?}");
        }

        let untold = ApiKeyLayer::new(ring).layer(plain);
        assert!(answer(&untold, key()).await.1.is_none());
    }
}

/// A layer that hands its refusals on, and a decision that is a call.
#[tokio::test]
async fn a_refusal_that_is_handed_on_or_called_names_a_valid_key_too() {
    for later in [false, true] {
        let (builder, store) = (KeyRing::builder("acme"), MemoryStore::new());
        let ring = if later {
            builder.build(Later { store }).unwrap()
        } else {
            builder.build(store).unwrap()
        };
        let reader = issue(&ring, "read").await;
        let table = RouteTable::builder().get("/", "read").get("/all", "all");
        let table = table.build().unwrap();
        let layer = ApiKeyLayer::new(ring).routes(table).caller_in_response();
        let answering = layer.clone().responder(|rejection: &Rejection| {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = rejection.status();
            response
        });
        let session = |extensions: &http::Extensions| extensions.get::<&str>().is_some();
        let at = |path: &str, mut request: Request<()>| {
            *request.uri_mut() = path.parse().unwrap();
            request
        };
        for layer in [layer, answering] {
            let guard = RequireKeyLayer::new().or(session).layer(Inner::new());
            let lenient = layer.clone().allow_missing_or_failed().layer(guard);
            let authenticator = layer.authenticator();
            let by_call = service_fn(move |request: Request<()>| {
                let authenticator = authenticator.clone();
                async move {
                    let mut parts = request.into_parts().0;
                    let key = authenticator.authenticate(&mut parts).await;
                    let response = match key {
                        Ok(_) => Response::new(Bytes::new()),
                        Err(rejection) => rejection.into_response(),
                    };
                    Ok::<_, std::convert::Infallible>(response.map(Full::new))
                }
            });
            let by_call = ResponseGuardLayer::new().layer(by_call);
            for (path, expected) in [("/", 200), ("/all", 403), ("/unknown", 403)] {
                let request = || at(path, with_key(reader.secret().expose()));
                for (way, (status, caller)) in [
                    ("handed on", answer(&lenient, request()).await),
                    ("by_call", answer(&by_call, request()).await),
                ] {
                    assert_eq!(status, expected, "{way} {path}, later: {later}");
                    assert_is(caller.as_ref(), &reader);
                }
                for wrong in [Request::new(()), with_key("nonsense")] {
                    let wrong = at(path, wrong);
                    assert!(answer(&by_call, wrong.clone()).await.1.is_none());
                    assert!(answer(&lenient, wrong).await.1.is_none());
                }
            }
            // A session answers, and whose key it was is said all the same.
            let mut request = at("/all", with_key(reader.secret().expose()));
            request.extensions_mut().insert("a session");
            let (status, caller) = answer(&lenient, request).await;
            assert_eq!(status, 200);
            assert_is(caller.as_ref(), &reader);
        }
    }
}

#[tokio::test]
async fn of_two_rings_and_of_two_layers_the_caller_is_named() {
    let (outer, inner) = (ring(), KeyRing::builder("beta").build(MemoryStore::new()));
    let inner = inner.unwrap();
    let (of_outer, of_inner) = (issue(&outer, "read").await, issue(&inner, "read").await);
    let either = ApiKeyLayer::new(outer.clone())
        .or(inner.clone())
        .caller_in_response()
        .layer(Inner::new());
    for issued in [&of_outer, &of_inner] {
        let (_, caller) = answer(&either, with_key(issued.secret().expose())).await;
        assert_is(caller.as_ref(), issued);
    }

    let carrier = http::HeaderName::from_static("x-beta-key");
    let inner = ApiKeyLayer::new(inner)
        .sources([Source::header(carrier.clone()).unwrap()])
        .caller_in_response();
    let stack = ApiKeyLayer::new(outer)
        .caller_in_response()
        .layer(inner.layer(Inner::new()));
    let mut both = with_key(of_outer.secret().expose());
    let value = of_inner.secret().expose().parse().unwrap();
    both.headers_mut().insert(carrier, value);
    let (status, caller) = answer(&stack, both).await;
    assert_eq!(status, 200);
    assert_is(caller.as_ref(), &of_outer);
}

#[tokio::test]
async fn r06_a_caller_shows_no_key_material() {
    let ring = ring();
    let issued = ring
        .issue(Grant::new("alice").label("a label"))
        .await
        .unwrap();
    let service = ApiKeyLayer::new(ring)
        .caller_in_response()
        .layer(Inner::new());
    let (_, caller) = answer(&service, with_key(issued.secret().expose())).await;
    let id = issued.record().id();
    let shown = format!("{:?}", caller.unwrap());
    let expected = format!(r#"Caller {{ id: {id:?}, realm: "orders", subject: "alice", .. }}"#);
    assert_eq!(shown, expected);
}

/// The extension is of the type's own: no guard takes a response's caller for a proof.
#[tokio::test]
async fn r11_a_caller_in_a_request_authenticates_nobody() {
    let ring = ring();
    let issued = issue(&ring, "read").await;
    let service = ApiKeyLayer::new(ring)
        .caller_in_response()
        .layer(Inner::new());
    let (_, caller) = answer(&service, with_key(issued.secret().expose())).await;
    let mut planted = Request::new(());
    planted.extensions_mut().insert(caller.unwrap());
    let guard = RequireScopeLayer::new("read").layer(Inner::new());
    let response: Response<tower_api_key::ResponseBody<Full<Bytes>>> =
        guard.oneshot(planted).await.unwrap();
    assert_eq!(response.status(), 500);
}
