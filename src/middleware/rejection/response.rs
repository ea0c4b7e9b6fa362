//! Responses that refuse, prepared when a layer is built.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::HeaderValue;

use super::answer::{Answer, Prepared, Responder, completed};
use super::value::{challenge, lacking};
use super::{Challenges, Detail, Head, Rejection, RejectionKind, StatusProfile, grpc};
use crate::access::realm::Realm;
use crate::access::requirement::Requirement;
use crate::middleware::credential::Sources;
use crate::middleware::kept_values::kept_values;
use crate::verdict::{Ambiguity, Identity, KeyPlace, Refusal};
use crate::verdict::{VerifiedKey, VerifyErrorKind};

const MISSING: &str = "API key missing";
const INVALID: &str = "Invalid API key";
const UNKNOWN_ROUTE: &str = "Unknown route";
const STORE_UNAVAILABLE: &str = "Key store unavailable";
const NOT_AUTHENTICATED: &str = "Authentication layer missing";

/// Every refusal of one layer.
pub(crate) struct Responses {
    missing: Prepared,
    invalid: Prepared,
    unknown_route: Prepared,
    store_unavailable: Prepared,
    /// One for each [`Ambiguity`], in its order.
    ambiguous: [Prepared; Ambiguity::ALL.len()],
    /// One for each [`KeyPlace`], in its order.
    misplaced: [Prepared; KeyPlace::ALL.len()],
    vary: &'static HeaderValue,
    responder: Option<Arc<Responder>>,
}

impl Responses {
    pub(crate) fn new(
        realm: &Realm,
        sources: &Sources,
        profile: StatusProfile,
        responder: Option<Arc<Responder>>,
    ) -> Self {
        let challenges = |error: &str| {
            let schemes = sources.schemes().into_iter();
            let texts =
                schemes.map(|scheme| format!("{} realm=\"{realm}\"{error}", scheme.as_str()));
            kept_values(texts.collect())
        };
        let vary = sources.vary();
        let prepared = |kind, detail, challenges| {
            let answer = Answer::new(kind, detail, profile.status(kind), challenges);
            Prepared::new(answer, vary)
        };
        let answer = |kind, detail, challenges| prepared(kind, Detail::Static(detail), challenges);
        Self {
            missing: answer(RejectionKind::Missing, MISSING, challenges("")),
            invalid: answer(
                RejectionKind::Invalid,
                INVALID,
                challenges(", error=\"invalid_token\""),
            ),
            unknown_route: answer(RejectionKind::UnknownRoute, UNKNOWN_ROUTE, &[]),
            store_unavailable: answer(RejectionKind::StoreUnavailable, STORE_UNAVAILABLE, &[]),
            ambiguous: Ambiguity::ALL
                .map(|ambiguity| answer(RejectionKind::Ambiguous, ambiguity.detail(), &[])),
            misplaced: KeyPlace::ALL.map(|place| {
                let detail = Detail::Shared(place.detail(&sources.instruction()).into());
                let kind = place.rejection();
                prepared(kind, detail, &[])
            }),
            vary,
            responder,
        }
    }

    /// The response to a refusal. `required` is what a key does not meet, if it is refused for that.
    #[cold]
    pub(crate) fn refuse(
        &self,
        refusal: &Refusal,
        required: Option<&Required>,
        request: Head<'_>,
    ) -> Response<Bytes> {
        let responder = self.responder.as_deref();
        match self.prepared(refusal) {
            Ok((answer, rejection)) => answer.respond(rejection, self.vary, responder, request),
            Err(key) => match required {
                Some(required) => required.refuse(key, self.vary, responder, request),
                // Nothing was required, so nothing can be lacking: a mistake in this crate.
                None => not_authenticated(request),
            },
        }
    }

    /// The same refusal as a value. [`respond`](Self::respond) makes the same response of it.
    #[cold]
    pub(crate) fn rejection(&self, refusal: &Refusal, required: Option<&Required>) -> Rejection {
        match (self.prepared(refusal), required) {
            (Ok((_, rejection)), _) => rejection,
            (Err(key), Some(required)) => required.rejection(key),
            (Err(_), None) => without_layer(),
        }
    }

    /// The response to a rejection of this layer.
    #[cold]
    pub(crate) fn respond(&self, rejection: Rejection, request: Head<'_>) -> Response<Bytes> {
        let detail = rejection.detail.clone();
        let answer = Answer::new(rejection.kind, detail, rejection.status, &[]);
        let responder = self.responder.as_deref();
        answer.respond(rejection, None, self.vary, responder, request)
    }

    /// The prepared answer to a refusal, or the key that lacks a scope.
    #[inline]
    fn prepared<'a>(
        &self,
        refusal: &'a Refusal,
    ) -> Result<(&Prepared, Rejection), &'a VerifiedKey> {
        let (answer, cause, identity) = match refusal {
            Refusal::Missing => (&self.missing, None, Identity::Unknown),
            Refusal::Ambiguous(ambiguity) => {
                let answer = &self.ambiguous[*ambiguity as usize];
                (answer, None, Identity::Unknown)
            }
            Refusal::Misplaced(place, key_id) => {
                let answer = &self.misplaced[*place as usize];
                (answer, None, Identity::Claimed(*key_id))
            }
            Refusal::Unverified(error) => match error.kind() {
                VerifyErrorKind::Invalid(cause) => (&self.invalid, Some(cause), error.identity()),
                VerifyErrorKind::StoreUnavailable => {
                    let answer = &self.store_unavailable;
                    let rejection = Rejection {
                        source: error.failure().cloned(),
                        ..answer.answer.rejection(None, error.identity())
                    };
                    return Ok((answer, rejection));
                }
            },
            Refusal::InsufficientScope(key) => return Err(key),
            Refusal::UnknownRoute(key) => (&self.unknown_route, None, Identity::Proven(key.id())),
        };
        Ok((answer, answer.answer.rejection(cause, identity)))
    }

    /// The response to a refusal further in, if this layer's responder answers it: no other has, and
    /// the client is not one of gRPC. `is_head` says whether the method of the request is `HEAD`.
    #[cold]
    pub(crate) fn answer_for<B>(
        &self,
        refused: &Response<B>,
        is_head: bool,
    ) -> Option<Response<Bytes>> {
        let responder = self.responder.as_deref()?;
        let rejection = refused.extensions().get::<Rejection>()?;
        if rejection.is_answered || refused.headers().contains_key(grpc::GRPC_STATUS) {
            return None;
        }
        let mut rejection = rejection.clone();
        rejection.is_answered = true;
        let challenges = rejection.challenges.as_slice();
        let mut response = completed(responder(&rejection), challenges, self.vary);
        if is_head {
            *response.body_mut() = Bytes::new();
        }
        response.extensions_mut().insert(rejection);
        Some(response)
    }
}

/// Left in the extensions of a request that passes without a key. With it, a guard further in answers as
/// the layer would have, and does not conclude that the layer is missing.
#[derive(Clone)]
pub(crate) struct Anonymous(Arc<Responses>);

impl Anonymous {
    pub(crate) fn new(responses: Arc<Responses>) -> Self {
        Self(responses)
    }

    /// The response if a key is needed after all.
    pub(crate) fn refuse(&self, request: Head<'_>) -> Response<Bytes> {
        self.0.refuse(&Refusal::Missing, None, request)
    }

    /// The same refusal, before it becomes a response.
    pub(super) fn rejection(&self) -> Rejection {
        self.0.missing.answer.rejection(None, Identity::Unknown)
    }
}

/// A requirement with the response to keys that do not meet it.
pub(crate) struct Required {
    requirement: Arc<Requirement>,
    /// The `scope` attribute of the challenge (RFC 6750 §3).
    scopes: String,
    answer: Answer,
    responder: Option<Arc<Responder>>,
}

impl Required {
    pub(crate) fn new(requirement: Requirement, responder: Option<Arc<Responder>>) -> Self {
        let kind = RejectionKind::InsufficientScope;
        let detail = Detail::Shared(lacking(&requirement).into());
        Self {
            answer: Answer::new(kind, detail, kind.status(), &[]),
            scopes: requirement.mentioned().to_string(),
            requirement: Arc::new(requirement),
            responder,
        }
    }

    #[inline]
    pub(crate) fn is_met_by(&self, key: &VerifiedKey) -> bool {
        let is_met = self.requirement.is_met_by(key.scopes());
        if is_met {
            key.exercise(&self.requirement);
        }
        is_met
    }

    /// The response to a key that does not meet the requirement. The layer's responder makes it if there is none
    /// for this requirement.
    #[cold]
    pub(crate) fn refuse(
        &self,
        key: &VerifiedKey,
        vary: &HeaderValue,
        of_layer: Option<&Responder>,
        request: Head<'_>,
    ) -> Response<Bytes> {
        let responder = self.responder.as_deref().or(of_layer);
        self.answer
            .respond(self.rejection(key), None, vary, responder, request)
    }

    fn rejection(&self, key: &VerifiedKey) -> Rejection {
        Rejection {
            challenges: Challenges::One(challenge(key, &self.scopes)),
            requirement: Some(Arc::clone(&self.requirement)),
            ..self.answer.rejection(None, Identity::Proven(key.id()))
        }
    }
}

/// The response if a scope is required and nothing authenticates.
#[cold]
pub(crate) fn not_authenticated(request: Head<'_>) -> Response<Bytes> {
    let answer = without_layer_answer();
    let rejection = answer.rejection(None, Identity::Unknown);
    answer.respond(
        rejection,
        None,
        &HeaderValue::from_static("*"),
        None,
        request,
    )
}

/// The same refusal, before it becomes a response.
pub(crate) fn without_layer() -> Rejection {
    without_layer_answer().rejection(None, Identity::Unknown)
}

fn without_layer_answer() -> Answer {
    let kind = RejectionKind::NotAuthenticated;
    let detail = Detail::Static(NOT_AUTHENTICATED);
    Answer::new(kind, detail, kind.status(), &[])
}
