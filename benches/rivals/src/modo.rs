//! modo-rs's layer over a map in memory.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use axum::body::Body;
use http::{Request, Response};
use modo::Result;
use modo::auth::apikey::{
    ApiKeyBackend, ApiKeyConfig, ApiKeyLayer, ApiKeyRecord, ApiKeyStore, CreateKeyRequest,
};
use modo::auth::guard::require_scope;
use tower_api_key_overhead::{Subject, now, subject};
use tower_layer::Layer;
use tower_service::Service;

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

#[derive(Default)]
struct Memory(RwLock<HashMap<String, ApiKeyRecord>>);

impl ApiKeyBackend for Memory {
    fn store(&self, record: &ApiKeyRecord) -> Answer<'_, ()> {
        let mut record = record.clone();
        // Used a moment ago, so that no request writes its use.
        record.last_used_at = Some("2999-01-01T00:00:00Z".to_owned());
        let mut records = self.0.write().unwrap_or_else(PoisonError::into_inner);
        records.insert(record.id.clone(), record);
        Box::pin(ready(Ok(())))
    }

    fn lookup(&self, key_id: &str) -> Answer<'_, Option<ApiKeyRecord>> {
        let records = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Box::pin(ready(Ok(records.get(key_id).cloned())))
    }

    fn revoke(&self, _: &str, _: &str) -> Answer<'_, ()> {
        unreachable!("no key is revoked here")
    }

    fn list(&self, _: &str) -> Answer<'_, Vec<ApiKeyRecord>> {
        unreachable!("no key is listed here")
    }

    fn update_last_used(&self, _: &str, _: &str) -> Answer<'_, ()> {
        unreachable!("each key was used a moment ago")
    }

    fn update_expires_at(&self, _: &str, _: Option<&str>) -> Answer<'_, ()> {
        unreachable!("no expiry is changed here")
    }
}

/// The service, and its valid and unknown keys.
pub(crate) fn service(count: usize, scopes: &[String]) -> (Box<dyn Subject>, [Vec<String>; 2]) {
    let build = || {
        let config = ApiKeyConfig::default();
        ApiKeyStore::from_backend(Arc::new(Memory::default()), config).expect("the defaults")
    };
    let (store, stranger) = (build(), build());
    let mint = |store: &ApiKeyStore, index: usize| {
        let key = store_key(store, index, scopes);
        key.expect("a key with a tenant and a name")
    };
    let valid = (0..count).map(|index| mint(&store, index)).collect();
    let unknown = (0..1_000).map(|index| mint(&stranger, index)).collect();
    let layer = ApiKeyLayer::from_header(store, "x-api-key").expect("a header's name");
    let guard = require_scope(scopes.last().expect("a scope"));
    let service = Bodies(layer.layer(guard.layer(AxumInner)));
    (subject(service), [valid, unknown])
}

fn store_key(store: &ApiKeyStore, index: usize, scopes: &[String]) -> Result<String> {
    let request = CreateKeyRequest {
        tenant_id: format!("user-{index:07}"),
        name: "nightly".to_owned(),
        scopes: scopes.to_vec(),
        expires_at: Some("2999-01-01T00:00:00Z".to_owned()),
    };
    now(store.create(&request)).map(|created| created.raw_token)
}

/// The same types without a check.
pub(crate) fn bare() -> Box<dyn Subject> {
    subject(Bodies(AxumInner))
}

/// The inner service, with axum's bodies.
#[derive(Clone)]
struct AxumInner;

impl Service<Request<Body>> for AxumInner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(Response::new(Body::from("ok"))))
    }
}

/// Gives requests a body of axum.
struct Bodies<S>(S);

impl<S: Service<Request<Body>>> Service<Request<()>> for Bodies<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        self.0.call(request.map(|()| Body::empty()))
    }
}
