//! The judgement of a request by the settings of a layer, and its result.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, REFERER};
use http::{Request, Response};

use super::cache::CacheHeaders;
use crate::key::KeyId;
use crate::middleware::client::FactSources;
use crate::middleware::credential::leak::in_any_header;
use crate::middleware::credential::{Sighting, Sources, hide};
use crate::middleware::rejection::{Anonymous, Head, Required, Responses};
use crate::observe::event::Event;
use crate::observe::observer::Observed;
use crate::ring::{KeyRing, Verifying};
use crate::store::BoxFuture;
use crate::verdict::{KeyPlace, Refusal};
use crate::verdict::{Scheme, VerifiedKey, VerifyError};

/// Everything that a request is judged by, prepared when the layer wraps a service.
pub(super) struct Gate {
    pub(super) ring: KeyRing,
    pub(super) sources: Sources,
    pub(super) required: Option<Required>,
    pub(super) optional: bool,
    pub(super) forward: bool,
    /// The carriers of keys, unless accepted responses are left alone.
    pub(super) vary: Option<HeaderValue>,
    pub(super) responses: Arc<Responses>,
    pub(super) observer: Observed,
    pub(super) facts: FactSources,
}

/// The state of a request's authentication.
pub(super) enum Step {
    Admitted(CacheHeaders),
    Refused(Refusal),
    Pending(
        BoxFuture<'static, Result<VerifiedKey, VerifyError>>,
        Scheme,
        CacheHeaders,
    ),
}

impl Gate {
    /// Finds the credential, verifies and hides it.
    #[inline]
    pub(super) fn authenticate<B>(&self, request: &mut Request<B>) -> Step {
        // If it was there before, it is not the proof of this layer.
        let extensions = request.extensions_mut();
        if !extensions.is_empty() {
            extensions.remove::<VerifiedKey>();
            extensions.remove::<Anonymous>();
        }

        let Sighting {
            credential,
            reported,
        } = self.sources.find(request, self.ring.format());
        for (place, key_id) in &reported {
            self.report(*place, *key_id);
        }
        let (header, scheme, verifying) = match credential {
            Ok(Some(presented)) => (
                presented.header,
                presented.scheme,
                self.ring.begin(presented.token, || self.facts.of(request)),
            ),
            Ok(None) if self.optional => {
                if let Some(refusal) = in_any_header(request.headers(), self.ring.format()) {
                    return Step::Refused(refusal);
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
            Verifying::Done(verdict) => match self.check(verdict, scheme) {
                Ok(key) => {
                    self.hide(request, header, !reported.is_empty());
                    request.extensions_mut().insert(key);
                    Step::Admitted(cache)
                }
                Err(refusal) => Step::Refused(refusal),
            },
            Verifying::Pending(verdict) => {
                self.hide(request, header, !reported.is_empty());
                Step::Pending(verdict, scheme, cache)
            }
        }
    }

    /// Hides the credential, and a reported key in `Referer`: in every other place, a reported key refuses
    /// the request.
    #[inline]
    fn hide<B>(&self, request: &mut Request<B>, header: &HeaderName, is_reported: bool) {
        hide(request, header, self.forward);
        if is_reported {
            hide(request, &REFERER, true);
        }
    }

    /// The one way to the inner service: a positive verdict on a key that meets the requirement.
    #[inline]
    pub(super) fn check(
        &self,
        verdict: Result<VerifiedKey, VerifyError>,
        scheme: Scheme,
    ) -> Result<VerifiedKey, Refusal> {
        let key = verdict?.presented_as(scheme);
        match &self.required {
            Some(required) if !required.is_met_by(&key) => Err(Refusal::InsufficientScope(key)),
            _ => Ok(key),
        }
    }

    #[cold]
    pub(super) fn refuse(&self, refusal: &Refusal, request: Head<'_>) -> Response<Bytes> {
        let realm = self.ring.realm();
        if let Refusal::Misplaced(place, key_id) = refusal {
            self.report(*place, *key_id);
        }
        self.observer.tell(|| refusal.event(realm));
        self.responses
            .refuse(refusal, self.required.as_ref(), request)
    }

    /// Reports a key in a wrong place to the observer.
    #[cold]
    fn report(&self, place: KeyPlace, key_id: KeyId) {
        let realm = self.ring.realm();
        self.observer
            .tell(|| Event::misplaced(place.event(), realm, place, key_id));
    }
}
