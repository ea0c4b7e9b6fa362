//! The records of keys in a store.

mod gain;
mod held;
mod parts;
mod revocation;
#[cfg(feature = "sql")]
pub(crate) mod row;
mod state;
#[cfg(feature = "sql")]
pub(crate) mod unfit;
mod view;
mod within;

use std::fmt;
use std::sync::Arc;

pub use gain::Gain;
pub(crate) use held::Held;
pub use parts::KeyRecordParts;
pub use revocation::{Revocation, RevocationReason};
pub use state::KeyState;
pub use view::KeyView;

use crate::access::caveat::Caveats;
use crate::access::label::Label;
use crate::access::metadata::Metadata;
use crate::access::realm::Realm;
use crate::access::scope_set::ScopeSet;
use crate::access::subject::Subject;
use crate::key::digest::KeyDigest;
use crate::key::{KeyId, KeyPrefix};
use crate::time::Timestamp;

/// The record of a key in a store, never the plaintext. It does not serialise: a [`KeyView`] does, for
/// people, and its [parts](Self::to_parts) do, for a store.
///
/// The fields that a request's verdict reads come first, in one or two cache lines.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)]
pub struct KeyRecord {
    digest: KeyDigest,
    not_before: Timestamp,
    /// The earlier of `expires_at` and `retire_at`, and the epoch once revoked.
    valid_until: Timestamp,
    caveats: Caveats,
    scopes: ScopeSet,
    realm: Realm,
    id: KeyId,
    lineage: KeyId,
    prefix: Option<KeyPrefix>,
    subject: Subject,
    generation: u32,
    pepper_version: Option<u32>,
    version: u64,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    retire_at: Option<Timestamp>,
    revocation: Option<Revocation>,
    label: Option<Label>,
    metadata: Metadata,
}

impl KeyRecord {
    /// Whether the key authenticates at `now`: `not_before ≤ now < min(expires_at, retire_at)`,
    /// and not revoked.
    #[inline]
    pub fn is_live_at(&self, now: Timestamp) -> bool {
        self.is_live_between(now, now)
    }

    /// Whether the key has begun at one time, and not ended by another that is no earlier: set
    /// back, a clock revives no key that it ended, and begins none ahead of its time.
    #[inline]
    pub(crate) fn is_live_between(&self, now: Timestamp, latest: Timestamp) -> bool {
        self.not_before <= now && latest < self.valid_until
    }

    /// The state of the key at `now`. A key whose end has passed is over, even if its not-before lies
    /// ahead: it will never be valid.
    pub fn state_at(&self, now: Timestamp) -> KeyState {
        if self.revocation.is_some() {
            KeyState::Revoked
        } else if self.is_live_at(now) {
            KeyState::Live
        } else if now < self.valid_until {
            KeyState::NotYetValid
        } else if self.retire_at == Some(self.valid_until) {
            KeyState::Retired
        } else {
            KeyState::Expired
        }
    }

    /// The first moment at which the key is no longer valid: the earlier of its expiry and its
    /// retirement, [`Timestamp::MAX`] if there is neither, and the epoch once it is revoked.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }

    /// When the key ended or will end: its revocation, else the earlier of its expiry and its
    /// retirement; `None` if none of them is set.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.revocation {
            Some(revocation) => Some(revocation.at),
            None => [self.expires_at, self.retire_at]
                .into_iter()
                .flatten()
                .min(),
        }
    }

    /// Whether the key is over at `now` because a newer one took its place: its grace period after a
    /// rotation has passed, or it was revoked as [`Superseded`](RevocationReason::Superseded) without a
    /// grace period. If it is presented then, it is in the wrong hands, or in a client that was
    /// forgotten. A key that was revoked in its grace period, for any reason, does not count as replaced
    /// until that period would have ended, because it was promised to the holder.
    pub fn is_replaced_at(&self, now: Timestamp) -> bool {
        match self.retire_at {
            Some(end) => end <= now,
            None => self
                .revocation
                .is_some_and(|revocation| revocation.reason == RevocationReason::Superseded),
        }
    }

    /// The public id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The realm in which the key is known.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// The digest by which the key is found.
    pub fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// The version of the pepper in the digest, if the ring has one.
    pub fn pepper_version(&self) -> Option<u32> {
        self.pepper_version
    }

    /// Whose key it is.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The scopes of the key.
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// The restrictions of the key, which only grow.
    #[inline]
    pub fn caveats(&self) -> &Caveats {
        &self.caveats
    }

    /// When it was minted; for an imported key the time that the [import](crate::Import::issued_at)
    /// gave, or else the time of the import.
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// The first moment at which it is valid.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The first moment at which it is no longer valid; `None` if it never expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// The end of its grace period, once it has been rotated.
    pub fn retire_at(&self) -> Option<Timestamp> {
        self.retire_at
    }

    /// The id of the first key in its chain of rotations and regrants.
    pub fn lineage(&self) -> KeyId {
        self.lineage
    }

    pub(crate) fn lineage_ref(&self) -> &KeyId {
        &self.lineage
    }

    /// How many rotations and regrants lie between that first key and this one.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Starts at 1 and rises by one with every change of this record.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether and why it is revoked.
    pub fn revocation(&self) -> Option<Revocation> {
        self.revocation
    }

    /// A name for people.
    pub fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// The application's own data about the key.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// How the key begins, before the `_` and its [id](Self::id); `None` if no ring minted it, or
    /// before the prefix was kept. It says nothing about the scopes of the key.
    pub fn prefix(&self) -> Option<&KeyPrefix> {
        self.prefix.as_ref()
    }

    /// The fields, for a store to keep.
    pub fn to_parts(&self) -> KeyRecordParts {
        KeyRecordParts {
            id: self.id,
            realm: self.realm.clone(),
            digest: self.digest,
            pepper_version: self.pepper_version,
            subject: self.subject.clone(),
            scopes: self.scopes.clone(),
            caveats: self.caveats.clone(),
            issued_at: self.issued_at,
            not_before: self.not_before,
            expires_at: self.expires_at,
            retire_at: self.retire_at,
            lineage: self.lineage,
            generation: self.generation,
            version: self.version,
            revocation: self.revocation,
            label: self.label.clone(),
            metadata: self.metadata.clone(),
            prefix: self.prefix,
        }
    }
}

impl From<KeyRecordParts> for KeyRecord {
    fn from(parts: KeyRecordParts) -> Self {
        let valid_until = match parts.revocation {
            Some(_) => Timestamp::from_unix(0),
            None => [parts.expires_at, parts.retire_at]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(Timestamp::MAX),
        };
        Self {
            digest: parts.digest,
            not_before: parts.not_before,
            valid_until,
            caveats: parts.caveats,
            scopes: parts.scopes,
            realm: parts.realm,
            id: parts.id,
            lineage: parts.lineage,
            prefix: parts.prefix,
            subject: parts.subject,
            generation: parts.generation,
            pepper_version: parts.pepper_version,
            version: parts.version,
            issued_at: parts.issued_at,
            expires_at: parts.expires_at,
            retire_at: parts.retire_at,
            revocation: parts.revocation,
            label: parts.label,
            metadata: parts.metadata,
        }
    }
}

/// Records are shared: rings, pages and stores hand out and take them in this form.
impl From<KeyRecordParts> for Arc<KeyRecord> {
    fn from(parts: KeyRecordParts) -> Self {
        Self::new(parts.into())
    }
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_parts(), f)
    }
}
