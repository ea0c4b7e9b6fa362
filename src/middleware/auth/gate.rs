//! The judgement of a request by the settings of a layer, and its result.

use std::sync::Arc;

use http::Extensions;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, REFERER};

use super::attribution::{AdmittedIn, Attribution};
use super::cache::CacheHeaders;
use super::lifetime::LifetimeHeaders;
use super::search::{Decision, Waiting};
use crate::key::KeyId;
use crate::middleware::client::FactSources;
use crate::middleware::credential::leak::in_any_header;
use crate::middleware::credential::{Presented, Sighting, Sources, Unclear, hide};
use crate::middleware::guard::routes::RouteTable;
use crate::middleware::head::RequestHead;
use crate::middleware::rejection::{Anonymous, Deferred, Required, Responses};
use crate::observe::event::Event;
use crate::observe::observed::Observed;
use crate::ring::{KeyRing, Verifying};
use crate::verdict::{Denial, KeyPlace, Refusal, Scheme, VerifiedKey, VerifyError};

/// Everything that a request is judged by, prepared when the layer wraps a service.
pub(super) struct Gate {
    pub(super) ring: KeyRing,
    pub(super) sources: Sources,
    pub(super) required: Option<Required>,
    /// The routes that requests may have. `None` if they may have any.
    pub(super) routes: Option<RouteTable>,
    /// Whether any request may pass without a key.
    pub(super) optional: bool,
    pub(super) on_refusal: OnRefusal,
    pub(super) forward: bool,
    /// The carriers of keys, unless accepted responses are left alone.
    pub(super) vary: Option<&'static HeaderValue>,
    pub(super) responses: Arc<Responses>,
    pub(super) observer: Observed,
    pub(super) follow_up: FollowUp,
    pub(super) attribution: Attribution,
    /// `None` if responses say nothing of the end of a key.
    pub(super) lifetime: Option<LifetimeHeaders>,
    pub(super) facts: FactSources,
    /// Those of the layer's other rings, in their order.
    pub(super) others: Box<[Arc<Gate>]>,
    /// Those of them whose keys begin otherwise than those of every ring before: their keys are looked for too.
    pub(super) strangers: Box<[Arc<Gate>]>,
}

/// What is left to do once an admitted request has been answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FollowUp {
    Nothing,
    /// Something that needs no key. Two writes to the count of its record are saved.
    OfOutcome,
    OfKey,
}

/// What a layer does with a request whose key is missing or wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnRefusal {
    Answer,
    /// The request goes on, with its refusal.
    HandOn,
}

/// The state of a request's authentication.
pub(super) enum Step {
    Admitted(Admission),
    Refused(Refusal),
    Pending(Waiting, Scheme, CacheHeaders),
    /// Another ring than the first has decided.
    ByAnother(Arc<Gate>, Result<Admission, Refusal>),
}

/// What the response to an admitted request is completed by.
pub(super) struct Admission {
    pub(super) cache: CacheHeaders,
    pub(super) span: AdmittedIn,
}

impl Gate {
    /// Finds the credential, verifies and hides it.
    #[inline]
    pub(super) fn authenticate(&self, request: &mut impl RequestHead) -> Step {
        forget_earlier(request.extensions_mut());
        if !self.strangers.is_empty()
            && let Some(step) = self.find_keys_of_others(request)
        {
            return step;
        }
        let (found, is_reported) = match self.sources.find(request, self.ring.format()) {
            Ok(found) => (found, false),
            Err(Unclear) => match self.look_closer(request) {
                Ok(found) => found,
                Err(refusal) => return Step::Refused(refusal),
            },
        };
        let Some(presented) = found else {
            return self.without_credential(request, is_reported);
        };
        let header = presented.header.unwrap_or(&AUTHORIZATION);
        let scheme = presented.scheme;
        let facts = || self.facts.of(request);
        if !self.others.is_empty() {
            let attempt = self.ask_all(presented.token, &facts);
            self.hide(request, header, is_reported);
            return self.conclude(attempt, scheme, request);
        }
        let key = match self.ring.accept_at_once(presented.token, facts) {
            Ok(key) => key,
            Err(unfinished) => match self.ring.go_on(unfinished, presented.token, &facts) {
                Verifying::Done(Ok(key)) => key,
                Verifying::Done(Err(error)) => return Step::Refused(error.into()),
                Verifying::Pending(verdict) => {
                    self.hide(request, header, is_reported);
                    let cache = CacheHeaders::private(self.vary);
                    return Step::Pending(Waiting::OneRing(verdict), scheme, cache);
                }
            },
        };
        let key = key.presented_as(scheme);
        // A request that is refused goes nowhere: there is no one to hide the credential from.
        if let Err(denial) = self.permit(&key, request) {
            return Step::Refused(denial.of(key));
        }
        self.hide(request, header, is_reported);
        Step::Admitted(self.admit(key, CacheHeaders::private(self.vary), request))
    }

    /// The credential of a request that may have a key in a wrong place, and whether one was reported.
    #[cold]
    fn look_closer<'request>(
        &self,
        request: &'request impl RequestHead,
    ) -> Result<(Option<Presented<'_, 'request>>, bool), Refusal> {
        let Sighting {
            credential,
            reported,
        } = self.sources.look_closer(request, self.ring.format());
        for (place, key_id) in &reported {
            self.report(*place, *key_id);
        }
        Ok((credential?, !reported.is_empty()))
    }

    #[inline]
    fn without_credential(&self, request: &mut impl RequestHead, is_reported: bool) -> Step {
        if self.may_be_anonymous(request) {
            return self.let_pass(request, is_reported);
        }
        Step::Refused(Refusal::Missing)
    }

    /// The next step of a request that may pass without a key.
    fn let_pass(&self, request: &mut impl RequestHead, is_reported: bool) -> Step {
        if let Some(refusal) = in_any_header(request.headers(), self.ring.format()) {
            return Step::Refused(refusal);
        }
        for other in &self.others {
            if let Some(refusal) = in_any_header(request.headers(), other.ring.format()) {
                return Step::ByAnother(Arc::clone(other), Err(refusal));
            }
        }
        if is_reported {
            hide(request, &REFERER, true);
        }
        let marker = Anonymous::new(Arc::clone(&self.responses));
        request.extensions_mut().insert(marker);
        // The client is anonymous: the response may be shared, but not with holders of keys.
        Step::Admitted(self.admission(CacheHeaders::shared(self.vary), None))
    }

    /// The end of a request that waited for a store: the gate of the ring that decided, and whether the key that is
    /// now attached is admitted.
    pub(super) fn settle(
        self: Arc<Self>,
        (verdict, by): Decision,
        scheme: Scheme,
        cache: CacheHeaders,
        request: &mut impl RequestHead,
    ) -> (Arc<Self>, Result<Admission, Refusal>) {
        let gate = match by {
            None => self,
            Some(place) => Arc::clone(&self.others[place]),
        };
        let checked = gate.check(verdict, scheme, request);
        let admitted = checked.map(|key| gate.admit(key, cache, request));
        (gate, admitted)
    }

    /// Attaches the key of an admitted request.
    #[inline]
    pub(super) fn admit(
        &self,
        key: VerifiedKey,
        cache: CacheHeaders,
        request: &mut impl RequestHead,
    ) -> Admission {
        let admission = self.admission(cache, Some(&key));
        request.extensions_mut().insert(key);
        admission
    }

    #[inline]
    fn admission(&self, cache: CacheHeaders, key: Option<&VerifiedKey>) -> Admission {
        Admission {
            cache,
            span: AdmittedIn::of(&self.attribution, key, self.ring.realm()),
        }
    }

    /// Hides the credential, and a reported key in `Referer`: in every other place, a reported key refuses
    /// the request.
    #[inline]
    fn hide(&self, request: &mut impl RequestHead, header: &HeaderName, is_reported: bool) {
        hide(request, header, self.forward);
        if is_reported {
            hide(request, &REFERER, true);
        }
    }

    /// Whether this request may pass without a key.
    #[inline]
    fn may_be_anonymous(&self, request: &impl RequestHead) -> bool {
        let is_public = |routes: &RouteTable| routes.is_public(request);
        self.optional && self.routes.as_ref().is_none_or(is_public)
    }

    /// The key of a verdict, if it may go further.
    pub(super) fn check(
        &self,
        verdict: Result<VerifiedKey, VerifyError>,
        scheme: Scheme,
        request: &impl RequestHead,
    ) -> Result<VerifiedKey, Refusal> {
        let key = verdict?.presented_as(scheme);
        match self.permit(&key, request) {
            Ok(()) => Ok(key),
            Err(denial) => Err(denial.of(key)),
        }
    }

    /// The one way to the inner service: a valid key that meets the requirement of the layer and that of the route.
    #[inline]
    fn permit(&self, key: &VerifiedKey, request: &impl RequestHead) -> Result<(), Denial> {
        match (&self.required, &self.routes) {
            (Some(required), _) if !required.is_met_by(key) => Err(Denial::InsufficientScope),
            (_, None) => Ok(()),
            (_, Some(routes)) => routes.permit(key, request),
        }
    }

    /// Reports a key in a wrong place to the observer.
    #[cold]
    pub(super) fn report(&self, place: KeyPlace, key_id: KeyId) {
        let realm = self.ring.realm();
        self.observer
            .tell(|| Event::misplaced(place.event(), realm, place, key_id));
    }
}

/// Removes what an earlier layer left. It is not the proof of this one.
#[inline]
pub(super) fn forget_earlier(extensions: &mut Extensions) {
    if !extensions.is_empty() {
        extensions.remove::<VerifiedKey>();
        extensions.remove::<Anonymous>();
        if let Some(deferred) = extensions.remove::<Deferred>() {
            // This layer decides now.
            deferred.see();
        }
    }
}
