//! The events that an observer receives, their order, and that no outcome depends on the observer.

#[cfg(feature = "metrics")]
pub(crate) mod metered;
mod operations;
mod outcomes;
mod panics;
mod requests;
#[cfg(feature = "tracing")]
mod spans;
#[cfg(feature = "tracing")]
mod trace;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_api_key::store::{BoxFuture, Change, KeyStore, Lookup, StoreError};
use tower_api_key::{
    Event, EventKind, InvalidCause, KeyDigest, KeyId, KeyPlace, KeyRecord, Observer, Realm,
    RejectionKind,
};

use crate::support::START;

/// One event, as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: EventKind,
    pub(crate) realm: Option<String>,
    pub(crate) key_id: Option<KeyId>,
    pub(crate) claimed: Option<KeyId>,
    pub(crate) place: Option<KeyPlace>,
    pub(crate) subject: Option<String>,
}

/// Keeps the events that it receives.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    told: Arc<Mutex<Vec<Told>>>,
    texts: Arc<Mutex<String>>,
}

impl Recorder {
    /// The events since the last call.
    pub(crate) fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    /// `Debug` of every event that it ever received.
    pub(crate) fn texts(&self) -> String {
        self.texts.lock().unwrap().clone()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event<'_>) {
        let text = format!("{event:?} {event:#?}\n");
        self.texts.lock().unwrap().push_str(&text);
        self.told.lock().unwrap().push(Told {
            kind: event.kind(),
            realm: event.realm().map(ToString::to_string),
            key_id: event.key_id(),
            claimed: event.claimed_key_id(),
            place: event.place(),
            subject: event.subject().map(str::to_owned),
        });
    }
}

/// An event about this record.
pub(crate) fn about(kind: EventKind, record: &KeyRecord) -> Told {
    Told {
        kind,
        realm: Some(record.realm().to_string()),
        key_id: Some(record.id()),
        claimed: None,
        place: None,
        subject: Some(record.subject().to_string()),
    }
}

/// An event of the realm `orders` about a key that is known at most by its claimed id.
pub(crate) fn nameless(kind: EventKind, claimed: Option<KeyId>) -> Told {
    Told {
        kind,
        realm: Some("orders".to_owned()),
        key_id: None,
        claimed,
        place: None,
        subject: None,
    }
}

pub(crate) fn rejected(kind: RejectionKind) -> EventKind {
    EventKind::Rejected { kind, cause: None }
}

pub(crate) fn invalid(cause: InvalidCause) -> EventKind {
    EventKind::Rejected {
        kind: RejectionKind::Invalid,
        cause: Some(cause),
    }
}

/// A store that answers as the inner store does, but never at once.
pub(crate) struct Later<S> {
    pub(crate) store: S,
}

impl<S: KeyStore> KeyStore for Later<S> {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        match self.store.find(realm, digest) {
            Lookup::Ready(found) => Lookup::Pending(Box::pin(async move {
                tokio::task::yield_now().await;
                found
            })),
            pending @ Lookup::Pending(_) => pending,
        }
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.store.commit(change).await
        })
    }

    crate::support::forward!(store: revoke, get, list, purge, record_uses, last_uses, claim_expiry_notices);
}

#[test]
fn every_kind_has_a_word_of_its_own() {
    let id: KeyId = "0123456789AB".parse().unwrap();
    let reason = tower_api_key::RevocationReason::Unspecified;
    let kinds = [
        (EventKind::Authenticated, "authenticated"),
        (rejected(RejectionKind::Missing), "rejected"),
        (EventKind::KeyInUrl, "key_in_url"),
        (EventKind::KeyMisplaced, "key_misplaced"),
        (EventKind::Reuse, "reuse"),
        (EventKind::Issued, "issued"),
        (EventKind::Imported, "imported"),
        (EventKind::Rotated { replaced: id }, "rotated"),
        (EventKind::Regranted { replaced: id }, "regranted"),
        (EventKind::Narrowed, "narrowed"),
        (EventKind::Described, "described"),
        (EventKind::Revoked { reason }, "revoked"),
        (
            EventKind::ExpiresSoon {
                expires_at: START,
                step: Duration::from_secs(1),
            },
            "expires_soon",
        ),
        (EventKind::UpkeepFailed, "upkeep_failed"),
        (EventKind::StoreReloaded, "store_reloaded"),
        (EventKind::StoreReloadFailed, "store_reload_failed"),
    ];
    for (kind, word) in kinds {
        assert_eq!(kind.as_str(), word);
    }
    let rejections = [
        (RejectionKind::Missing, "missing"),
        (RejectionKind::Ambiguous, "ambiguous"),
        (RejectionKind::KeyInUrl, "key_in_url"),
        (RejectionKind::KeyMisplaced, "key_misplaced"),
        (RejectionKind::Invalid, "invalid"),
        (RejectionKind::InsufficientScope, "insufficient_scope"),
        (RejectionKind::UnknownRoute, "unknown_route"),
        (RejectionKind::StoreUnavailable, "store_unavailable"),
        (RejectionKind::NotAuthenticated, "not_authenticated"),
    ];
    for (kind, word) in rejections {
        assert_eq!(kind.as_str(), word);
    }
    let places = [
        (KeyPlace::Uri, "uri"),
        (KeyPlace::Referer, "referer"),
        (KeyPlace::ForwardedUrl, "forwarded_url"),
        (KeyPlace::Authorization, "authorization"),
        (KeyPlace::OtherHeader, "other_header"),
    ];
    for (place, word) in places {
        assert_eq!(place.as_str(), word);
    }
    let causes = [
        (InvalidCause::Malformed, "malformed"),
        (InvalidCause::Unknown, "unknown"),
        (InvalidCause::OtherRealm, "other_realm"),
        (InvalidCause::NotYetValid, "not_yet_valid"),
        (InvalidCause::Expired, "expired"),
        (InvalidCause::Replaced, "replaced"),
        (InvalidCause::Revoked, "revoked"),
    ];
    for (cause, word) in causes {
        assert_eq!(cause.as_str(), word);
    }
}
