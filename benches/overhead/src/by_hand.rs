//! The strongest rival that a careful team writes by hand, on tower-http's `ValidateRequestHeaderLayer::custom`.
//!
//! It keeps `Arc` records behind a lock, so that keys can be added and removed while it serves. It digests
//! with SHA-256, compares in constant time, and checks expiry and scope. Its refusals have the right status
//! and content type and an empty body.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::request::X_API_KEY;

pub(crate) type Records = RwLock<HashMap<[u8; 32], Arc<Record>>>;

pub(crate) struct Record {
    pub(crate) digest: [u8; 32],
    pub(crate) expires_at: u64,
    #[allow(
        dead_code,
        reason = "attached for a handler that the bench does not have"
    )]
    pub(crate) subject: String,
    pub(crate) scopes: Vec<String>,
}

impl Record {
    pub(crate) fn new(key: &str, subject: String, scopes: Vec<String>) -> Self {
        Self {
            digest: Sha256::digest(key).into(),
            expires_at: u64::MAX,
            subject,
            scopes,
        }
    }
}

#[derive(Clone)]
#[allow(
    dead_code,
    reason = "attached for a handler that the bench does not have"
)]
pub(crate) struct Attached(pub(crate) Arc<Record>);

#[allow(clippy::result_large_err, reason = "`custom` asks for it")]
pub(crate) fn check(
    records: Arc<Records>,
    required: String,
) -> impl FnMut(&mut Request<()>) -> Result<(), Response<Full<Bytes>>> + Clone + Send + 'static {
    move |request| {
        let refused = || refusal(StatusCode::UNAUTHORIZED);
        let Some(value) = request.headers_mut().remove(X_API_KEY) else {
            return Err(refused());
        };
        let digest: [u8; 32] = Sha256::digest(value.as_bytes()).into();
        let found = records
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&digest)
            .map(Arc::clone);
        let record = found.ok_or_else(refused)?;
        if !bool::from(record.digest.ct_eq(&digest)) || seconds() >= record.expires_at {
            return Err(refused());
        }
        if !record.scopes.contains(&required) {
            return Err(refusal(StatusCode::FORBIDDEN));
        }
        request.extensions_mut().insert(Attached(record));
        Ok(())
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the rival reads the clock as services do"
)]
fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    let problem = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, problem);
    response
}
