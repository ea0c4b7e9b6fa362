//! Events, for logs, counts and audit trails.

use std::error::Error as StdError;
use std::time::Duration;

use crate::access::actor::Actor;
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::lifecycle::Ended;
use crate::record::{KeyRecord, RevocationReason};
use crate::time::Timestamp;
use crate::verdict::InvalidCause;
use crate::verdict::{Identity, KeyPlace, RejectionKind};

/// Something that happened to a key or a request. It never holds key material.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    kind: EventKind,
    realm: Option<&'a Realm>,
    identity: Identity,
    place: Option<KeyPlace>,
    subject: Option<&'a str>,
    actor: Option<&'a Actor>,
    failure: Option<&'a (dyn StdError + Send + Sync + 'static)>,
}

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A request was authenticated, met its layer's requirement, and no guard or extractor further in
    /// refused it. A layer reports this once the inner service has answered, or if it never will because
    /// it failed or the client hung up.
    Authenticated,
    /// A request was refused, by the layer or by a guard or an extractor further in. A layer reports
    /// each request exactly once as this or as [`Authenticated`](Self::Authenticated), even if it
    /// reported [`KeyInUrl`](Self::KeyInUrl), [`KeyMisplaced`](Self::KeyMisplaced) or
    /// [`Reuse`](Self::Reuse) too. It reports nothing of an anonymous request that passes.
    Rejected {
        /// The kind of refusal that the client received.
        kind: RejectionKind,
        /// Why its key is invalid. The client did not receive this.
        cause: Option<InvalidCause>,
    },
    /// A text with the prefix and a right checksum stood in a URL, at the event's
    /// [place](Event::place): if it is a key of the ring, it has leaked. Anyone can make such a text
    /// with any id, so the id is only [claimed](Event::claimed_key_id). A layer reports at most
    /// eight of a request, next to the one that the request is refused for.
    KeyInUrl,
    /// The same in another place than a URL: in `Authorization` under a scheme that the layer does
    /// not accept, or in a header that it does not read.
    KeyMisplaced,
    /// A key that another has replaced was presented after its end: it has leaked, or a client
    /// was forgotten.
    Reuse,
    /// A key was minted.
    Issued,
    /// A key that was minted elsewhere was imported.
    Imported,
    /// A key that [was asked for](crate::UnknownKeys) was imported when it was first presented.
    Moved,
    /// A key that was asked for could not be imported, or there was no answer. The
    /// [failure](Event::failure) says why.
    MoveFailed,
    /// A key was rotated. The event is about the new one.
    Rotated {
        /// The key in whose place it came.
        replaced: KeyId,
    },
    /// A key was regranted or promoted. The event is about the new one.
    Regranted {
        /// The key in whose place it came.
        replaced: KeyId,
    },
    /// A key lost scopes, or got further caveats.
    Narrowed,
    /// The label or the metadata of a key changed.
    Described,
    /// A key was revoked, by itself or because another took its place.
    Revoked {
        /// Why.
        reason: RevocationReason,
    },
    /// A key expires soon, and nothing has replaced it: a step of the ring's
    /// [`expiry_notices`](crate::KeyRingBuilder::expiry_notices) was reached, for which the upkeep of no other ring has
    /// sent a notice. It comes at most once: a process that dies between the claim and the event loses it. The history of
    /// the store has each notice exactly once ([`ExpiryNoticed`](crate::store::HistoryKind::ExpiryNoticed)).
    ExpiresSoon {
        /// When the key expires.
        expires_at: Timestamp,
        /// The step: the expiry is no further away than this.
        step: Duration,
    },
    /// A part of [`KeyRing::upkeep`](crate::KeyRing::upkeep), or of the upkeep of a replica, failed, and will be
    /// tried again. The [failure](Event::failure) says why.
    UpkeepFailed,
    /// A store read its file again, and holds its present content.
    StoreReloaded,
    /// A store could not load its file again, and keeps its previous content. The
    /// [failure](Event::failure) says why.
    StoreReloadFailed,
    /// A replica has proven that its records are fresh. Requests are answered from memory.
    ReplicaFresh,
    /// A replica can no longer prove that its records are fresh: every request asks the database, and is refused
    /// (503) if that fails. The [failure](Event::failure) says why.
    ReplicaStale,
    /// The database of a replica is another one, was restored, or has failed over. The replica compares its records
    /// with it, and loads what differs.
    ReplicaReset,
    /// The database would give a key more authority than a replica has seen it have, or revive one that was dead
    /// there. The replica does not. If the event names no key, the records of a replica differed from the
    /// database by their checksums, and were loaded anew. A database that was restored or has failed over may have
    /// lost revocations: revoke these keys again. A key that was restored on purpose works after the services
    /// are restarted.
    ReplicaDiverged,
}

impl EventKind {
    /// The kind of the event as a `snake_case` word, for logs and metrics. The words are stable: a
    /// change of one is a breaking change.
    ///
    /// ```
    /// use tower_api_key::EventKind;
    ///
    /// assert_eq!(EventKind::KeyInUrl.as_str(), "key_in_url");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Rejected { .. } => "rejected",
            Self::KeyInUrl => "key_in_url",
            Self::KeyMisplaced => "key_misplaced",
            Self::Reuse => "reuse",
            Self::Issued => "issued",
            Self::Imported => "imported",
            Self::Moved => "moved",
            Self::MoveFailed => "move_failed",
            Self::Rotated { .. } => "rotated",
            Self::Regranted { .. } => "regranted",
            Self::Narrowed => "narrowed",
            Self::Described => "described",
            Self::Revoked { .. } => "revoked",
            Self::ExpiresSoon { .. } => "expires_soon",
            Self::UpkeepFailed => "upkeep_failed",
            Self::StoreReloaded => "store_reloaded",
            Self::StoreReloadFailed => "store_reload_failed",
            Self::ReplicaFresh => "replica_fresh",
            Self::ReplicaStale => "replica_stale",
            Self::ReplicaReset => "replica_reset",
            Self::ReplicaDiverged => "replica_diverged",
        }
    }
}

impl<'a> Event<'a> {
    /// A store has read its source again: [`StoreReloaded`](EventKind::StoreReloaded), or
    /// [`StoreReloadFailed`](EventKind::StoreReloadFailed) if there is a failure. For stores that take an
    /// [`Observer`](crate::Observer) of their own.
    ///
    /// ```
    /// use tower_api_key::{Event, EventKind, store::{StoreError, StoreErrorKind}};
    ///
    /// assert_eq!(Event::reloaded(None).kind(), EventKind::StoreReloaded);
    /// let error = StoreError::from(StoreErrorKind::Corrupt);
    /// assert_eq!(Event::reloaded(Some(&error)).kind(), EventKind::StoreReloadFailed);
    /// ```
    pub fn reloaded(failure: Option<&'a (dyn StdError + Send + Sync + 'static)>) -> Self {
        let kind = match failure {
            None => EventKind::StoreReloaded,
            Some(_) => EventKind::StoreReloadFailed,
        };
        Self {
            failure,
            ..Self::without_record(kind, None, None)
        }
    }

    /// The kind of an event.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// The realm; `None` if a [`RequireScopeLayer`](crate::RequireScopeLayer) refuses a request that was
    /// not authenticated, if a store read its file again, and of the events of a replica that are about no key.
    pub fn realm(&self) -> Option<&'a Realm> {
        self.realm
    }

    /// The public id of the key. A digest has proven it: the event is about the holder's own key, or
    /// about a change of its record.
    pub fn key_id(&self) -> Option<KeyId> {
        self.identity.proven()
    }

    /// The public id that a text of the request names, if nothing has proven it: of an unknown key,
    /// of one that the store gave no verdict on, and of one in a place that no key belongs in.
    ///
    /// Ids are public, so anyone can make a text that names the id of another's key. Never revoke a key
    /// because of a claimed id alone: that would let strangers choose the key that is revoked. Look for
    /// the text in the logs of the proxies in front of the service, and ask the holder.
    pub fn claimed_key_id(&self) -> Option<KeyId> {
        self.identity.claimed()
    }

    /// Where a key stood that does not belong there: of [`EventKind::KeyInUrl`],
    /// [`EventKind::KeyMisplaced`], and the refusal for it.
    pub fn place(&self) -> Option<KeyPlace> {
        self.place
    }

    /// The subject of the key, if there is a record of it.
    pub fn subject(&self) -> Option<&'a str> {
        self.subject
    }

    /// Who made the change, if the ring [acts](crate::KeyRing::acting_as) as someone. `None` of a request.
    pub fn actor(&self) -> Option<&'a Actor> {
        self.actor
    }

    /// The error, if the event is about a failure: of an upkeep, of a keys file, of the database of a
    /// replica, or of the store that gave no verdict on a request. It is fit for logs, together with its [sources](StdError::source):
    /// they name the file, the line, or the server's answer.
    pub fn failure(&self) -> Option<&'a (dyn StdError + Send + Sync + 'static)> {
        self.failure
    }

    /// Something that happened to this very record.
    pub(crate) fn about(kind: EventKind, record: &'a KeyRecord) -> Self {
        Self {
            kind,
            realm: Some(record.realm()),
            identity: Identity::Proven(record.id()),
            place: None,
            subject: Some(record.subject().as_str()),
            actor: None,
            failure: None,
        }
    }

    /// A revocation ended this record, as far as it could be read.
    pub(crate) fn revoked(realm: &'a Realm, ended: &'a Ended, reason: RevocationReason) -> Self {
        Self {
            identity: ended.id.map_or(Identity::Unknown, Identity::Proven),
            subject: ended.subject.as_deref(),
            ..Self::without_record(EventKind::Revoked { reason }, Some(realm), None)
        }
    }

    /// The expiry of a key is near. The subject may be unreadable.
    pub(crate) fn expires_soon(
        realm: &'a Realm,
        (id, subject): (KeyId, Option<&'a str>),
        (expires_at, step): (Timestamp, Duration),
    ) -> Self {
        let kind = EventKind::ExpiresSoon { expires_at, step };
        Self {
            identity: Identity::Proven(id),
            subject,
            ..Self::without_record(kind, Some(realm), None)
        }
    }

    /// An event that is not known to concern a record.
    pub(crate) fn without_record(
        kind: EventKind,
        realm: Option<&'a Realm>,
        claimed: Option<KeyId>,
    ) -> Self {
        Self {
            kind,
            realm,
            identity: claimed.map_or(Identity::Unknown, Identity::Claimed),
            place: None,
            subject: None,
            actor: None,
            failure: None,
        }
    }

    /// Adds who made the change.
    pub(crate) fn by(self, actor: Option<&'a Actor>) -> Self {
        Self { actor, ..self }
    }

    /// Adds the error, if there is one.
    pub(crate) fn because_of(
        self,
        failure: Option<&'a (dyn StdError + Send + Sync + 'static)>,
    ) -> Self {
        Self { failure, ..self }
    }

    /// A key in a place that no key belongs in, as its own text names it.
    pub(crate) fn misplaced(
        kind: EventKind,
        realm: &'a Realm,
        place: KeyPlace,
        claimed: KeyId,
    ) -> Self {
        Self {
            place: Some(place),
            ..Self::without_record(kind, Some(realm), Some(claimed))
        }
    }

    pub(crate) fn upkeep_failed(
        realm: &'a Realm,
        failure: &'a (dyn StdError + Send + Sync + 'static),
    ) -> Self {
        Self {
            failure: Some(failure),
            ..Self::without_record(EventKind::UpkeepFailed, Some(realm), None)
        }
    }
}

/// An event about a change of a record, kept for later.
pub(crate) struct HeldEvent {
    kind: EventKind,
    realm: Option<Realm>,
    identity: Identity,
    subject: Option<Box<str>>,
    actor: Option<Actor>,
}

impl HeldEvent {
    /// A change has no place and no failure.
    pub(crate) fn of(event: &Event<'_>) -> Self {
        Self {
            kind: event.kind,
            realm: event.realm.cloned(),
            identity: event.identity,
            subject: event.subject.map(Box::from),
            actor: event.actor.cloned(),
        }
    }

    pub(crate) fn event(&self) -> Event<'_> {
        Event {
            kind: self.kind,
            realm: self.realm.as_ref(),
            identity: self.identity,
            place: None,
            subject: self.subject.as_deref(),
            actor: self.actor.as_ref(),
            failure: None,
        }
    }
}
