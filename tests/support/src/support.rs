//! The shared parts of the areas: rings, keys, an inner service that counts its calls, and whole
//! responses.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};
use tower_api_key::store::{BoxFuture, Change, KeyStore, Lookup, MemoryStore, StoreError};
use tower_api_key::{
    Grant, Issued, KeyDigest, KeyRing, ManualClock, Realm, Rejection, RejectionKind, Timestamp,
};

/// The methods of a [`KeyStore`] that a wrapper passes on to the inner store.
#[macro_export]
macro_rules! forward {
    ($inner:ident: $($method:ident),+) => {
        $($crate::forward!(@$method $inner);)+
    };
    (@find $inner:ident) => {
        fn find(
            &self,
            realm: &tower_api_key::Realm,
            digest: &tower_api_key::KeyDigest,
        ) -> tower_api_key::store::Lookup {
            self.$inner.find(realm, digest)
        }
    };
    (@commit $inner:ident) => {
        fn commit<'a>(
            &'a self,
            change: &'a tower_api_key::store::Change,
        ) -> tower_api_key::store::BoxFuture<'a, Result<(), tower_api_key::store::StoreError>> {
            self.$inner.commit(change)
        }
    };
    (@revoke $inner:ident) => {
        fn revoke<'a>(
            &'a self,
            realm: &'a tower_api_key::Realm,
            target: &'a tower_api_key::store::Target,
            revocation: tower_api_key::Revocation,
            by: Option<&'a tower_api_key::Actor>,
        ) -> tower_api_key::store::BoxFuture<
            'a,
            Result<tower_api_key::store::Revoked, tower_api_key::store::StoreError>,
        > {
            self.$inner.revoke(realm, target, revocation, by)
        }
    };
    (@get $inner:ident) => {
        fn get<'a>(
            &'a self,
            realm: &'a tower_api_key::Realm,
            id: tower_api_key::KeyId,
        ) -> tower_api_key::store::BoxFuture<'a, tower_api_key::store::Found> {
            self.$inner.get(realm, id)
        }
    };
    (@list $inner:ident) => {
        fn list<'a>(
            &'a self,
            realm: &'a tower_api_key::Realm,
            query: &'a tower_api_key::store::ListQuery,
        ) -> tower_api_key::store::BoxFuture<
            'a,
            Result<tower_api_key::store::Page, tower_api_key::store::StoreError>,
        > {
            self.$inner.list(realm, query)
        }
    };
    (@purge $inner:ident) => {
        fn purge<'a>(
            &'a self,
            realm: &'a tower_api_key::Realm,
            ended_by: tower_api_key::Timestamp,
            by: Option<&'a tower_api_key::Actor>,
        ) -> tower_api_key::store::BoxFuture<'a, Result<u64, tower_api_key::store::StoreError>> {
            self.$inner.purge(realm, ended_by, by)
        }
    };
    (@claim_expiry_notices $inner:ident) => {
        fn claim_expiry_notices<'a>(
            &'a self,
            realm: &'a tower_api_key::Realm,
            ladder: &'a tower_api_key::store::ExpiryLadder,
            now: tower_api_key::Timestamp,
            limit: usize,
        ) -> tower_api_key::store::BoxFuture<
            'a,
            Result<tower_api_key::store::ExpiryClaims, tower_api_key::store::StoreError>,
        > {
            self.$inner.claim_expiry_notices(realm, ladder, now, limit)
        }
    };
    (@record_uses $inner:ident) => {
        fn record_uses<'a>(
            &'a self,
            realm: &'a tower_api_key::Realm,
            uses: &'a [(tower_api_key::KeyId, tower_api_key::Timestamp)],
        ) -> tower_api_key::store::BoxFuture<'a, Result<(), tower_api_key::store::StoreError>> {
            self.$inner.record_uses(realm, uses)
        }
    };
    (@record_usage $inner:ident) => {
        fn record_usage<'a>(
            &'a self,
            realm: &'a tower_api_key::Realm,
            usages: &'a [(tower_api_key::KeyId, tower_api_key::store::KeyUsage)],
        ) -> tower_api_key::store::BoxFuture<'a, Result<(), tower_api_key::store::StoreError>> {
            self.$inner.record_usage(realm, usages)
        }
    };
    (@usages $inner:ident) => {
        fn usages<'a>(
            &'a self,
            realm: &'a tower_api_key::Realm,
            ids: &'a [tower_api_key::KeyId],
        ) -> tower_api_key::store::BoxFuture<
            'a,
            Result<Vec<tower_api_key::store::KeyUsage>, tower_api_key::store::StoreError>,
        > {
            self.$inner.usages(realm, ids)
        }
    };
    (@last_uses $inner:ident) => {
        fn last_uses<'a>(
            &'a self,
            realm: &'a tower_api_key::Realm,
            ids: &'a [tower_api_key::KeyId],
        ) -> tower_api_key::store::BoxFuture<
            'a,
            Result<Vec<Option<tower_api_key::Timestamp>>, tower_api_key::store::StoreError>,
        > {
            self.$inner.last_uses(realm, ids)
        }
    };
}
pub use crate::forward;

/// Reports that a test is skipped because a required program is not on this machine, past the test
/// runner's capture, so that the line is visible. `.ci/run` counts these lines.
pub fn not_run(what: std::fmt::Arguments<'_>) {
    use std::io::Write;

    // One write, so that no other test comes in between.
    let line = format!("not run: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The time at which every test begins.
pub const START: Timestamp = Timestamp::from_unix(1_800_000_000);

pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A ring `acme` with the realm `orders` over an empty store, and the clock that it reads.
pub fn ring_and_clock() -> (KeyRing, ManualClock) {
    let clock = ManualClock::new(START);
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .clock(clock.clone())
        .build(MemoryStore::new())
        .unwrap();
    (ring, clock)
}

pub fn ring() -> KeyRing {
    ring_and_clock().0
}

/// A key of this ring for `alice` with these scopes, separated by spaces.
pub async fn issue(ring: &KeyRing, scopes: &str) -> Issued {
    let grant = Grant::new("alice").scopes(scopes);
    ring.issue(grant).await.unwrap()
}

/// The plaintext of a key of this ring for `alice` with these scopes.
pub async fn key(ring: &KeyRing, scopes: &str) -> String {
    issue(ring, scopes).await.secret().expose().to_owned()
}

/// An imported key: not in the ring's own format, and every character valid in a header.
pub const IMPORTED: &str = "Legacy.token~9f3A7b2C5d8E1f4G6h0J-k+/=";

/// A ring like [`ring`] over this store that accepts imports.
pub fn importing_ring(store: impl KeyStore) -> KeyRing {
    KeyRing::builder("acme")
        .realm("orders")
        .clock(ManualClock::new(START))
        .accept_imports()
        .build(store)
        .unwrap()
}

/// A ring and a key of it with the scope `read`: minted, minted on a ring that accepts imports,
/// and imported.
pub async fn every_kind_of_key() -> [(KeyRing, String); 3] {
    let plain = ring();
    let minted = key(&plain, "read").await;
    let importing = importing_ring(MemoryStore::new());
    let minted_beside = key(&importing, "read").await;
    let grant = Grant::new("alice").scopes(["read"]);
    let grant = grant.expires_in(std::time::Duration::from_hours(24));
    importing.import_plaintext(grant, IMPORTED).await.unwrap();
    [
        (plain, minted),
        (importing.clone(), minted_beside),
        (importing, IMPORTED.to_owned()),
    ]
}

/// A store in memory that counts its look-ups, and can answer them later instead of at once.
#[derive(Clone, Default)]
pub struct ObservedStore {
    store: MemoryStore,
    lookups: Arc<AtomicUsize>,
    later: bool,
}

impl ObservedStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers every look-up as a future that is pending first.
    pub fn answering_later(mut self) -> Self {
        self.later = true;
        self
    }

    /// The number of look-ups by digest.
    pub fn lookups(&self) -> usize {
        self.lookups.load(Ordering::SeqCst)
    }
}

impl KeyStore for ObservedStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        match self.store.find(realm, digest) {
            Lookup::Ready(found) if self.later => Lookup::Pending(Box::pin(async move {
                tokio::task::yield_now().await;
                found
            })),
            lookup => lookup,
        }
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.commit(change)
    }

    crate::support::forward!(store: revoke, get, list, purge, record_uses, last_uses, record_usage, usages);
}

/// An inner service that keeps its requests, and answers 200 with the body `inner` and the given
/// headers.
#[derive(Clone, Default)]
pub struct Inner {
    calls: Arc<Mutex<Vec<Parts>>>,
    headers: HeaderMap,
}

impl Inner {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    /// The number of calls.
    pub fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// The head of the last request that reached it.
    #[track_caller]
    pub fn last(&self) -> Parts {
        self.calls
            .lock()
            .unwrap()
            .last()
            .expect("the inner service was called")
            .clone()
    }
}

impl<B> Service<Request<B>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.calls.lock().unwrap().push(request.into_parts().0);
        let mut response = Response::new(Full::from("inner"));
        *response.headers_mut() = self.headers.clone();
        std::future::ready(Ok(response))
    }
}

/// A response with its body read to the end.
#[derive(Debug, Clone)]
pub struct Whole {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub rejection: Option<Rejection>,
}

impl Whole {
    pub fn kind(&self) -> Option<RejectionKind> {
        self.rejection.as_ref().map(Rejection::kind)
    }

    /// The values of a header, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Sends one request through a clone of the service, after it is ready.
pub async fn send<S, B, ResBody>(service: &S, request: Request<B>) -> Whole
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    S::Error: std::fmt::Debug,
    ResBody: http_body::Body<Data = Bytes>,
    ResBody::Error: std::fmt::Debug,
{
    let response = service.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Whole {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
        rejection: parts.extensions.get().cloned(),
    }
}

/// A request for `/` with these headers, in this order.
pub fn request<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Request<()>
where
    N: TryInto<HeaderName, Error: std::fmt::Debug>,
    V: AsRef<[u8]>,
{
    let mut request = Request::new(());
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        request
            .headers_mut()
            .append(name.try_into().unwrap(), value);
    }
    request
}

/// The request as gRPC clients send one: `POST` over HTTP/2 with `te: trailers` and a content type.
pub fn as_grpc<B>(mut request: Request<B>, content_type: &'static str) -> Request<B> {
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    request
}

/// A request for `/` with this key in `x-api-key`.
pub fn with_key(key: &str) -> Request<()> {
    request([(X_API_KEY, key)])
}

/// Polls a future once, with a waker that has no effect.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(std::task::Waker::noop()))
}
