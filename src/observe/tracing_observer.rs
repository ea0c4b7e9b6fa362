//! Events for `tracing`.

use tracing::Level;

use crate::access::actor::Actor;
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::observe::event::{Event, EventKind};
use crate::observe::observer::Observer;
use crate::support::span::Span;
use crate::verdict::InvalidCause;
use crate::verdict::{KeyPlace, RejectionKind};

/// Writes each [`Event`] as one structured event of `tracing`, with the target `tower_api_key`.
/// Needs the feature `tracing`.
///
/// Variable parts are in fields, each a value of its own and none part of a text, so that no subject and
/// no id can forge a line. There is no message. A field is left out if it has no value:
///
/// | field | content |
/// |---|---|
/// | `kind` | [`EventKind::as_str`] |
/// | `realm` | the realm of the key or of the layer |
/// | `key_id` | the public id, proven by a digest |
/// | `claimed_key_id` | an id that [nothing has proven](Event::claimed_key_id): never revoke by it alone |
/// | `place` | [`KeyPlace::as_str`], the place of a key that does not belong there |
/// | `subject` | whose key it is |
/// | `actor` | who made the change, if the ring [acts](crate::KeyRing::acting_as) as someone |
/// | `rejection` | [`RejectionKind::as_str`] of a refused request |
/// | `cause` | [`InvalidCause::as_str`](crate::InvalidCause::as_str) of an invalid key |
/// | `reason` | [`RevocationReason::as_str`](crate::RevocationReason::as_str) of a revocation |
/// | `replaced` | the id of the key that was rotated, regranted or promoted |
/// | `expires_at` | when a key expires soon, in the form of RFC 3339 |
/// | `step` | the [step](crate::KeyRingBuilder::expiry_notices) that was reached, such as `7d` |
/// | `failure` | the failure, with all its causes: for a 503 the store's error, for a store's file the line and the field |
///
/// | level | events |
/// |---|---|
/// | ERROR | rejected as `store_unavailable` or `not_authenticated`, `move_failed`, `upkeep_failed`, `store_reload_failed`, `replica_stale`, `replica_diverged`: the service or its database is at fault |
/// | WARN | `key_in_url`, `key_misplaced`, `reuse`: a key has leaked, or may have; `expires_soon`; `replica_reset` |
/// | INFO | all other rejections, and the changes of a key: issued, imported, moved, rotated, regranted, narrowed, revoked; `store_reloaded`, `replica_fresh` |
/// | DEBUG | `authenticated`, because there is one for each request |
///
/// ```
/// use tower_api_key::{ApiKeyLayer, KeyRing, RequireScopeLayer, TracingObserver};
/// use tower_api_key::store::MemoryStore;
///
/// // The observer of a ring hears of every request, also of those that a guard refuses.
/// let ring = KeyRing::builder("acme")
///     .observer(TracingObserver::new())
///     .build(MemoryStore::new())?;
/// let layer = ApiKeyLayer::new(ring);
/// let guard = RequireScopeLayer::new("orders:write");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
///
/// Next to another observer:
///
/// ```
/// use tower_api_key::{Observer, TracingObserver, observer_fn};
///
/// # fn count(_: &str) {}
/// let both = (TracingObserver::new(), observer_fn(|event| count(event.kind().as_str())));
/// # fn check(_: impl Observer) {}
/// # check(both);
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TracingObserver;

impl TracingObserver {
    /// An observer that writes to the subscriber of the thread that it is called on.
    pub const fn new() -> Self {
        Self
    }
}

impl Observer for TracingObserver {
    fn observe(&self, event: &Event<'_>) {
        let kind = event.kind();
        let (rejection, cause) = match kind {
            EventKind::Rejected { kind, cause } => (Some(kind), cause),
            _ => (None, None),
        };
        let reason = match kind {
            EventKind::Revoked { reason } => Some(reason.as_str()),
            _ => None,
        };
        let replaced = match &kind {
            EventKind::Rotated { replaced } | EventKind::Regranted { replaced } => Some(replaced),
            _ => None,
        };
        let (expires_at, step) = match kind {
            EventKind::ExpiresSoon { expires_at, step } => {
                (Some(expires_at.to_string()), Some(Span(step).to_string()))
            }
            _ => (None, None),
        };
        let failure = event.failure().map(|failure| {
            let mut text = failure.to_string();
            let mut source = failure.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        });
        let (key_id, claimed) = (event.key_id(), event.claimed_key_id());
        // The level of an event is part of its call site, so there is one for each.
        macro_rules! write_at {
            ($level:expr) => {
                tracing::event!(
                    target: "tower_api_key",
                    $level,
                    kind = kind.as_str(),
                    realm = event.realm().map(Realm::as_str),
                    key_id = key_id.as_ref().map(KeyId::as_str),
                    claimed_key_id = claimed.as_ref().map(KeyId::as_str),
                    place = event.place().map(KeyPlace::as_str),
                    subject = event.subject(),
                    actor = event.actor().map(Actor::as_str),
                    rejection = rejection.map(RejectionKind::as_str),
                    cause = cause.map(InvalidCause::as_str),
                    reason = reason,
                    replaced = replaced.map(KeyId::as_str),
                    expires_at = expires_at.as_deref(),
                    step = step.as_deref(),
                    failure = failure.as_deref(),
                )
            };
        }
        match level(kind) {
            Level::ERROR => write_at!(Level::ERROR),
            Level::WARN => write_at!(Level::WARN),
            Level::INFO => write_at!(Level::INFO),
            _ => write_at!(Level::DEBUG),
        }
    }
}

fn level(kind: EventKind) -> Level {
    match kind {
        EventKind::Authenticated => Level::DEBUG,
        EventKind::Rejected {
            kind: RejectionKind::StoreUnavailable | RejectionKind::NotAuthenticated,
            ..
        }
        | EventKind::MoveFailed
        | EventKind::UpkeepFailed
        | EventKind::StoreReloadFailed
        | EventKind::ReplicaStale
        | EventKind::ReplicaDiverged => Level::ERROR,
        EventKind::KeyInUrl
        | EventKind::KeyMisplaced
        | EventKind::Reuse
        | EventKind::ExpiresSoon { .. }
        | EventKind::ReplicaReset => Level::WARN,
        EventKind::Rejected { .. }
        | EventKind::Issued
        | EventKind::Imported
        | EventKind::Moved
        | EventKind::Rotated { .. }
        | EventKind::Regranted { .. }
        | EventKind::Narrowed
        | EventKind::Described
        | EventKind::Revoked { .. }
        | EventKind::StoreReloaded
        | EventKind::ReplicaFresh => Level::INFO,
    }
}
