//! What a layer says of requests: to observers, in spans and in responses.

#[cfg(feature = "tracing")]
use std::sync::Arc;
use std::time::Duration;

use super::layer::ApiKeyLayer;
use super::lifetime::LifetimeHeaders;
use crate::observe::observed::Observed;
use crate::observe::observer::Observer;
#[cfg(feature = "tracing")]
use crate::observe::span_fields::{SpanFields, SpanRecorder};

impl ApiKeyLayer {
    /// Sets an observer of this layer alone. It receives an event for each authenticated and each
    /// refused request, in addition to the ring's observer. Default: none. Do not use the ring's
    /// observer, because it already receives the events of every layer. If a replaced key comes back,
    /// the ring's observer receives [`Reuse`](crate::EventKind::Reuse), and here it is the cause of a
    /// refusal.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Observed::by(observer);
        self
    }

    /// Puts a [`Caller`](crate::Caller) into the extensions of every response to a valid key, for layers further out
    /// such as an access log: also if the key lacks a scope, or the refusal is handed on. For an
    /// [`Authenticator`](crate::Authenticator) the [`ResponseGuardLayer`](crate::ResponseGuardLayer) does it. It costs a hash table in the extensions of the response, if they have none yet, and
    /// nothing if it is not called.
    pub fn caller_in_response(mut self) -> Self {
        self.attribution.in_response = true;
        self
    }

    /// Records who called, and the outcome, in the current span of `tracing`. [`SpanFields`] has the fields. A field is
    /// recorded if the span declares it, which is `field::Empty` until then:
    /// [`request_span`](crate::request_span) makes such a span for tower-http's `TraceLayer`, which stands outside. Call it
    /// on one layer of a stack, because a span has each field once.
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, KeyRing, SpanFields, store::MemoryStore};
    /// use tracing::field::Empty;
    ///
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let layer = ApiKeyLayer::new(ring).span_fields(SpanFields::new().enduser_id());
    ///
    /// // A span of your own, which is entered further out:
    /// let span = tracing::info_span!(
    ///     "request",
    ///     api_key.id = Empty,
    ///     api_key.realm = Empty,
    ///     api_key.outcome = Empty,
    ///     enduser.id = Empty,
    ///     api_key.refusal = Empty,
    /// );
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    #[cfg(feature = "tracing")]
    pub fn span_fields(mut self, fields: SpanFields) -> Self {
        let recorder = SpanRecorder::new(fields);
        self.attribution.in_span = Some(Arc::new(recorder));
        self
    }

    /// Tells the holder of a key in the response that the key ends soon, so that the client's operator can act. Default: no
    /// response says so, which costs nothing.
    ///
    /// | key | field of the response |
    /// |---|---|
    /// | its expiry is no further away than `within`, such as a week | `Sunset: Fri, 15 Jan 2027 08:00:00 GMT`, the moment at which it ends (RFC 8594 §3) |
    /// | it was [rotated](crate::KeyRing::rotate), and is in its grace period | `Sunset` with the end of that, or of the key if it is earlier, and `Deprecation: @1800000000` (RFC 9745 §2.1) |
    ///
    /// Both RFCs speak of a resource. Say in the documentation of your API that the scope of these fields is the key, as RFC
    /// 9745 §2.2 and RFC 8594 §5 leave to it: requests *with this key* are refused from the sunset on, and the client is to take
    /// up a new key before. The date of `Deprecation` is that of the response, by which the key has been replaced, because a
    /// record does not say when that was. A `Link` to a page about it (RFC 8594 §6, RFC 9745 §3) is for the application to add.
    ///
    /// Only the response to an admitted request has the fields. A refusal and the response to an anonymous client are the
    /// same as without, and so is the response of a guard or an extractor further in that refuses. If the inner service
    /// itself has set one of the two fields, it speaks of the resource, and both are left as they are. In gRPC they are in the
    /// headers, which are the initial metadata, and not in the trailers. The cache guard keeps such a response from other
    /// clients. Without it, in a layer that is [without that guard](Self::danger_without_cache_guard), there are no such fields.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_api_key::{ApiKeyLayer, KeyRing, store::MemoryStore};
    ///
    /// const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    ///
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let layer = ApiKeyLayer::new(ring).lifetime_headers(WEEK);
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn lifetime_headers(mut self, within: Duration) -> Self {
        self.lifetime = Some(LifetimeHeaders { within });
        self
    }
}
