//! Requests as clients and proxies send them.

use http::{HeaderName, HeaderValue, Request};

/// The header of the key.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Which key a request presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// One of the ring.
    Valid,
    /// A well-formed one that was never issued.
    Unknown,
    /// One whose checksum is wrong.
    Malformed,
    /// None.
    Missing,
}

impl Presented {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Valid, Self::Unknown, Self::Malformed, Self::Missing];

    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::Missing => "missing",
        }
    }
}

/// The headers of a request of a simple client, with its key.
pub const LEAST_HEADERS: usize = 6;
/// As many headers as a request can have here, with its key.
pub const MOST_HEADERS: usize = LEAST_HEADERS + MORE.len();

/// A request with this many headers, of which one is the key, if there is one.
pub fn request(key: Option<&str>, headers: usize) -> Request<()> {
    let mut request = Request::builder()
        .uri("/orders/42?page=2")
        .header("host", "api.example.com")
        .header("user-agent", "curl/8.5.0")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, br");
    if let Some(key) = key {
        request = request.header(X_API_KEY, key);
    }
    let mut request = request
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .body(())
        .unwrap();
    let map = request.headers_mut();
    for (name, value) in &MORE[..headers - LEAST_HEADERS] {
        map.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    request
}

/// What browsers, proxies, meshes and tracers add.
const MORE: [(&str, &str); 54] = [
    ("content-type", "application/json"),
    ("content-length", "0"),
    ("x-request-id", "7b1c9d4e-53a0-4b7e-9a53-0b7f7d1d6c11"),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "api.example.com"),
    ("x-forwarded-port", "443"),
    ("x-real-ip", "203.0.113.7"),
    ("forwarded", "for=203.0.113.7;proto=https"),
    ("via", "1.1 edge"),
    ("accept-language", "en-GB,en;q=0.9"),
    ("cache-control", "no-cache"),
    ("pragma", "no-cache"),
    ("origin", "https://app.example.com"),
    ("referer", "https://app.example.com/orders"),
    ("cookie", "theme=dark; locale=en"),
    ("dnt", "1"),
    ("te", "trailers"),
    ("priority", "u=1, i"),
    ("if-none-match", "\"5f3a\""),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-site"),
    ("sec-ch-ua", "\"Chromium\";v=\"140\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("sec-gpc", "1"),
    ("tracestate", "rojo=00f067aa0ba902b7"),
    ("baggage", "tenant=42"),
    ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
    ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
    ("x-b3-spanid", "e457b5a2e4d86bd1"),
    ("x-b3-sampled", "1"),
    ("x-datadog-trace-id", "1234567890"),
    ("x-datadog-parent-id", "987654321"),
    (
        "x-amzn-trace-id",
        "Root=1-67891233-abcdef012345678912345678",
    ),
    (
        "x-cloud-trace-context",
        "105445aa7843bc8bf206b12000100000/1",
    ),
    ("x-envoy-attempt-count", "1"),
    ("x-envoy-external-address", "203.0.113.7"),
    ("x-envoy-expected-rq-timeout-ms", "15000"),
    ("x-envoy-decorator-operation", "orders.default.svc"),
    ("cf-ray", "8f2c4a1b9d3e-FRA"),
    ("cf-connecting-ip", "203.0.113.7"),
    ("cf-ipcountry", "GB"),
    ("cf-visitor", "{\"scheme\":\"https\"}"),
    ("cdn-loop", "edge"),
    ("true-client-ip", "203.0.113.7"),
    ("fastly-client-ip", "203.0.113.7"),
    ("x-client-version", "4.12.0"),
    ("x-client-platform", "web"),
    ("x-correlation-id", "0190f3c2-8a1e-7c44-b1f0-3d9c2ad7e001"),
    ("x-tenant", "acme"),
    ("idempotency-key", "0190f3c2-8a1e-7c44-b1f0-3d9c2ad7e002"),
    ("x-session-affinity", "node-3"),
];
