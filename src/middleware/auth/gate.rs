//! The judgement of a request by the settings of a layer, and its result.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, REFERER};
use http::{Extensions, Response};

use super::attribution::Attribution;
use super::cache::CacheHeaders;
use super::search::{self, Attempt, Decision, Waiting};
use crate::key::KeyId;
use crate::middleware::client::FactSources;
use crate::middleware::credential::leak::in_any_header;
use crate::middleware::credential::{Sighting, Sources, hide};
use crate::middleware::guard::routes::RouteTable;
use crate::middleware::head::RequestHead;
use crate::middleware::rejection::{Anonymous, Deferred, Rejection, Required, Responses};
use crate::observe::event::Event;
use crate::observe::observed::Observed;
use crate::ring::{KeyRing, Verifying};
use crate::verdict::{InvalidCause, Scheme, VerifiedKey, VerifyError, VerifyErrorKind};
use crate::verdict::{KeyPlace, Refusal};

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
    pub(super) vary: Option<HeaderValue>,
    pub(super) responses: Arc<Responses>,
    pub(super) observer: Observed,
    /// Whether there is anything to do once an admitted request has been answered.
    pub(super) follows: bool,
    pub(super) attribution: Attribution,
    pub(super) facts: FactSources,
    /// Those of the layer's other rings, in their order.
    pub(super) others: Box<[Arc<Gate>]>,
    /// Those of them whose keys begin otherwise than those of every ring before: their keys are looked for too.
    pub(super) strangers: Box<[Arc<Gate>]>,
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
    Admitted(CacheHeaders),
    Refused(Refusal),
    Pending(Waiting, Scheme, CacheHeaders),
    /// Another ring than the first has decided.
    ByAnother(Arc<Gate>, Result<CacheHeaders, Refusal>),
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
        let Sighting {
            credential,
            reported,
        } = self.sources.find(request, self.ring.format());
        for (place, key_id) in &reported {
            self.report(*place, *key_id);
        }
        let (header, scheme, verifying) = match credential {
            Ok(Some(presented)) => {
                let verifying = self.ring.begin(presented.token, || self.facts.of(request));
                if !self.others.is_empty() {
                    let facts = || self.facts.of(request);
                    let others = self.others.iter().map(|other| &other.ring);
                    let attempt = search::ask(others, verifying, presented.token, &facts);
                    let (header, scheme) = (presented.header, presented.scheme);
                    self.hide(
                        request,
                        header.unwrap_or(&AUTHORIZATION),
                        !reported.is_empty(),
                    );
                    return self.conclude(attempt, scheme, request);
                }
                (presented.header, presented.scheme, verifying)
            }
            Ok(None) if self.may_be_anonymous(request) => {
                if let Some(refusal) = in_any_header(request.headers(), self.ring.format()) {
                    return Step::Refused(refusal);
                }
                for other in &self.others {
                    if let Some(refusal) = in_any_header(request.headers(), other.ring.format()) {
                        return Step::ByAnother(Arc::clone(other), Err(refusal));
                    }
                }
                if !reported.is_empty() {
                    hide(request, &REFERER, true);
                }
                let marker = Anonymous::new(Arc::clone(&self.responses));
                request.extensions_mut().insert(marker);
                // The client is anonymous: the response may be shared, but not with holders of keys.
                return Step::Admitted(CacheHeaders::shared(self.vary.clone()));
            }
            Ok(None) => return Step::Refused(Refusal::Missing),
            Err(refusal) => return Step::Refused(refusal),
        };
        let header = header.unwrap_or(&AUTHORIZATION);
        let cache = CacheHeaders::private(self.vary.clone());
        match verifying {
            // A request that is refused goes nowhere: there is no one to hide the credential from.
            Verifying::Done(verdict) => match self.check(verdict, scheme, request) {
                Ok(key) => {
                    self.hide(request, header, !reported.is_empty());
                    request.extensions_mut().insert(key);
                    Step::Admitted(cache)
                }
                Err(refusal) => Step::Refused(refusal),
            },
            Verifying::Pending(verdict) => {
                self.hide(request, header, !reported.is_empty());
                Step::Pending(Waiting::OneRing(verdict), scheme, cache)
            }
        }
    }

    /// The end of a request that waited for a store: the gate of the ring that decided, and whether the key that is
    /// now attached is admitted.
    pub(super) fn settle(
        self: Arc<Self>,
        (verdict, by): Decision,
        scheme: Scheme,
        request: &mut impl RequestHead,
    ) -> (Arc<Self>, Result<(), Refusal>) {
        let gate = match by {
            None => self,
            Some(place) => Arc::clone(&self.others[place]),
        };
        let admitted = gate.check(verdict, scheme, request).map(|key| {
            request.extensions_mut().insert(key);
        });
        (gate, admitted)
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

    /// Hides the credential of a refused request that goes on. A text that has the form of no key may be for another
    /// party, and stays in its header, marked sensitive. If keys may be in further headers, all are marked.
    #[cold]
    pub(super) fn hide_refused(&self, refusal: &Refusal, request: &mut impl RequestHead) {
        let is_unknown = match refusal {
            Refusal::Unverified(error) => matches!(
                error.kind(),
                VerifyErrorKind::Invalid(InvalidCause::Malformed | InvalidCause::Unknown)
            ),
            _ => false,
        };
        let others = self.others.iter().map(|other| &other.ring);
        let rings: Vec<&KeyRing> = std::iter::once(&self.ring).chain(others).collect();
        for (carrier, token) in self.sources.presented(request.headers()) {
            let has_form = rings
                .iter()
                .any(|ring| ring.format().id_of(&token).is_some());
            let stays = self.forward || (is_unknown && !has_form);
            hide(request, carrier, stays);
        }
        if matches!(refusal, Refusal::Misplaced(..) | Refusal::Ambiguous(_)) {
            for value in request.headers_mut().values_mut() {
                value.set_sensitive(true);
            }
        }
        hide(request, &REFERER, true);
    }

    /// Finds the keys of the other rings that are in wrong places, and hides them in `Referer`. If the request
    /// is to be refused for one, its ring refuses it.
    #[cold]
    fn find_keys_of_others(&self, request: &mut impl RequestHead) -> Option<Step> {
        let mut refused: Option<(&Arc<Self>, KeyPlace, KeyId)> = None;
        let mut is_reported = false;
        for other in &self.strangers {
            let format = other.ring.format();
            let strays = self.sources.strays_of(request, format);
            for (place, key_id) in strays.reported {
                other.report(place, key_id);
                is_reported = true;
            }
            match strays.refused {
                Some((place, key_id)) if refused.is_some() => other.report(place, key_id),
                Some((place, key_id)) => refused = Some((other, place, key_id)),
                None => {}
            }
        }
        if is_reported {
            hide(request, &REFERER, true);
        }
        let (other, place, key_id) = refused?;
        // The keys of the first ring are reported too. If one of them refuses the request, that ring does.
        let strays = self.sources.strays_of(request, self.ring.format());
        if strays.refused.is_some() {
            other.report(place, key_id);
            return None;
        }
        for (place, key_id) in strays.reported {
            self.report(place, key_id);
        }
        let refusal = Refusal::Misplaced(place, key_id);
        Some(Step::ByAnother(Arc::clone(other), Err(refusal)))
    }

    /// The next step after an attempt at several rings.
    #[cold]
    fn conclude(&self, attempt: Attempt, scheme: Scheme, request: &mut impl RequestHead) -> Step {
        let cache = CacheHeaders::private(self.vary.clone());
        let (verdict, by) = match attempt {
            Attempt::Done(decision) => decision,
            Attempt::Pending(decision) => {
                return Step::Pending(Waiting::SeveralRings(decision), scheme, cache);
            }
        };
        let other = by.map(|place| &self.others[place]);
        let checked = other
            .map_or(self, |other| other)
            .check(verdict, scheme, request);
        let admitted = checked.map(|key| {
            request.extensions_mut().insert(key);
        });
        match (other, admitted) {
            (Some(other), admitted) => Step::ByAnother(Arc::clone(other), admitted.map(|()| cache)),
            (None, Ok(())) => Step::Admitted(cache),
            (None, Err(refusal)) => Step::Refused(refusal),
        }
    }

    /// Whether this request may pass without a key.
    #[inline]
    fn may_be_anonymous(&self, request: &impl RequestHead) -> bool {
        let is_public = |routes: &RouteTable| routes.is_public(request);
        self.optional && self.routes.as_ref().is_none_or(is_public)
    }

    /// The one way to the inner service: a positive verdict on a key that meets the requirement of the layer and
    /// that of the route.
    #[inline]
    pub(super) fn check(
        &self,
        verdict: Result<VerifiedKey, VerifyError>,
        scheme: Scheme,
        request: &impl RequestHead,
    ) -> Result<VerifiedKey, Refusal> {
        let key = verdict?.presented_as(scheme);
        match (&self.required, &self.routes) {
            (Some(required), _) if !required.is_met_by(&key) => {
                Err(Refusal::InsufficientScope(key))
            }
            (_, None) => Ok(key),
            (_, Some(routes)) => routes.admit(key, request),
        }
    }

    #[cold]
    pub(super) fn refuse(&self, refusal: &Refusal, request: &impl RequestHead) -> Response<Bytes> {
        self.tell(refusal);
        let answer = || {
            let unmet = self.unmet(refusal, request);
            self.responses.refuse(refusal, unmet, request.into())
        };
        match refusal {
            Refusal::InsufficientScope(key) | Refusal::UnknownRoute(key)
                if self.attribution.in_response =>
            {
                let mut response = answer();
                self.attribution.name_caller(Some(key), &mut response);
                response
            }
            _ => answer(),
        }
    }

    /// The same refusal as a value, which can become that response later.
    #[cold]
    pub(super) fn reject(&self, refusal: &Refusal, request: &impl RequestHead) -> Rejection {
        self.tell(refusal);
        self.responses
            .rejection(refusal, self.unmet(refusal, request))
    }

    /// Whether a refusal is left to the code further in. Not one for what the request is, nor one for its route.
    #[cold]
    pub(super) fn defers(&self, refusal: &Refusal, request: &impl RequestHead) -> bool {
        let is_about_the_key = match refusal {
            Refusal::Missing | Refusal::Unverified(_) | Refusal::InsufficientScope(_) => true,
            Refusal::Ambiguous(_) | Refusal::Misplaced(..) | Refusal::UnknownRoute(_) => false,
        };
        let is_named = |routes: &RouteTable| routes.names(request);
        self.on_refusal == OnRefusal::HandOn
            && is_about_the_key
            && self.routes.as_ref().is_none_or(is_named)
    }

    /// Leaves a refusal in the request. A missing key is reported once it refuses the request, because the client may not
    /// need one. A wrong key is reported at once.
    #[cold]
    pub(super) fn defer(&self, refusal: &Refusal, request: &mut impl RequestHead) -> Deferred {
        self.hide_refused(refusal, request);
        let rejection = match refusal {
            Refusal::Missing => self.responses.rejection(refusal, None).of_a_handler(),
            _ => self.reject(refusal, request),
        };
        let deferred = Deferred::new(rejection, Arc::clone(&self.responses));
        request.extensions_mut().insert(deferred.clone());
        deferred
    }

    fn tell(&self, refusal: &Refusal) {
        let realm = self.ring.realm();
        if let Refusal::Misplaced(place, key_id) = refusal {
            self.report(*place, *key_id);
        }
        self.observer.tell(|| refusal.event(realm));
        #[cfg(feature = "tracing")]
        if let Some(fields) = self.attribution.in_span {
            fields.refused(&refusal.event(realm));
        }
    }

    /// The requirement that a refused key does not meet: that of the layer, or that of the route.
    fn unmet(&self, refusal: &Refusal, request: &impl RequestHead) -> Option<&Required> {
        let Refusal::InsufficientScope(key) = refusal else {
            return None;
        };
        let of_route = || self.routes.as_ref()?.required_of(request);
        let of_layer = self.required.as_ref();
        of_layer
            .filter(|required| !required.is_met_by(key))
            .or_else(of_route)
    }

    /// Reports a key in a wrong place to the observer.
    #[cold]
    fn report(&self, place: KeyPlace, key_id: KeyId) {
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
