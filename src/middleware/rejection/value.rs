//! A rejection as a value: made inside a handler, and turned into a response.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderMap, HeaderValue};

use super::{Challenges, Detail, Rejection, RejectionKind};
use crate::access::requirement::Requirement;
use crate::middleware::{caching, problem};
use crate::verdict::{Identity, VerifiedKey};

impl VerifiedKey {
    /// Refuses a key that does not meet a requirement, for a handler that knows its requirement only
    /// after it has read the request.
    ///
    /// The rejection is that of a layer or a guard, and [becomes](Rejection::into_response) the same
    /// response. If that response leaves through an [`ApiKeyLayer`](crate::ApiKeyLayer), the observers of
    /// the layer and of its ring receive it.
    ///
    /// ```
    /// use tower_api_key::{Grant, KeyRing, Requirement, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let issued = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
    /// let key = ring.verify(issued.secret().expose().as_bytes()).await?;
    ///
    /// assert!(key.require(&Requirement::scope("orders:read")?).is_ok());
    /// let write = Requirement::scope("orders:write")?;
    /// let rejection = key.require(&write).unwrap_err();
    /// assert_eq!(rejection.requirement(), Some(&write));
    /// assert_eq!(rejection.into_response().status(), 403);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`InsufficientScope`](RejectionKind::InsufficientScope), with the
    /// [requirement](Rejection::requirement).
    pub fn require(&self, requirement: &Requirement) -> Result<(), Rejection> {
        if requirement.is_met_by(self.scopes()) {
            self.exercise(requirement);
            return Ok(());
        }
        let kind = RejectionKind::InsufficientScope;
        Err(Rejection {
            kind,
            status: kind.status(),
            detail: Detail::Shared(lacking(requirement).into()),
            cause: None,
            identity: Identity::Proven(self.id()),
            source: None,
            challenges: Challenges::One(challenge(self, requirement.mentioned().as_str())),
            requirement: Some(Arc::new(requirement.clone())),
            untold: true,
            is_answered: false,
        })
    }
}

impl Rejection {
    /// The response to the client: a problem (RFC 9457) with the status, the challenges and
    /// `Cache-Control: no-store`, and this rejection in its extensions. It does not come from a
    /// [responder](crate::ApiKeyLayer::responder). It has a body, which is not to be sent to a request whose method
    /// is `HEAD` (RFC 9110 §9.3.2). Routers of axum see to that.
    ///
    /// With the feature `axum`, a handler returns the rejection itself. A handler of tonic makes
    /// [a status](Self::grpc_metadata) of it.
    pub fn into_response(self) -> Response<Bytes> {
        let json = problem::json(self.status, self.detail());
        let length = json.len().into();
        // Only the authenticating layer knows which headers carry keys.
        let vary = HeaderValue::from_static("*");
        self.problem(json.into(), &length, &vary)
    }

    /// The response, with this rejection in its extensions.
    pub(super) fn problem(
        self,
        problem: Bytes,
        length: &HeaderValue,
        vary: &HeaderValue,
    ) -> Response<Bytes> {
        let mut response = Response::new(problem);
        *response.status_mut() = self.status;
        *response.headers_mut() =
            problem_headers(self.kind, self.challenges.as_slice(), vary, length);
        response.extensions_mut().insert(self);
        response
    }
}

/// The headers of a problem that refuses a request.
pub(super) fn problem_headers(
    kind: RejectionKind,
    challenges: &[HeaderValue],
    vary: &HeaderValue,
    length: &HeaderValue,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, problem::CONTENT_TYPE);
    for challenge in challenges {
        headers.append(header::WWW_AUTHENTICATE, challenge.clone());
    }
    if kind == RejectionKind::StoreUnavailable {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    caching::forbid_storing(&mut headers);
    headers.insert(header::VARY, vary.clone());
    // The server would state it. But a router may do so before, for the paths that it knows, and then the order of the
    // headers shows a stranger which ones these are.
    headers.insert(header::CONTENT_LENGTH, length.clone());
    headers
}

/// The unmet requirement, in the words that the client gets.
pub(super) fn lacking(requirement: &Requirement) -> String {
    format!("Insufficient scope: expected {requirement}")
}

/// The challenge to a key that lacks a scope, with the `scope` attribute (RFC 6750 §3).
pub(super) fn challenge(key: &VerifiedKey, scopes: &str) -> HeaderValue {
    ascii(format!(
        "{} realm=\"{}\", error=\"insufficient_scope\", scope=\"{scopes}\"",
        key.scheme().as_str(),
        key.realm()
    ))
}

/// A header value of realms, scopes and literals, all of them printable ASCII by construction.
pub(super) fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
