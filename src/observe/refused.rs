//! Refusals and misplaced keys, as an observer hears of them.

use super::event::{Event, EventKind};
use crate::access::realm::Realm;
use crate::verdict::VerifyErrorKind;
use crate::verdict::{KeyPlace, Refusal, RejectionKind};

impl Refusal {
    /// The refusal as an event for an observer.
    #[cold]
    pub(crate) fn event<'a>(&'a self, realm: &'a Realm) -> Event<'a> {
        let rejected = |kind, cause| EventKind::Rejected { kind, cause };
        match self {
            Self::Missing => {
                Event::without_record(rejected(RejectionKind::Missing, None), Some(realm), None)
            }
            Self::Ambiguous(_) => {
                Event::without_record(rejected(RejectionKind::Ambiguous, None), Some(realm), None)
            }
            Self::Misplaced(place, key_id) => {
                let kind = rejected(place.rejection(), None);
                Event::misplaced(kind, realm, *place, *key_id)
            }
            Self::Unverified(error) => {
                let kind = match error.kind() {
                    VerifyErrorKind::Invalid(cause) => {
                        rejected(RejectionKind::Invalid, Some(cause))
                    }
                    VerifyErrorKind::StoreUnavailable => {
                        rejected(RejectionKind::StoreUnavailable, None)
                    }
                };
                match error.record() {
                    Some(record) => Event::about(kind, record),
                    None => Event::without_record(kind, Some(realm), error.claimed_key_id()),
                }
                .because_of(error.failure().map(|failure| &**failure as _))
            }
            Self::InsufficientScope(key) => Event::about(
                rejected(RejectionKind::InsufficientScope, None),
                key.record(),
            ),
            Self::UnknownRoute(key) => {
                Event::about(rejected(RejectionKind::UnknownRoute, None), key.record())
            }
        }
    }
}

impl KeyPlace {
    pub(crate) const fn event(self) -> EventKind {
        match self {
            Self::Uri | Self::Referer | Self::ForwardedUrl => EventKind::KeyInUrl,
            Self::Authorization | Self::OtherHeader => EventKind::KeyMisplaced,
        }
    }
}
