//! The measured services and their requests.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tower::{Layer, Service};
use tower_api_key::store::MemoryStore;
use tower_api_key::{ApiKeyLayer, Grant, KeyRing, ResponseBody};
use tower_http::validate_request::ValidateRequestHeaderLayer;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A measured service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// The inner service alone.
    Bare,
    /// Header out, one SHA-256, a map, one extension. No check.
    Floor,
    /// The floor and the response cache guard's two headers.
    FloorGuard,
    /// The same job by hand on tower-http's `ValidateRequestHeaderLayer::custom`: plain structs in
    /// the map, and the handler's data cloned into the extension.
    HandRolled,
    /// The same, but tuned: the map holds `Arc`s, and the extension is one of them.
    HandTuned,
    /// The layer without its response cache guard: like with like.
    Layer,
    /// The layer with its defaults.
    LayerGuard,
    /// A well-formed key that was never issued.
    Unknown,
    /// A key whose last character is wrong.
    Malformed,
    /// No key.
    Missing,
    /// A valid key without the scope.
    Insufficient,
    /// Only builds the response of a refusal.
    Refusal,
}

impl Candidate {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Bare,
        Self::Floor,
        Self::FloorGuard,
        Self::HandRolled,
        Self::HandTuned,
        Self::Layer,
        Self::LayerGuard,
        Self::Unknown,
        Self::Malformed,
        Self::Missing,
        Self::Insufficient,
        Self::Refusal,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Floor => "floor",
            Self::FloorGuard => "floor + 2 headers",
            Self::HandRolled => "hand_rolled",
            Self::HandTuned => "hand_rolled, Arc",
            Self::Layer => "layer, no guard",
            Self::LayerGuard => "layer, default",
            Self::Unknown => "layer, unknown key",
            Self::Malformed => "layer, malformed key",
            Self::Missing => "layer, missing key",
            Self::Insufficient => "layer, insufficient scope",
            Self::Refusal => "building a refusal",
        }
    }
}

/// The choice of the key for the next request.
pub(crate) enum Keys {
    Random(u64),
    /// The same every time.
    Hot,
}

impl Keys {
    pub(crate) const fn random() -> Self {
        Self::seeded(0)
    }

    /// A different sequence for each thread.
    pub(crate) const fn seeded(thread: u64) -> Self {
        Self::Random(0x9e37_79b9_7f4a_7c15 ^ (thread + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9))
    }

    /// An index below `count`, from a xorshift generator. The sequence is the same in every run.
    fn next(&mut self, count: usize) -> usize {
        match self {
            Self::Hot => 0,
            Self::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                usize::try_from(*state % count as u64).unwrap()
            }
        }
    }
}

/// One number of keys in every candidate's own store.
pub(crate) struct Bench {
    ring: KeyRing,
    unknown: Vec<String>,
    keys: Vec<String>,
    floor: Arc<FloorMap>,
    by_hand: Arc<HashMap<[u8; 32], Record>>,
    tuned: Arc<HashMap<[u8; 32], Arc<Record>>>,
}

/// A record as a service with a hand-written layer would keep it.
struct Record {
    digest: [u8; 32],
    principal: Principal,
    expires_at: u64,
}

#[derive(Clone)]
#[allow(
    dead_code,
    reason = "attached for a handler that the bench does not have"
)]
struct Principal {
    subject: String,
    scopes: Vec<String>,
}

type FloorMap = HashMap<[u8; 32], Arc<Record>, BuildHasherDefault<FirstEight>>;

/// A digest's first eight bytes as its hash: no map look-up is cheaper.
#[derive(Default)]
struct FirstEight(u64);

impl Hasher for FirstEight {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Clone)]
#[allow(
    dead_code,
    reason = "attached for a handler that the bench does not have"
)]
struct Attached(Arc<Record>);

impl Bench {
    pub(crate) fn new(size: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let build = || {
            KeyRing::builder("acme_live")
                .build(MemoryStore::new())
                .unwrap()
        };
        let issue = |ring: &KeyRing, index: usize| {
            let grant = Grant::new(format!("user-{index}"))
                .scopes(["orders:read"])
                .unwrap();
            let issued = runtime.block_on(ring.issue(grant)).unwrap();
            issued.secret().expose().to_owned()
        };
        let (ring, stranger) = (build(), build());
        let keys: Vec<String> = (0..size).map(|index| issue(&ring, index)).collect();
        let unknown = (0..1_000).map(|index| issue(&stranger, index)).collect();
        let records = || {
            keys.iter().enumerate().map(|(index, key)| {
                let digest: [u8; 32] = Sha256::digest(key).into();
                let record = Record {
                    digest,
                    principal: Principal {
                        subject: format!("user-{index}"),
                        scopes: vec!["orders:read".to_owned()],
                    },
                    expires_at: u64::MAX,
                };
                (digest, record)
            })
        };
        let shared = || records().map(|(digest, record)| (digest, Arc::new(record)));
        let (floor, tuned, by_hand) = (shared().collect(), shared().collect(), records().collect());
        Self {
            ring,
            unknown,
            floor: Arc::new(floor),
            by_hand: Arc::new(by_hand),
            tuned: Arc::new(tuned),
            keys,
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.keys.len()
    }

    /// A request as a client would send it, with the key that the candidate needs.
    pub(crate) fn request(&self, candidate: Candidate, keys: &mut Keys) -> Request<()> {
        let key = match candidate {
            Candidate::Missing => None,
            Candidate::Unknown => Some(self.unknown[keys.next(self.unknown.len())].clone()),
            Candidate::Malformed => {
                let mut key = self.keys[keys.next(self.keys.len())].clone();
                let last = key.pop().unwrap();
                key.push(if last == '0' { '1' } else { '0' });
                Some(key)
            }
            _ => Some(self.keys[keys.next(self.keys.len())].clone()),
        };
        let mut request = Request::builder()
            .uri("/orders/42?page=2")
            .header("host", "api.example.com")
            .header("user-agent", "curl/8.5.0")
            .header("accept", "application/json")
            .header("accept-encoding", "gzip, br");
        if let Some(key) = key {
            request = request.header(X_API_KEY, key);
        }
        request
            .header(
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .body(())
            .unwrap()
    }

    /// The candidate, to be called with one request after another.
    pub(crate) fn subject(&self, candidate: Candidate) -> Subject {
        let layer = ApiKeyLayer::new(self.ring.clone());
        match candidate {
            Candidate::Bare => subject(Inner),
            Candidate::Floor | Candidate::FloorGuard => subject(Floor {
                map: Arc::clone(&self.floor),
                guard: candidate == Candidate::FloorGuard,
            }),
            Candidate::HandRolled => {
                let map = Arc::clone(&self.by_hand);
                let check = by_hand(map, |record: &Record| record.principal.clone());
                subject(ValidateRequestHeaderLayer::custom(check).layer(Inner))
            }
            Candidate::HandTuned => {
                let map = Arc::clone(&self.tuned);
                let check = by_hand(map, |record: &Arc<Record>| Attached(Arc::clone(record)));
                subject(ValidateRequestHeaderLayer::custom(check).layer(Inner))
            }
            Candidate::Layer => subject(
                layer
                    .require("orders:read")
                    .danger_without_cache_guard()
                    .layer(Inner),
            ),
            Candidate::Insufficient => subject(layer.require("orders:write").layer(Inner)),
            Candidate::LayerGuard
            | Candidate::Unknown
            | Candidate::Malformed
            | Candidate::Missing => subject(layer.require("orders:read").layer(Inner)),
            Candidate::Refusal => Box::new(|request| {
                black_box(refusal());
                drop(request);
            }),
        }
    }
}

/// One candidate: it takes a request and drops the response.
pub(crate) type Subject = Box<dyn FnMut(Request<()>) + Send>;

fn subject<S, ResBody>(mut service: S) -> Subject
where
    S: Service<Request<()>, Response = Response<ResBody>, Error = Infallible> + Send + 'static,
{
    Box::new(move |request| {
        let mut context = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut context).is_ready());
        let future = pin!(service.call(request));
        match future.poll(&mut context) {
            Poll::Ready(Ok(response)) => drop(black_box(response)),
            _ => panic!("every candidate answers at once"),
        }
    })
}

#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"ok")))))
    }
}

/// Straight-line code without any check.
struct Floor {
    map: Arc<FloorMap>,
    guard: bool,
}

impl Service<Request<()>> for Floor {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        let value = request.headers_mut().remove(X_API_KEY).expect("a key");
        let digest: [u8; 32] = Sha256::digest(value.as_bytes()).into();
        let record = Arc::clone(&self.map[&digest]);
        request.extensions_mut().insert(Attached(record));
        let mut response = Inner.call(request).into_inner();
        if let (true, Ok(response)) = (self.guard, &mut response) {
            let headers = response.headers_mut();
            headers.append(VARY, HeaderValue::from_static("x-api-key"));
            headers
                .entry(CACHE_CONTROL)
                .or_insert(HeaderValue::from_static("private"));
        }
        ready(response)
    }
}

/// The layer that a careful team writes by hand: digest, map, constant-time compare, expiry, scope,
/// extension.
#[allow(clippy::result_large_err, reason = "`custom` asks for it")]
fn by_hand<R, E>(
    map: Arc<HashMap<[u8; 32], R>>,
    extension: fn(&R) -> E,
) -> impl FnMut(&mut Request<()>) -> Result<(), Response<Full<Bytes>>> + Clone + Send + 'static
where
    R: Borrow<Record> + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    move |request| {
        let denied = |status| {
            let mut response = Response::new(Full::default());
            *response.status_mut() = status;
            response
        };
        let value = request
            .headers_mut()
            .remove(X_API_KEY)
            .ok_or_else(|| denied(StatusCode::UNAUTHORIZED))?;
        let digest: [u8; 32] = Sha256::digest(value.as_bytes()).into();
        let found = map
            .get(&digest)
            .ok_or_else(|| denied(StatusCode::UNAUTHORIZED))?;
        let record: &Record = found.borrow();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        if !bool::from(record.digest.ct_eq(&digest)) || now >= record.expires_at {
            return Err(denied(StatusCode::UNAUTHORIZED));
        }
        let scopes = &record.principal.scopes;
        if !scopes.iter().any(|scope| scope == "orders:read") {
            return Err(denied(StatusCode::FORBIDDEN));
        }
        request.extensions_mut().insert(extension(found));
        Ok(())
    }
}

/// The response to an invalid key, from parts that are at hand.
fn refusal() -> Response<ResponseBody<Full<Bytes>>> {
    let body = r#"{"title":"Unauthorized","status":401,"detail":"Invalid API key"}"#;
    let mut response = Response::new(ResponseBody::new(Full::new(Bytes::from_static(
        body.as_bytes(),
    ))));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "application/problem+json"),
        (
            WWW_AUTHENTICATE,
            "ApiKey realm=\"acme_live\", error=\"invalid_token\"",
        ),
        (CACHE_CONTROL, "no-store"),
        (VARY, "x-api-key"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response.extensions_mut().insert("why");
    response
}
