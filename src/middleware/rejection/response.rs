//! Responses that refuse, made ready when a layer is built.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::{Detail, Head, Rejection, RejectionKind, StatusProfile, grpc};
use crate::access::realm::Realm;
use crate::access::requirement::Requirement;
use crate::middleware::caching;
use crate::middleware::credential::Sources;
use crate::middleware::problem;
use crate::verdict::{Ambiguity, Identity, KeyPlace, Refusal};
use crate::verdict::{InvalidCause, VerifiedKey, VerifyErrorKind};

const MISSING: &str = "API key missing";
const INVALID: &str = "Invalid API key";
const STORE_UNAVAILABLE: &str = "Key store unavailable";
const NOT_AUTHENTICATED: &str = "Authentication layer missing";

pub(crate) type Responder = dyn Fn(&Rejection) -> Response<Bytes> + Send + Sync;

/// Every refusal of one layer.
pub(crate) struct Responses {
    missing: Answer,
    invalid: Answer,
    store_unavailable: Answer,
    /// One for each [`Ambiguity`], in its order.
    ambiguous: [Answer; Ambiguity::ALL.len()],
    /// One for each [`KeyPlace`], in its order.
    misplaced: [Answer; KeyPlace::ALL.len()],
    vary: HeaderValue,
    responder: Option<Arc<Responder>>,
}

impl Responses {
    pub(crate) fn new(
        realm: &Realm,
        sources: &Sources,
        profile: StatusProfile,
        responder: Option<Arc<Responder>>,
    ) -> Self {
        let challenges = |error: &str| -> Vec<HeaderValue> {
            sources
                .schemes()
                .into_iter()
                .map(|scheme| ascii(format!("{} realm=\"{realm}\"{error}", scheme.as_str())))
                .collect()
        };
        let answer = |kind, detail, challenges| {
            Answer::new(
                kind,
                Detail::Static(detail),
                profile.status(kind),
                challenges,
            )
        };
        Self {
            missing: answer(RejectionKind::Missing, MISSING, challenges("")),
            invalid: answer(
                RejectionKind::Invalid,
                INVALID,
                challenges(", error=\"invalid_token\""),
            ),
            store_unavailable: answer(
                RejectionKind::StoreUnavailable,
                STORE_UNAVAILABLE,
                Vec::new(),
            ),
            ambiguous: Ambiguity::ALL
                .map(|ambiguity| answer(RejectionKind::Ambiguous, ambiguity.detail(), Vec::new())),
            misplaced: KeyPlace::ALL.map(|place| {
                let detail = Detail::Shared(place.detail(&sources.instruction()).into());
                let kind = place.rejection();
                Answer::new(kind, detail, profile.status(kind), Vec::new())
            }),
            vary: sources.vary(),
            responder,
        }
    }

    /// The response to a refusal; `required` is what the layer requires, if it does.
    #[cold]
    pub(crate) fn refuse(
        &self,
        refusal: &Refusal,
        required: Option<&Required>,
        request: Head<'_>,
    ) -> Response<Bytes> {
        match refusal {
            Refusal::Missing => self.answer(&self.missing, None, Identity::Unknown, request),
            Refusal::Ambiguous(ambiguity) => {
                let answer = &self.ambiguous[*ambiguity as usize];
                self.answer(answer, None, Identity::Unknown, request)
            }
            Refusal::Misplaced(place, key_id) => self.answer(
                &self.misplaced[*place as usize],
                None,
                Identity::Claimed(*key_id),
                request,
            ),
            Refusal::Unverified(error) => match error.kind() {
                VerifyErrorKind::Invalid(cause) => {
                    self.answer(&self.invalid, Some(cause), error.identity(), request)
                }
                VerifyErrorKind::StoreUnavailable => {
                    let answer = &self.store_unavailable;
                    let rejection = Rejection {
                        source: error.failure().cloned(),
                        ..answer.rejection(None, error.identity())
                    };
                    let responder = self.responder.as_deref();
                    answer.respond(rejection, &self.vary, responder, request)
                }
            },
            Refusal::InsufficientScope(key) => match required {
                Some(required) => required.refuse(key, &self.vary, request),
                // Nothing was required, so nothing can be lacking: a mistake in this crate.
                None => not_authenticated(request),
            },
        }
    }

    fn answer(
        &self,
        answer: &Answer,
        cause: Option<InvalidCause>,
        identity: Identity,
        request: Head<'_>,
    ) -> Response<Bytes> {
        let rejection = answer.rejection(cause, identity);
        let responder = self.responder.as_deref();
        answer.respond(rejection, &self.vary, responder, request)
    }
}

/// Left in the extensions of a request that passes without a key, so that a guard further in
/// answers as the layer would have, and does not take it for a missing layer.
#[derive(Clone)]
pub(crate) struct Anonymous(Arc<Responses>);

impl Anonymous {
    pub(crate) fn new(responses: Arc<Responses>) -> Self {
        Self(responses)
    }

    /// The response where a key is needed after all.
    pub(crate) fn refuse(&self, request: Head<'_>) -> Response<Bytes> {
        self.0.refuse(&Refusal::Missing, None, request)
    }
}

/// A requirement with the response to keys that do not meet it.
pub(crate) struct Required {
    requirement: Arc<Requirement>,
    answer: Answer,
    responder: Option<Arc<Responder>>,
}

impl Required {
    pub(crate) fn new(requirement: Requirement, responder: Option<Arc<Responder>>) -> Self {
        let kind = RejectionKind::InsufficientScope;
        let detail = Detail::Shared(lacking(&requirement).into());
        Self {
            answer: Answer::new(kind, detail, kind.status(), Vec::new()),
            requirement: Arc::new(requirement),
            responder,
        }
    }

    #[inline]
    pub(crate) fn is_met_by(&self, key: &VerifiedKey) -> bool {
        self.requirement.is_met_by(key.scopes())
    }

    /// The response to a key that lacks what is required.
    #[cold]
    pub(crate) fn refuse(
        &self,
        key: &VerifiedKey,
        vary: &HeaderValue,
        request: Head<'_>,
    ) -> Response<Bytes> {
        let rejection = Rejection {
            challenges: [challenge(key, &self.requirement)].into(),
            requirement: Some(Arc::clone(&self.requirement)),
            ..self.answer.rejection(None, Identity::Proven(key.id()))
        };
        let responder = self.responder.as_deref();
        self.answer.respond(rejection, vary, responder, request)
    }
}

impl VerifiedKey {
    /// Refuses a key that lacks what is required: for a handler that learns only from the request
    /// what it needs.
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
    /// let issued = ring.issue(Grant::new("alice").scopes(["orders:read"])?).await?;
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
            challenges: [challenge(self, requirement)].into(),
            requirement: Some(Arc::new(requirement.clone())),
            untold: true,
        })
    }
}

impl RejectionKind {
    /// The status of a kind that no profile changes.
    fn status(self) -> StatusCode {
        StatusProfile::default().status(self)
    }
}

/// What a key lacks, in the words that the client gets.
fn lacking(requirement: &Requirement) -> String {
    format!("Insufficient scope: expected {requirement}")
}

/// The challenge to a key that lacks a scope, with the `scope` attribute (RFC 6750 §3).
fn challenge(key: &VerifiedKey, requirement: &Requirement) -> HeaderValue {
    ascii(format!(
        "{} realm=\"{}\", error=\"insufficient_scope\", scope=\"{}\"",
        key.scheme().as_str(),
        key.realm(),
        requirement.mentioned()
    ))
}

impl Rejection {
    /// The response that tells the client: a problem (RFC 9457) with the status, the challenges and
    /// `Cache-Control: no-store`, and this rejection in its extensions. It is not that of a
    /// [responder](crate::ApiKeyLayer::responder).
    ///
    /// With the feature `axum`, a handler returns the rejection itself. A handler of tonic returns
    /// `Status::new(rejection.grpc_code().into(), rejection.detail())`, which no observer recognises as a
    /// rejection.
    pub fn into_response(self) -> Response<Bytes> {
        let json = problem::json(self.status, self.detail());
        // Which headers carry keys, the authenticating layer knows.
        let mut response = self.problem(json.into(), &HeaderValue::from_static("*"));
        response.extensions_mut().insert(self);
        response
    }

    fn problem(&self, problem: Bytes, vary: &HeaderValue) -> Response<Bytes> {
        let mut response = Response::new(problem);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, problem::CONTENT_TYPE);
        for challenge in &*self.challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge.clone());
        }
        if self.kind == RejectionKind::StoreUnavailable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        caching::forbid_storing(headers);
        headers.insert(header::VARY, vary.clone());
        response
    }
}

/// The response where a scope is required and nothing authenticates.
#[cold]
pub(crate) fn not_authenticated(request: Head<'_>) -> Response<Bytes> {
    let kind = RejectionKind::NotAuthenticated;
    let detail = Detail::Static(NOT_AUTHENTICATED);
    let answer = Answer::new(kind, detail, kind.status(), Vec::new());
    let rejection = answer.rejection(None, Identity::Unknown);
    answer.respond(rejection, &HeaderValue::from_static("*"), None, request)
}

/// One kind of refusal, but for what differs between requests.
struct Answer {
    kind: RejectionKind,
    status: StatusCode,
    detail: Detail,
    challenges: Arc<[HeaderValue]>,
    problem: Bytes,
    grpc_message: HeaderValue,
}

impl Answer {
    fn new(
        kind: RejectionKind,
        detail: Detail,
        status: StatusCode,
        challenges: Vec<HeaderValue>,
    ) -> Self {
        let text = match &detail {
            Detail::Static(text) => text,
            Detail::Shared(text) => text.as_ref(),
        };
        Self {
            kind,
            status,
            challenges: challenges.into(),
            problem: problem::json(status, text).into(),
            grpc_message: ascii(grpc::percent_encode(text)),
            detail,
        }
    }

    fn rejection(&self, cause: Option<InvalidCause>, identity: Identity) -> Rejection {
        Rejection {
            kind: self.kind,
            status: self.status,
            detail: self.detail.clone(),
            cause,
            identity,
            source: None,
            challenges: Arc::clone(&self.challenges),
            requirement: None,
            untold: false,
        }
    }

    fn respond(
        &self,
        rejection: Rejection,
        vary: &HeaderValue,
        responder: Option<&Responder>,
        request: Head<'_>,
    ) -> Response<Bytes> {
        let grpc = grpc::content_type(request);
        let mut response = match (grpc, responder) {
            (Some(content_type), _) => {
                grpc::trailers_only(content_type, self.kind, self.grpc_message.clone(), vary)
            }
            (None, Some(responder)) => {
                completed(responder(&rejection), &rejection.challenges, vary)
            }
            (None, None) => rejection.problem(self.problem.clone(), vary),
        };
        response.extensions_mut().insert(rejection);
        response
    }
}

/// A user's refusal with what none may lack. What it says to caches gives way: a refusal that is
/// stored would answer the holders of valid keys.
fn completed(
    mut response: Response<Bytes>,
    challenges: &[HeaderValue],
    vary: &HeaderValue,
) -> Response<Bytes> {
    let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    if unauthorized && !headers.contains_key(header::WWW_AUTHENTICATE) {
        for challenge in challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge.clone());
        }
    }
    caching::forbid_storing(headers);
    caching::vary_by(headers, vary.clone());
    response
}

/// A header value of realms, scopes and literals, all of them printable ASCII by construction.
fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
