//! The strongest rival that a careful team writes by hand, on tower-http's `ValidateRequestHeaderLayer::custom`.
//!
//! It keeps `Arc` records behind a lock, so that keys can be added and removed while it serves. It digests
//! with SHA-256, compares in constant time, and checks expiry and scope. Its refusals have the right status
//! and content type and an empty body, or are those of the layer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
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

/// Why a request is refused. The layer leaves it in the response, too.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Why {
    Missing,
    Invalid,
    Scope,
}

#[allow(clippy::result_large_err, reason = "`custom` asks for it")]
pub(crate) fn check<B>(
    records: Arc<Records>,
    required: String,
    refusal: fn(Why) -> Response<Full<Bytes>>,
) -> impl FnMut(&mut Request<B>) -> Result<(), Response<Full<Bytes>>> + Clone + Send + 'static {
    move |request: &mut Request<B>| {
        let refused = || refusal(Why::Invalid);
        let Some(value) = request.headers_mut().remove(X_API_KEY) else {
            return Err(refusal(Why::Missing));
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
            return Err(refusal(Why::Scope));
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

/// A refusal of the fewest words.
pub(crate) fn short(why: Why) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = why.status();
    response.headers_mut().insert(CONTENT_TYPE, PROBLEM);
    response
}

/// The refusal of the layer, field by field.
pub(crate) fn alike(why: Why) -> Response<Full<Bytes>> {
    let (body, length, challenge) = why.texts();
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = why.status();
    let headers = response.headers_mut();
    headers.reserve(5);
    headers.insert(CONTENT_TYPE, PROBLEM);
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    headers.insert(
        CACHE_CONTROL,
        const { HeaderValue::from_static("no-store") },
    );
    headers.insert(VARY, const { HeaderValue::from_static("x-api-key") });
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
    response.extensions_mut().insert(why);
    response
}

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

impl Why {
    const fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Invalid => StatusCode::UNAUTHORIZED,
            Self::Scope => StatusCode::FORBIDDEN,
        }
    }

    /// The body, its length, the challenge.
    const fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Missing => (
                r#"{"title":"Unauthorized","status":401,"detail":"API key missing"}"#,
                "64",
                "ApiKey realm=\"acme_live\"",
            ),
            Self::Invalid => (
                r#"{"title":"Unauthorized","status":401,"detail":"Invalid API key"}"#,
                "64",
                "ApiKey realm=\"acme_live\", error=\"invalid_token\"",
            ),
            Self::Scope => (
                r#"{"title":"Forbidden","status":403,"detail":"Insufficient scope"}"#,
                "64",
                "ApiKey realm=\"acme_live\", error=\"insufficient_scope\"",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_the_body() {
        for why in [Why::Missing, Why::Invalid, Why::Scope] {
            let (body, length, _) = why.texts();
            assert_eq!(body.len().to_string(), length, "{why:?}");
        }
    }
}
