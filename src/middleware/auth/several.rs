//! Several rings behind one layer: their keys in wrong places, and the decision of the one that has the key.

use std::sync::Arc;

use http::header::REFERER;

use super::cache::CacheHeaders;
use super::gate::{Gate, Step};
use super::search::{self, Attempt, Waiting};
use crate::access::caveat::Facts;
use crate::key::KeyId;
use crate::middleware::credential::hide;
use crate::middleware::head::RequestHead;
use crate::verdict::{KeyPlace, Refusal, Scheme};

impl Gate {
    /// Finds the keys of the other rings that are in wrong places, and hides them in `Referer`. If the request
    /// is to be refused for one, its ring refuses it.
    #[cold]
    pub(super) fn find_keys_of_others(&self, request: &mut impl RequestHead) -> Option<Step> {
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

    /// Asks all rings about a key.
    #[cold]
    pub(super) fn ask_all(&self, presented: &[u8], facts: &dyn Fn() -> Facts) -> Attempt {
        let first = self.ring.begin(presented, facts);
        let others = self.others.iter().map(|other| &other.ring);
        search::ask(others, first, presented, facts)
    }

    /// The next step after an attempt at several rings.
    #[cold]
    pub(super) fn conclude(
        &self,
        attempt: Attempt,
        scheme: Scheme,
        request: &mut impl RequestHead,
    ) -> Step {
        let cache = CacheHeaders::private(self.vary);
        let (verdict, by) = match attempt {
            Attempt::Done(decision) => decision,
            Attempt::Pending(decision) => {
                return Step::Pending(Waiting::SeveralRings(decision), scheme, cache);
            }
        };
        let other = by.map(|place| &self.others[place]);
        let gate = other.map_or(self, |other| other);
        let checked = gate.check(verdict, scheme, request);
        let admitted = checked.map(|key| gate.admit(key, cache, request));
        match (other, admitted) {
            (Some(other), admitted) => Step::ByAnother(Arc::clone(other), admitted),
            (None, Ok(admission)) => Step::Admitted(admission),
            (None, Err(refusal)) => Step::Refused(refusal),
        }
    }
}
