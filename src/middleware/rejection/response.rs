//! Responses that refuse, prepared when a layer is built.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::HeaderValue;

use super::answer::{Answer, Responder, completed};
use super::prepared::{Prepared, Refused};
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
    missing: &'static Prepared,
    invalid: &'static Prepared,
    unknown_route: &'static Prepared,
    store_unavailable: &'static Prepared,
    /// One for each [`Ambiguity`], in its order.
    ambiguous: [&'static Prepared; Ambiguity::ALL.len()],
    /// One for each [`KeyPlace`], in its order.
    misplaced: [&'static Prepared; KeyPlace::ALL.len()],
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
            Prepared::kept(kind, detail, profile.status(kind), challenges, vary)
        };
        let answer = |kind, detail: &str, challenges| prepared(kind, detail.to_owned(), challenges);
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
                let detail = place.detail(&sources.instruction());
                prepared(place.rejection(), detail, &[])
            }),
            vary,
            responder,
        }
    }

    /// A refusal whose response is prepared. `None` for the others: those that a responder answers, those of a scope, and those
    /// to clients of gRPC.
    #[cold]
    #[inline(never)]
    pub(crate) fn refused(&self, refusal: &Refusal, request: Head<'_>) -> Option<Refused> {
        if self.responder.is_some() || grpc::content_type(request).is_some() {
            return None;
        }
        let prepared = self.prepared(refusal)?;
        Some(Refused::new(prepared, prepared.answer.rejection(refusal)))
    }

    /// The response to a refusal. `required` is what a key does not meet, if it is refused for that.
    #[cold]
    pub(crate) fn refuse(
        &self,
        refusal: &Refusal,
        required: Option<&Required>,
        request: Head<'_>,
    ) -> Response<Bytes> {
        if let Some(refused) = self.refused(refusal, request) {
            return refused.respond(request.is_head(), std::convert::identity);
        }
        let responder = self.responder.as_deref();
        match (self.prepared(refusal), refusal.valid_key(), required) {
            (Some(Prepared { answer, .. }), _, _) => {
                let rejection = answer.rejection(refusal);
                answer.respond(rejection, self.vary, responder, request)
            }
            (None, Some(key), Some(required)) => {
                required.refuse(key, self.vary, responder, request)
            }
            // Nothing was required, so nothing can be lacking: a mistake in this crate.
            (None, _, _) => not_authenticated(request),
        }
    }

    /// The same refusal as a value. [`respond`](Self::respond) makes the same response of it.
    #[cold]
    pub(crate) fn rejection(&self, refusal: &Refusal, required: Option<&Required>) -> Rejection {
        match (self.prepared(refusal), refusal.valid_key(), required) {
            (Some(Prepared { answer, .. }), _, _) => answer.rejection(refusal),
            (None, Some(key), Some(required)) => required.rejection(key),
            (None, _, _) => without_layer(),
        }
    }

    /// The response to a rejection of this layer.
    #[cold]
    pub(crate) fn respond(&self, rejection: Rejection, request: Head<'_>) -> Response<Bytes> {
        let detail = rejection.detail.clone();
        let answer = Answer::new(rejection.kind, detail, rejection.status, &[]);
        let responder = self.responder.as_deref();
        answer.respond(rejection, self.vary, responder, request)
    }

    /// The prepared answer to a refusal. `None` if a key lacks a scope.
    #[inline]
    fn prepared(&self, refusal: &Refusal) -> Option<&'static Prepared> {
        Some(match refusal {
            Refusal::Missing => self.missing,
            Refusal::Ambiguous(ambiguity) => self.ambiguous[*ambiguity as usize],
            Refusal::Misplaced(place, _) => self.misplaced[*place as usize],
            Refusal::Unverified(error) => match error.kind() {
                VerifyErrorKind::Invalid(_) => self.invalid,
                VerifyErrorKind::StoreUnavailable => self.store_unavailable,
            },
            Refusal::InsufficientScope(_) => return None,
            Refusal::UnknownRoute(_) => self.unknown_route,
        })
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
        self.0.rejection(&Refusal::Missing, None)
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
            .respond(self.rejection(key), vary, responder, request)
    }

    fn rejection(&self, key: &VerifiedKey) -> Rejection {
        Rejection {
            challenges: Challenges::One(challenge(key, &self.scopes)),
            requirement: Some(Arc::clone(&self.requirement)),
            ..self.answer.rejection_of(Identity::Proven(key.id()))
        }
    }
}

/// The response if a scope is required and nothing authenticates.
#[cold]
pub(crate) fn not_authenticated(request: Head<'_>) -> Response<Bytes> {
    let answer = without_layer_answer();
    let rejection = answer.rejection_of(Identity::Unknown);
    answer.respond(rejection, &HeaderValue::from_static("*"), None, request)
}

/// The same refusal, before it becomes a response.
pub(crate) fn without_layer() -> Rejection {
    without_layer_answer().rejection_of(Identity::Unknown)
}

fn without_layer_answer() -> Answer {
    let kind = RejectionKind::NotAuthenticated;
    let detail = Detail::Static(NOT_AUTHENTICATED);
    Answer::new(kind, detail, kind.status(), &[])
}
