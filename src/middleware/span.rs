//! Spans of requests.

use http::{Method, Request};
use tracing::Span;
use tracing::field::Empty;

use crate::key::shape::redact_keys;

/// Makes the span of a request, with the fields that a layer [records](crate::ApiKeyLayer::span_fields). It is for
/// tower-http's `TraceLayer::make_span_with`. Needs the feature `tracing`.
///
/// The span is named `request`, and has the level INFO and the target `tower_api_key`. The names of its fields are those
/// of OpenTelemetry's semantic conventions for HTTP servers, so far as they are there:
///
/// | field | content |
/// |---|---|
/// | `http.request.method` | the method, or `_OTHER` if it is none of RFC 9110 or RFC 5789 |
/// | `http.route` | the pattern of the route, with the feature `axum`, if the `TraceLayer` stands inside the router (`Router::layer`) |
/// | `url.path` | the path, in which a text in the shape of a key is replaced ([`redact_keys`](crate::redact_keys)). The query is left out, because it may hold secrets of any kind |
/// | `http.response.status_code` | empty, for `TraceLayer::on_response` |
/// | `api_key.id`, `api_key.realm`, `api_key.outcome`, `enduser.id`, `api_key.refusal` | empty, for the layer |
/// | `otel.name`, `otel.kind` | the name and kind of the span in OpenTelemetry, which `tracing-opentelemetry` reads: the method with the route, and `server` |
///
/// ```
/// use http::Request;
/// use tower_api_key::request_span;
///
/// // TraceLayer::new_for_http().make_span_with(request_span)
/// let span = request_span(&Request::get("/orders?page=2").body(())?);
/// # drop(span);
/// # Ok::<(), http::Error>(())
/// ```
///
/// Work that a handler spawns leaves the span unless it is told to stay: `tokio::spawn(work.in_current_span())`, with
/// `tracing::Instrument`.
pub fn request_span<B>(request: &Request<B>) -> Span {
    tracing::info_span!(
        target: "tower_api_key",
        "request",
        // First, because `tracing` looks for the names of fields from the beginning when it records one.
        api_key.id = Empty,
        api_key.realm = Empty,
        api_key.outcome = Empty,
        enduser.id = Empty,
        api_key.refusal = Empty,
        otel.name = name(request),
        otel.kind = "server",
        http.request.method = method(request),
        http.route = route(request),
        url.path = &*redact_keys(request.uri().path()),
        http.response.status_code = Empty,
    )
}

/// The conventions bound the values: any text is a method to a client.
fn method<B>(request: &Request<B>) -> &'static str {
    const KNOWN: [(Method, &str); 9] = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::PATCH, "PATCH"),
        (Method::DELETE, "DELETE"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
        (Method::CONNECT, "CONNECT"),
        (Method::TRACE, "TRACE"),
    ];
    let known = KNOWN.iter().find(|(method, _)| method == request.method());
    known.map_or("_OTHER", |(_, name)| name)
}

/// `{method} {route}`, or the method alone. A method that is not known is `HTTP` here, as the conventions ask.
fn name<B>(request: &Request<B>) -> String {
    let method = match method(request) {
        "_OTHER" => "HTTP",
        method => method,
    };
    match route(request) {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    }
}

#[cfg(feature = "axum")]
fn route<B>(request: &Request<B>) -> Option<&str> {
    let route = request.extensions().get::<axum::extract::MatchedPath>();
    route.map(axum::extract::MatchedPath::as_str)
}

#[cfg(not(feature = "axum"))]
fn route<B>(_: &Request<B>) -> Option<&str> {
    None
}
