//! Refusals of `HEAD` requests, over real connections of HTTP/1.1 and HTTP/2.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{DuplexStream, duplex};
use tower::{Layer, Service};
use tower_api_key::{ApiKeyLayer, Rejection, RequireScopeLayer, Requirement, VerifiedKey};

use crate::support::{Inner, key, ring};

/// What a client receives, without the time.
#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

fn serve<S, ResBody>(service: S) -> TokioIo<DuplexStream>
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<ResBody>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::error::Error + Send + Sync,
    ResBody: http_body::Body<Data = Bytes> + Send + 'static,
    ResBody::Error: std::error::Error + Send + Sync,
{
    let (client, server) = duplex(65_536);
    tokio::spawn(async move {
        let builder = auto::Builder::new(TokioExecutor::new());
        let service = TowerToHyperService::new(service);
        builder
            .serve_connection(TokioIo::new(server), service)
            .await
            .unwrap();
    });
    TokioIo::new(client)
}

async fn whole(response: Response<hyper::body::Incoming>) -> Answer {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove("date").unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

/// A request of an origin form for HTTP/1.1, and an absolute one for HTTP/2.
fn request(method: &Method, target: &str, key: Option<&str>) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().method(method).uri(target);
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    request.body(Empty::new()).unwrap()
}

/// Asserts that this request is refused with this status, and that `HEAD` gets the headers of `GET` and no body, and
/// that the connection goes on.
async fn check<S, ResBody>(service: S, key: Option<&str>, status: u16)
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<ResBody>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::error::Error + Send + Sync,
    ResBody: http_body::Body<Data = Bytes> + Send + 'static,
    ResBody::Error: std::error::Error + Send + Sync,
{
    let (mut one, connection) = http1::handshake(serve(service.clone())).await.unwrap();
    tokio::spawn(connection);
    let (mut two, connection) = http2::handshake(TokioExecutor::new(), serve(service))
        .await
        .unwrap();
    tokio::spawn(connection);
    let methods = [Method::GET, Method::HEAD, Method::HEAD, Method::GET];
    let (mut of_http_1, mut of_http_2) = (Vec::new(), Vec::new());
    for method in &methods {
        let of_one = one.send_request(request(method, "/", key)).await.unwrap();
        let target = "http://api.example.com/";
        let of_two = two.send_request(request(method, target, key)).await;
        of_http_1.push(whole(of_one).await);
        of_http_2.push(whole(of_two.unwrap()).await);
    }
    for answers in [of_http_1, of_http_2] {
        let [get, head, again, last] = &answers[..] else {
            panic!("an answer to each request");
        };
        assert_eq!(get.status, status);
        assert!(!get.body.is_empty());
        assert_eq!(get.headers["content-length"], get.body.len().to_string());
        assert_eq!(last, get);
        for head in [head, again] {
            assert_eq!(head.status, get.status);
            assert_eq!(head.headers, get.headers);
            assert_eq!(head.body, "");
        }
    }
}

#[tokio::test]
async fn r14_a_refused_head_has_the_headers_of_get_and_no_body() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let layer = ApiKeyLayer::new(ring);
    let with_responder = layer.clone().responder(|rejection| {
        let mut response = Response::new(format!("no: {}", rejection.detail()).into());
        *response.status_mut() = rejection.status();
        response
    });
    let guard = RequireScopeLayer::new("write");
    // A handler that knows what it requires only later, and answers every method alike.
    let handler = tower::service_fn(async |request: Request<hyper::body::Incoming>| {
        let key = VerifiedKey::of(request.extensions()).unwrap();
        let write = Requirement::scope("write").unwrap();
        let refused = key.require(&write).map_err(Rejection::into_response);
        Ok::<_, std::convert::Infallible>(refused.unwrap_err().map(Full::new))
    });
    for layer in [layer, with_responder.clone()] {
        check(layer.layer(Inner::new()), None, 401).await;
        check(layer.layer(Inner::new()), Some("acme_nonsense"), 401).await;
        check(layer.layer(guard.layer(Inner::new())), Some(&key), 403).await;
        let optional = layer.clone().optional();
        check(optional.layer(guard.layer(Inner::new())), None, 401).await;
        check(layer.require("write").layer(Inner::new()), Some(&key), 403).await;
    }
    check(guard.layer(Inner::new()), Some(&key), 500).await;
    check(with_responder.layer(handler), Some(&key), 403).await;
}
