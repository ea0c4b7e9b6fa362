//! A matrix passes over a right stack, and names the row of each mistake.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::store::{ListQuery, MemoryStore};
use tower_api_key::testing::{Fault, Matrix, MatrixError, Row};
use tower_api_key::{
    Access, ApiKeyLayer, InvalidCause, KeyRing, Rejection, RequireScopeLayer, Requirement,
    RouteTable, Source, StatusProfile, VerifiedKey, VerifyErrorKind,
};
use tower_api_key_sqlite::SqliteStore;

use crate::support::{X_API_KEY, poll_once, ring};

type Stack = BoxCloneService<Request<()>, Response<()>, Infallible>;

const BOTH: [&str; 2] = ["admin", "orders:write"];

fn table() -> RouteTable {
    RouteTable::builder()
        .get("/health", Access::Public)
        .get("/me", Access::AnyKey)
        .get("/orders/{id}", "orders:read")
        .delete("/orders/{id}", Requirement::all(BOTH).unwrap())
        .get("/audit", Requirement::any(["admin", "auditor"]).unwrap())
        .build()
        .unwrap()
}

/// A router by hand, without any check.
async fn handlers<B>(request: Request<B>) -> Result<Response<()>, Infallible> {
    let path = request.uri().path();
    let allowed = match path {
        "/health" | "/me" | "/audit" => &[Method::GET][..],
        _ if path.starts_with("/orders/") => &[Method::GET, Method::DELETE],
        _ => &[],
    };
    let mut response = Response::new(());
    *response.status_mut() = match allowed {
        [] => StatusCode::NOT_FOUND,
        methods if methods.contains(request.method()) => StatusCode::OK,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    Ok(response)
}

/// The handlers, without a type for their body.
fn open() -> Stack {
    service_fn(handlers::<()>).boxed_clone()
}

fn without_body<S, R>(service: S) -> Stack
where
    S: tower::Service<Request<()>, Response = Response<R>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    R: 'static,
{
    service
        .map_response(|response| response.map(drop))
        .boxed_clone()
}

fn behind(layer: &ApiKeyLayer) -> Stack {
    let bodies = service_fn(|request: Request<()>| async {
        let response = handlers(request).await?;
        Ok::<_, Infallible>(response.map(|()| http_body_util::Empty::<Bytes>::new()))
    });
    without_body(layer.layer(bodies))
}

fn right(ring: &KeyRing) -> Stack {
    behind(&ApiKeyLayer::new(ring.clone()).routes(table()))
}

/// A stack that passes some requests to its handlers, whatever their keys.
fn but_for(ring: &KeyRing, is_excepted: fn(&Request<()>) -> bool) -> Stack {
    let right = right(ring);
    let twisted = service_fn(move |request: Request<()>| {
        let stack = if is_excepted(&request) {
            open()
        } else {
            right.clone()
        };
        stack.oneshot(request)
    });
    twisted.boxed_clone()
}

/// A stack that passes keys of a cause for which they are invalid.
fn accepting(ring: &KeyRing, cause: InvalidCause) -> Stack {
    let (judge, right) = (ring.clone(), right(ring));
    let twisted = service_fn(move |request: Request<()>| {
        let (judge, right) = (judge.clone(), right.clone());
        async move {
            let stack = match request.headers().get(X_API_KEY) {
                Some(key) => match judge.verify(key.as_bytes()).await {
                    Err(error) if error.kind() == VerifyErrorKind::Invalid(cause) => open(),
                    _ => right,
                },
                None => right,
            };
            stack.oneshot(request).await
        }
    });
    twisted.boxed_clone()
}

/// A stack that changes requests before it authenticates them.
fn changing(ring: &KeyRing, change: fn(&mut Request<()>)) -> Stack {
    let right = right(ring);
    let changed = right.map_request(move |mut request: Request<()>| {
        change(&mut request);
        request
    });
    changed.boxed_clone()
}

fn rows(error: &MatrixError) -> BTreeSet<Row> {
    error.faults().iter().map(Fault::row).collect()
}

/// The mistakes that a matrix finds in a stack.
async fn found_in(ring: &KeyRing, stack: Stack) -> MatrixError {
    let matrix = Matrix::new(ring.clone(), table());
    matrix.check(stack).await.unwrap_err()
}

#[tokio::test]
async fn a_right_stack_passes() {
    let ring = ring();
    let matrix = Matrix::new(ring.clone(), table());
    let requests = matrix.check(right(&ring)).await.unwrap();
    assert!(requests > 200, "{requests}");
    // Nothing that it issued is left.
    let left = ring.list(&ListQuery::new().unrevoked()).await.unwrap();
    assert_eq!(left.records().len(), 0);
    let issued = ring.list(&ListQuery::new()).await.unwrap();
    assert!(issued.records().len() > 80);
    // In the other profiles too, and if the responses lose their extensions on the way.
    for profile in [StatusProfile::FastApi, StatusProfile::AwsGateway] {
        let layer = ApiKeyLayer::new(ring.clone())
            .routes(table())
            .profile(profile);
        matrix.check(behind(&layer)).await.unwrap();
    }
    // And if they tell the holders of its keys, which live for an hour, that these end.
    let week = Duration::from_hours(7 * 24);
    let layer = ApiKeyLayer::new(ring.clone())
        .routes(table())
        .lifetime_headers(week);
    matrix.check(behind(&layer)).await.unwrap();
    let far = right(&ring).map_response(|mut response| {
        response.extensions_mut().clear();
        response
    });
    matrix.check(far).await.unwrap();
}

/// A stack that answers a method by itself.
fn answering(ring: &KeyRing, method: Method) -> Stack {
    let right = right(ring);
    let twisted = service_fn(move |request: Request<()>| {
        let (right, method) = (right.clone(), method.clone());
        async move {
            if request.method() == method {
                return Ok(Response::new(()));
            }
            right.oneshot(request).await
        }
    });
    twisted.boxed_clone()
}

/// A stack whose handlers are behind a layer that changes the method, which is behind the authentication.
fn overriding(ring: &KeyRing) -> Stack {
    let bodies = service_fn(|mut request: Request<()>| async move {
        if let Some(method) = request.headers().get("x-http-method-override") {
            *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        }
        let response = handlers(request).await?;
        Ok::<_, Infallible>(response.map(|()| http_body_util::Empty::<Bytes>::new()))
    });
    let layer = ApiKeyLayer::new(ring.clone()).routes(table());
    without_body(layer.layer(bodies))
}

/// A stack whose layer compares paths that a proxy has not made canonical, and passes those that it does not know.
fn by_path(ring: &KeyRing) -> Stack {
    let right = right(ring);
    let twisted = service_fn(move |request: Request<()>| {
        let right = right.clone();
        async move {
            let path = request.uri().path();
            let is_known = ["/me", "/audit", "/health", "/orders/1"].contains(&path);
            if is_known {
                return right.oneshot(request).await;
            }
            Ok(Response::new(()))
        }
    });
    twisted.boxed_clone()
}

/// A stack with a guard outside the layer, in front of one route.
fn out_of_order(ring: &KeyRing) -> Stack {
    let right = right(ring);
    let bodies = right
        .clone()
        .map_response(|response| response.map(|()| http_body_util::Empty::<Bytes>::new()));
    let guarded = without_body(RequireScopeLayer::new("orders:read").layer(bodies));
    let twisted = service_fn(move |request: Request<()>| {
        let is_order = request.uri().path() == "/orders/1" && request.method() == Method::GET;
        let stack = if is_order {
            guarded.clone()
        } else {
            right.clone()
        };
        stack.oneshot(request)
    });
    twisted.boxed_clone()
}

/// A stack whose layer has a table with another access to `DELETE /orders/{id}`.
fn deleting(ring: &KeyRing, access: Access) -> Stack {
    let table = RouteTable::builder()
        .get("/health", Access::Public)
        .get("/me", Access::AnyKey)
        .get("/orders/{id}", "orders:read")
        .delete("/orders/{id}", access)
        .get("/audit", Requirement::any(["admin", "auditor"]).unwrap());
    behind(&ApiKeyLayer::new(ring.clone()).routes(table.build().unwrap()))
}

#[tokio::test]
async fn each_mistake_has_its_row() {
    let ring = ring();
    let either = Access::Scopes(Requirement::any(BOTH).unwrap());
    let typo = Access::Scopes(Requirement::scope("orders:wirte").unwrap());
    let stacks = [
        (Row::RightKey, deleting(&ring, typo)),
        (
            Row::NoKey,
            but_for(&ring, |it| {
                it.headers().is_empty() && it.uri() == "/me" && it.method() == Method::GET
            }),
        ),
        (
            Row::TwoKeys,
            changing(&ring, |it| {
                if let Some(first) = it.headers().get(X_API_KEY).cloned() {
                    it.headers_mut().insert(X_API_KEY, first);
                }
            }),
        ),
        (Row::MalformedKey, accepting(&ring, InvalidCause::Malformed)),
        (Row::UnknownKey, accepting(&ring, InvalidCause::Unknown)),
        (Row::ExpiredKey, accepting(&ring, InvalidCause::Expired)),
        (Row::RevokedKey, accepting(&ring, InvalidCause::Revoked)),
        // A guard that was forgotten, and `any` instead of `all`.
        (Row::MissingScope, deleting(&ring, Access::AnyKey)),
        (Row::MissingScope, deleting(&ring, either)),
        // Keys are moved from the query into their header.
        (
            Row::KeyInUrl,
            changing(&ring, |it| {
                let query = it
                    .uri()
                    .query()
                    .and_then(|query| query.strip_prefix("key="));
                if let Some(key) = query.map(|key| HeaderValue::from_str(key).unwrap()) {
                    it.headers_mut().insert(X_API_KEY, key);
                    let path: Uri = it.uri().path().parse().unwrap();
                    *it.uri_mut() = path;
                }
            }),
        ),
        (Row::Head, answering(&ring, Method::HEAD)),
        (Row::Options, answering(&ring, Method::OPTIONS)),
        (Row::OtherMethod, answering(&ring, Method::PUT)),
        (Row::MethodOverride, overriding(&ring)),
        (Row::OtherSpelling, by_path(&ring)),
        (Row::LayerOrder, out_of_order(&ring)),
    ];
    for (row, stack) in stacks {
        let error = found_in(&ring, stack).await;
        assert_eq!(rows(&error), BTreeSet::from([row]), "{error}");
        assert!(error.to_string().contains(row.as_str()), "{error}");
        // It shows no key, in neither form.
        assert!(!format!("{error} {error:?}").contains("acme_"), "{error}");
    }
}

/// As a client over the network, whose error contains the request.
#[tokio::test]
async fn r06_an_error_of_the_service_shows_no_key() {
    let ring = ring();
    let failing = service_fn(async |request: Request<()>| {
        let text = format!("{} {:?}", request.uri(), request.headers().get(X_API_KEY));
        Err::<Response<()>, _>(text)
    });
    let error = Matrix::new(ring, table()).check(failing).await.unwrap_err();
    let text = format!("{error} {error:?} {:?}", error.faults());
    assert!(text.contains("an error of the service"), "{text}");
    assert!(text.contains("?key=(a key)"), "{text}");
    assert_eq!(tower_api_key::find_key(text.as_bytes()), None, "{text}");
}

#[tokio::test]
async fn a_check_that_is_dropped_leaves_keys_that_end_within_an_hour() {
    for longest in [Duration::from_mins(1), Duration::from_hours(90 * 24)] {
        let builder = KeyRing::builder("acme").max_lifetime(longest);
        let ring = builder.build(MemoryStore::new()).unwrap();
        let stuck = service_fn(async |_: Request<()>| {
            std::future::pending::<Result<Response<()>, Infallible>>().await
        });
        let matrix = Matrix::new(ring.clone(), table());
        let mut check = Box::pin(matrix.check(stuck));
        assert!(poll_once(&mut check).is_pending());
        drop(check);
        let left = ring.list(&ListQuery::new().unrevoked()).await.unwrap();
        assert!(!left.records().is_empty());
        for record in left.records() {
            let lifetime = record.expires_at().unwrap().as_unix() - record.issued_at().as_unix();
            assert!(lifetime <= longest.as_secs().min(3600), "{lifetime}");
        }
    }
}

#[tokio::test]
async fn an_error_is_read_at_a_glance() {
    let ring = ring();
    let error = found_in(&ring, deleting(&ring, Access::AnyKey)).await;
    let text = error.to_string();
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.starts_with("3 of "), "{text}");
    assert!(first.ends_with(" requests were answered otherwise than the table says"));
    assert_eq!(
        rest,
        "DELETE /orders/{id}: admin and orders:write\n  \
         a key with other scopes (realm orders, no scope): expected 403 insufficient_scope, \
         answered 200 (and 2 more)"
    );
    let fault = &error.faults()[0];
    assert_eq!(fault.route(), "DELETE /orders/{id}: admin and orders:write");
    assert_eq!(fault.answer(), "200");
    let error = found_in(&ring, out_of_order(&ring)).await;
    assert!(
        error
            .to_string()
            .contains("expected a layer that authenticates outside the guard")
    );
}

#[tokio::test]
async fn a_layer_that_answers_preflights_is_expected_if_it_is_named() {
    let ring = ring();
    let matrix = Matrix::new(ring.clone(), table()).with_cors();
    matrix
        .check(answering(&ring, Method::OPTIONS))
        .await
        .unwrap();
    let error = matrix
        .check(answering(&ring, Method::HEAD))
        .await
        .unwrap_err();
    assert_eq!(rows(&error), BTreeSet::from([Row::Head]));
}

#[tokio::test]
async fn the_keys_of_several_rings_are_tried_in_every_place() {
    let staff = KeyRing::builder("staff").build(MemoryStore::new()).unwrap();
    let ring = ring();
    let places = [Source::header(X_API_KEY).unwrap(), Source::bearer()];
    let matrix = Matrix::new(ring.clone(), table())
        .or(staff.clone())
        .sources(places.clone());
    let layer = ApiKeyLayer::new(ring.clone()).routes(table());
    let full = layer.clone().or(staff).sources(places.clone());
    matrix.check(behind(&full)).await.unwrap();

    let one_ring = layer.clone().sources(places);
    let error = matrix.check(behind(&one_ring)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the right key (realm staff, in x-api-key)"),
        "{error}"
    );
    let error = matrix.check(right(&ring)).await.unwrap_err();
    assert!(error.to_string().contains("in Bearer)"), "{error}");
}

#[tokio::test]
async fn keys_are_tried_under_any_scheme_and_without_one() {
    let ring = ring();
    let places = [
        Source::scheme("Token").unwrap(),
        Source::authorization_raw(),
    ];
    let matrix = Matrix::new(ring.clone(), table()).sources(places.clone());
    let layer = ApiKeyLayer::new(ring.clone()).routes(table());
    matrix
        .check(behind(&layer.clone().sources(places.clone())))
        .await
        .unwrap();

    let [token, raw] = places;
    for (read, lacking) in [
        (token, "in Authorization without a scheme)"),
        (raw, "in Token)"),
    ] {
        let layer = layer.clone().sources([read]);
        let error = matrix.check(behind(&layer)).await.unwrap_err();
        let right = format!("the right key (realm orders, {lacking}");
        let mut faults = error.faults().iter().map(ToString::to_string);
        assert!(faults.any(|fault| fault.starts_with(&right)), "{error}");
    }
}

/// A refusal of a gRPC request is trailers-only, so it shows whether the layer took the request for one.
#[tokio::test]
async fn requests_are_those_of_grpc_clients_if_that_is_asked_for() {
    let ring = ring();
    let table = RouteTable::builder().grpc("shop.Orders", "List", "orders:read");
    let table = table.build().unwrap();
    let layer = ApiKeyLayer::new(ring.clone()).routes(table.clone());
    let seen = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let stack = without_body(layer.layer(crate::support::Inner::new()));
    let of_stack = std::sync::Arc::clone(&seen);
    let stack = stack.map_response(move |response: Response<()>| {
        let is_grpc = response.headers().contains_key("grpc-status");
        if response.extensions().get::<Rejection>().is_some() {
            of_stack
                .lock()
                .unwrap()
                .insert((is_grpc, response.status()));
        }
        response
    });
    let matrix = Matrix::new(ring, table);
    matrix.check::<_, (), _>(stack.clone()).await.unwrap();
    let of_http = std::mem::take(&mut *seen.lock().unwrap());
    assert!(of_http.contains(&(false, StatusCode::UNAUTHORIZED)));
    assert!(of_http.iter().all(|(is_grpc, _)| !is_grpc));
    matrix.grpc().check::<_, (), _>(stack).await.unwrap();
    let of_grpc = std::mem::take(&mut *seen.lock().unwrap());
    assert!(of_grpc.contains(&(true, StatusCode::OK)));
    // Another method than POST is none of a gRPC client.
    assert!(
        of_grpc
            .iter()
            .all(|(is_grpc, status)| *is_grpc || !status.is_success())
    );
}

#[tokio::test]
async fn a_handler_may_end_the_key_that_it_is_called_with() {
    let ring = ring();
    let of_handlers = ring.clone();
    let ending = service_fn(move |request: Request<()>| {
        let ring = of_handlers.clone();
        async move {
            if let Ok(key) = VerifiedKey::of(request.extensions()) {
                ring.rotate_now(key.id()).await.unwrap();
            }
            let response = handlers(request).await?;
            Ok::<_, Infallible>(response.map(|()| http_body_util::Empty::<Bytes>::new()))
        }
    });
    let layer = ApiKeyLayer::new(ring.clone()).routes(table());
    let matrix = Matrix::new(ring.clone(), table());
    matrix
        .check(without_body(layer.layer(ending)))
        .await
        .unwrap();
    let left = ring.list(&ListQuery::new().unrevoked()).await.unwrap();
    assert_eq!(left.records().len(), 0);
}

#[tokio::test]
async fn a_database_holds_the_keys_of_a_matrix() {
    let folder = crate::folder::Folder::new();
    let store = SqliteStore::open(folder.keys()).unwrap();
    let ring = KeyRing::builder("acme").build(store).unwrap();
    let matrix = Matrix::new(ring.clone(), table());
    matrix.check(right(&ring)).await.unwrap();
    let left = ring.list(&ListQuery::new().unrevoked()).await.unwrap();
    assert_eq!(left.records().len(), 0);
}

#[tokio::test]
async fn a_matrix_that_cannot_be_tried_says_why() {
    let ring = ring();
    let untried = async |ring: &KeyRing, table: RouteTable| {
        let matrix = Matrix::new(ring.clone(), table);
        let error = matrix.check(right(ring)).await.unwrap_err();
        assert_eq!(error.faults().len(), 0);
        error.to_string()
    };
    let empty = RouteTable::builder().build().unwrap();
    assert_eq!(untried(&ring, empty).await, "the table names no route");

    let hidden = RouteTable::builder()
        .get("/a/1", "read")
        .get("/a/{id}", "read");
    assert_eq!(
        untried(&ring, hidden.build().unwrap()).await,
        "GET /a/{id}: read: no request reaches it at /a/1: set its parameters"
    );

    let narrow = KeyRing::builder("acme")
        .realm("narrow")
        .grantable_scopes("admin auditor");
    let narrow = narrow.build(MemoryStore::new()).unwrap();
    let error = untried(&narrow, table()).await;
    let start = "the ring narrow issues no key with orders:read for the matrix: ";
    assert!(error.starts_with(start), "{error}");
    let left = narrow.list(&ListQuery::new().unrevoked()).await.unwrap();
    assert_eq!(left.records().len(), 0);

    let nowhere = Matrix::new(ring.clone(), table()).sources([]);
    let error = nowhere.check(right(&ring)).await.unwrap_err();
    assert_eq!(error.to_string(), "the matrix has no place for a key");
}

#[tokio::test]
async fn a_refusal_that_is_a_success_is_a_fault() {
    let ring = ring();
    let layer = ApiKeyLayer::new(ring.clone()).routes(table());
    let polite = layer.responder(|rejection: &Rejection| {
        Response::new(Bytes::from(rejection.detail().to_owned()))
    });
    let error = found_in(&ring, behind(&polite)).await;
    assert!(rows(&error).contains(&Row::NoKey), "{error}");
    assert!(
        error.to_string().contains("answered 200 missing"),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_that_fails_is_a_fault() {
    let ring = ring();
    let failing = service_fn(|_: Request<()>| async { Err::<Response<()>, _>("out of order") });
    let matrix = Matrix::new(ring, table());
    let error = matrix.check(failing).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("an error of the service: \"out of order\""),
        "{error}"
    );
}
