//! The fields of a request's span.

use tracing::{Span, record_all};

use super::event::{Event, EventKind};
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::support::caught::caught;
use crate::verdict::VerifiedKey;

/// What a layer records in the span of a request: see
/// [`ApiKeyLayer::span_fields`](crate::ApiKeyLayer::span_fields). Needs the feature `tracing`.
///
/// | field | content | when |
/// |---|---|---|
/// | `api_key.id` | the public id of the key, proven by a digest | before the inner service is called |
/// | `api_key.realm` | the realm of the key, or of the layer if there is no record of a key | the same |
/// | `enduser.id` | the subject of the key, if [`enduser_id`](Self::enduser_id) is called | the same |
/// | `api_key.outcome` | `authenticated`, `anonymous`, or [`RejectionKind::as_str`](crate::RejectionKind::as_str) | once the outcome is known |
///
/// The outcome is that of the [event](crate::EventKind::Authenticated): a refusal of a guard or an extractor further in
/// counts, and a request whose client hangs up was authenticated.
///
/// `enduser.id` is the attribute of OpenTelemetry's semantic conventions for the user of a service: "Unique identifier
/// of an end user in the system" (registry, namespace `enduser`, stability "development"). `user.id` is there too, for
/// the user that an event is about. The conventions have no attribute for an API key, so `api_key.` is a namespace of
/// this crate's.
#[derive(Debug, Clone, Copy, Default)]
#[must_use = "fields do nothing until a layer has them"]
pub struct SpanFields {
    subject: bool,
}

impl SpanFields {
    /// The id and the realm of the key, and the outcome.
    pub const fn new() -> Self {
        Self { subject: false }
    }

    /// The subject of the key too, as `enduser.id`. The conventions mark it as sensitive: it is personal data if
    /// subjects are people.
    pub const fn enduser_id(mut self) -> Self {
        self.subject = true;
        self
    }

    /// Records whose key it is, or the realm of an anonymous request, and returns the span for the outcome. `None` if
    /// no span is recorded.
    pub(crate) fn admitted(self, key: Option<&VerifiedKey>, realm: &Realm) -> Option<Span> {
        caught(|| {
            let span = Span::current();
            if span.is_disabled() {
                return None;
            }
            match key {
                Some(key) => {
                    let realm = key.realm().as_str();
                    key.id().read(|id| {
                        if self.subject {
                            let subject = key.subject().as_str();
                            record_all!(
                                span,
                                api_key.id = id,
                                api_key.realm = realm,
                                enduser.id = subject
                            );
                        } else {
                            record_all!(span, api_key.id = id, api_key.realm = realm);
                        }
                    });
                }
                None => {
                    span.record("api_key.realm", realm.as_str());
                }
            }
            Some(span)
        })?
    }

    /// Records a refusal by the layer itself.
    pub(crate) fn refused(self, event: &Event<'_>) {
        let EventKind::Rejected { kind, .. } = event.kind() else {
            return;
        };
        caught(|| {
            let (span, id) = (Span::current(), event.key_id());
            record_all!(
                span,
                api_key.id = id.as_ref().map(KeyId::as_str),
                api_key.realm = event.realm().map(Realm::as_str),
                api_key.outcome = kind.as_str(),
                enduser.id = event.subject().filter(|_| self.subject)
            );
        });
    }

    /// Records the outcome of a request that was admitted.
    pub(crate) fn concluded(span: &Span, outcome: &'static str) {
        caught(|| {
            span.record("api_key.outcome", outcome);
        });
    }
}
