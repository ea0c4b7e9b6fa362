//! The fields of a request's span.

use std::sync::OnceLock;

use tracing::dispatcher::{Dispatch, get_default};
use tracing::field::{Field, Value, ValueSet};
use tracing::span::{Id, Record};
use tracing::{Metadata, Span, record_all};

use super::event::{Event, EventKind};
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::support::caught::caught;
use crate::verdict::{RejectionKind, VerifiedKey};

/// What a layer records in the span of a request: see
/// [`ApiKeyLayer::span_fields`](crate::ApiKeyLayer::span_fields). Needs the feature `tracing`.
///
/// | field | content | when |
/// |---|---|---|
/// | `api_key.id` | the public id of the key, proven by a digest | before the inner service is called |
/// | `api_key.realm` | the realm of the key, or of the layer if there is no record of a key | the same |
/// | `enduser.id` | the subject of the key, if [`enduser_id`](Self::enduser_id) is called | the same |
/// | `api_key.outcome` | what the layer has decided: `authenticated`, `anonymous`, or the [kind](crate::RejectionKind::as_str) of its refusal | the same |
/// | `api_key.refusal` | the kind of the refusal, of this layer or of a guard, an extractor or a handler further in. Nothing if the request was not refused for its key | with the refusal |
///
/// So `api_key.refusal` finds every request that was refused, and a valid key that a guard refuses is `authenticated`.
/// If the layer [hands on](crate::ApiKeyLayer::allow_missing_or_failed) a missing key, the outcome comes with the
/// response, because it depends on what the handler does. A wrong key that is handed on is recorded as refused, as in the
/// event, whatever the handler does.
///
/// Each field is recorded once. A refusal further in is recorded if the span of the request is the current one when the
/// response is ready, as it is in a `TraceLayer` and an instrumented future. To keep the span until then would cost more
/// than all the fields.
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
}

/// What records them for a layer.
#[derive(Debug)]
pub(crate) struct SpanRecorder {
    fields: SpanFields,
    known: KnownFields,
}

impl SpanRecorder {
    pub(crate) fn new(fields: SpanFields) -> Self {
        Self {
            fields,
            known: KnownFields::default(),
        }
    }

    /// Records that a request was admitted, and returns the span in which it was. `None` if no span is recorded. It is not
    /// inlined, so that a layer without fields does not grow by it.
    #[inline(never)]
    pub(crate) fn admitted(&self, key: Option<&VerifiedKey>, realm: &Realm) -> Option<Id> {
        in_current(|span| {
            if let Some(key) = key {
                self.authenticated(key, span);
            } else {
                let realm = realm.as_str();
                record_all!(span, api_key.realm = realm, api_key.outcome = ANONYMOUS);
            }
            span.id.clone()
        })
    }

    fn authenticated(&self, key: &VerifiedKey, span: &CurrentSpan<'_>) {
        let (realm, outcome) = (key.realm().as_str(), EventKind::Authenticated.as_str());
        let subject = self.fields.subject.then(|| key.subject().as_str());
        let id = key.id_text();
        if let Some(known) = self.known.of(span.metadata) {
            let id: Valued<'_> = (&known.id, Some(&id));
            let realm: Valued<'_> = (&known.realm, Some(&realm));
            let outcome: Valued<'_> = (&known.outcome, Some(&outcome));
            // What the macros of `tracing` call, after they have looked for each name.
            let fields = span.metadata.fields();
            if let (Some(subject), Some(field)) = (&subject, &known.subject) {
                let subject: Valued<'_> = (field, Some(subject));
                span.record_all(&fields.value_set(&[id, realm, outcome, subject]));
            } else {
                span.record_all(&fields.value_set(&[id, realm, outcome]));
            }
        } else {
            record_all!(
                span,
                api_key.id = id,
                api_key.realm = realm,
                api_key.outcome = outcome,
                enduser.id = subject
            );
        }
    }

    /// Records a refusal by the layer itself.
    pub(crate) fn refused(&self, event: &Event<'_>) {
        let EventKind::Rejected { kind, .. } = event.kind() else {
            return;
        };
        in_current(|span| {
            let id = event.key_id();
            record_all!(
                span,
                api_key.id = id.as_ref().map(KeyId::as_str),
                api_key.realm = event.realm().map(Realm::as_str),
                api_key.outcome = kind.as_str(),
                enduser.id = event.subject().filter(|_| self.fields.subject),
                api_key.refusal = kind.as_str()
            );
        });
    }

    /// Records a refusal by the code further in of a request that was admitted in this span.
    #[cold]
    pub(crate) fn refused_within(admitted_in: &Id, kind: RejectionKind) {
        in_current(|span| {
            if span.id == admitted_in {
                record_all!(span, api_key.refusal = kind.as_str());
            }
        });
    }

    /// Records the realm of a request whose outcome is not known yet, and returns its span. `None` if no span is recorded.
    pub(crate) fn undecided(realm: &Realm) -> Option<Span> {
        caught(|| {
            let span = Span::current();
            span.record("api_key.realm", realm.as_str());
            (!span.is_disabled()).then_some(span)
        })?
    }

    /// Records the outcome of such a request. `None`: it was not refused.
    pub(crate) fn decided(span: &Span, refusal: Option<RejectionKind>) {
        let refusal = refusal.map(RejectionKind::as_str);
        caught(|| {
            record_all!(
                span,
                api_key.outcome = refusal.unwrap_or(ANONYMOUS),
                api_key.refusal = refusal
            );
        });
    }
}

/// The fields of a span, by the first span that has those of a key: to find them by their names took a sixth of all that a
/// request spends on its span. A service has one place in its code that makes the spans of its requests. Those of another
/// place are found by name.
#[derive(Debug, Default)]
struct KnownFields(OnceLock<Known>);

#[derive(Debug)]
struct Known {
    metadata: &'static Metadata<'static>,
    id: Field,
    realm: Field,
    outcome: Field,
    subject: Option<Field>,
}

type Valued<'a> = (&'a Field, Option<&'a dyn Value>);

impl KnownFields {
    fn of(&self, metadata: &'static Metadata<'static>) -> Option<&Known> {
        let known = match self.0.get() {
            Some(known) => known,
            None => self.learn(metadata)?,
        };
        std::ptr::eq(known.metadata, metadata).then_some(known)
    }

    #[cold]
    fn learn(&self, metadata: &'static Metadata<'static>) -> Option<&Known> {
        let field = |name| metadata.fields().field(name);
        let known = Known {
            metadata,
            id: field("api_key.id")?,
            realm: field("api_key.realm")?,
            outcome: field("api_key.outcome")?,
            subject: field("enduser.id"),
        };
        Some(self.0.get_or_init(|| known))
    }
}

const ANONYMOUS: &str = "anonymous";

/// The current span, which lives as long as it is current. A [`Span`] would count a reference to it.
struct CurrentSpan<'a> {
    dispatch: &'a Dispatch,
    id: &'a Id,
    metadata: &'static Metadata<'static>,
}

/// The methods that `record_all!` calls.
impl CurrentSpan<'_> {
    #[expect(clippy::unnecessary_wraps, reason = "as that of a `Span`")]
    fn metadata(&self) -> Option<&'static Metadata<'static>> {
        Some(self.metadata)
    }

    fn record_all(&self, values: &ValueSet<'_>) {
        self.dispatch.record(self.id, &Record::new(values));
    }
}

/// `None` if there is no span, or its subscriber panics.
fn in_current<T>(record: impl Fn(&CurrentSpan<'_>) -> T) -> Option<T> {
    caught(|| {
        get_default(|dispatch| {
            let current = dispatch.current_span();
            let (id, metadata) = (current.id()?, current.metadata()?);
            Some(record(&CurrentSpan {
                dispatch,
                id,
                metadata,
            }))
        })
    })?
}
