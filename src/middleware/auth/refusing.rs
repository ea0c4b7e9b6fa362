//! The end of a request that is refused: answered, or handed on with its refusal.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::REFERER;

use super::gate::{Gate, OnRefusal};
use crate::middleware::credential::hide;
use crate::middleware::guard::routes::RouteTable;
use crate::middleware::head::RequestHead;
use crate::middleware::rejection::{Deferred, Refused, Rejection, Required};
use crate::ring::KeyRing;
use crate::verdict::{InvalidCause, Refusal, VerifyErrorKind};

impl Gate {
    /// A refusal whose response is prepared. `None` for the others, which [`respond`](Self::respond) answers.
    #[inline]
    pub(super) fn refused(&self, refusal: &Refusal, request: &impl RequestHead) -> Option<Refused> {
        if self.attribution.in_response && refusal.valid_key().is_some() {
            return None;
        }
        self.responses.refused(refusal, request.into())
    }

    /// The response to a refusal, which names the caller if its key is valid.
    #[cold]
    pub(super) fn respond(&self, refusal: &Refusal, request: &impl RequestHead) -> Response<Bytes> {
        let unmet = self.unmet(refusal, request);
        let mut response = self.responses.refuse(refusal, unmet, request.into());
        if let Some(key) = refusal.valid_key() {
            self.attribution
                .name_caller(&mut response, || Some(key.clone()));
        }
        response
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
        let key = refusal.valid_key().cloned();
        let deferred = Deferred::new(rejection, key, Arc::clone(&self.responses));
        request.extensions_mut().insert(deferred.clone());
        deferred
    }

    /// Reports a refusal.
    pub(super) fn tell(&self, refusal: &Refusal) {
        let realm = self.ring.realm();
        if let Refusal::Misplaced(place, key_id) = refusal {
            self.report(*place, *key_id);
        }
        self.observer.tell(|| refusal.event(realm));
        #[cfg(feature = "tracing")]
        if let Some(recorder) = &self.attribution.in_span {
            recorder.refused(&refusal.event(realm));
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
}
