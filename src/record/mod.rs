//! The records of keys in a store.

mod conversion;
mod flags;
mod gain;
mod held;
mod history;
pub(crate) mod key_usage;
#[cfg(feature = "sql")]
mod last_scopes;
pub(crate) mod notes;
mod origin;
mod parts;
mod pool;
mod revocation;
mod revocation_reason;
#[cfg(feature = "sql")]
pub(crate) mod row;
mod state;
#[cfg(feature = "sql")]
pub(crate) mod unfit;
#[cfg(feature = "sql")]
pub(crate) mod usage_row;
mod view;
mod within;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub(crate) use flags::{Flags, UseStamp};
pub use gain::Gain;
pub(crate) use held::{Held, Owned};
use history::History;
pub(crate) use origin::Origin;
pub use parts::KeyRecordParts;
pub(crate) use pool::Pool;
pub use revocation::Revocation;
pub use revocation_reason::RevocationReason;
pub use state::KeyState;
pub use view::KeyView;

use crate::access::caveat::Caveats;
use crate::access::label::Label;
use crate::access::metadata::Metadata;
use crate::access::realm::Realm;
use crate::access::scope_set::ScopeSet;
use crate::access::subject::Subject;
use crate::key::digest::KeyDigest;
use crate::key::{IdText, KeyId, KeyPrefix};
use crate::time::Timestamp;

/// The record of a key in a store, never the plaintext. It does not serialise: a [`KeyView`] does, for
/// people, and its [parts](Self::to_parts) do, for a store.
///
/// The fields that a request's verdict reads come first, in one or two cache lines. What few keys have is apart.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)]
pub struct KeyRecord {
    digest: KeyDigest,
    not_before: Timestamp,
    /// The earlier of `expires_at` and `grace_ends_at`, and the epoch once revoked.
    valid_until: Timestamp,
    scopes: ScopeSet,
    origin: Arc<Origin>,
    /// `None` if it is that of a key on which nothing was done since it was issued.
    history: Option<Box<History>>,
    subject: Subject,
    label: Label,
    id: IdText,
    flags: Flags,
}

// With its two counts and what an allocator adds, 144 bytes.
const _: () = assert!(size_of::<KeyRecord>() <= 120);

impl KeyRecord {
    /// Whether the key authenticates at `now`: `not_before ≤ now < min(expires_at, grace_ends_at)`,
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
        if self.revocation().is_some() {
            KeyState::Revoked
        } else if self.is_live_at(now) {
            KeyState::Live
        } else if now < self.valid_until {
            KeyState::NotYetValid
        } else if self.grace_ends_at() == Some(self.valid_until) {
            KeyState::Replaced
        } else {
            KeyState::Expired
        }
    }

    /// The first moment at which the key is no longer valid: the earlier of its expiry and the
    /// end of its grace period, [`Timestamp::MAX`] if there is neither, and the epoch once it is revoked.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }

    /// When the key ended or will end: its revocation, else the earlier of its expiry and the
    /// end of its grace period; `None` if none of them is set.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.revocation() {
            Some(revocation) => Some(revocation.at),
            None => Some(self.valid_until).filter(|&end| end != Timestamp::MAX),
        }
    }

    /// Whether the key is over at `now` because a newer one took its place: its grace period after a
    /// rotation has passed, or it was revoked as [`Superseded`](RevocationReason::Superseded) without a
    /// grace period. If it is presented then, it is in the wrong hands, or in a client that was
    /// forgotten. A key that was revoked in its grace period, for any reason, does not count as replaced
    /// until that period would have ended, because it was promised to the holder.
    pub fn is_replaced_at(&self, now: Timestamp) -> bool {
        match self.grace_ends_at() {
            Some(end) => end <= now,
            None => self
                .revocation()
                .is_some_and(|revocation| revocation.reason == RevocationReason::Superseded),
        }
    }

    /// The public id.
    pub fn id(&self) -> KeyId {
        self.id.into()
    }

    /// The same, for those that read it.
    #[cfg(feature = "tracing")]
    #[inline]
    pub(crate) fn id_text(&self) -> &str {
        self.id.as_str()
    }

    /// The realm in which the key is known.
    #[inline]
    pub fn realm(&self) -> &Realm {
        &self.origin.realm
    }

    /// The digest by which the key is found.
    pub fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// The version of the pepper in the digest, if the ring has one.
    pub fn pepper_version(&self) -> Option<u32> {
        self.origin.pepper_version
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
        match &self.history {
            Some(history) => &history.caveats,
            None => const { &Caveats::none() },
        }
    }

    /// The same record with those of its scopes that are in the other set too.
    pub(crate) fn within_scopes(&self, others: &ScopeSet) -> Self {
        Self {
            scopes: self.scopes.intersection(others),
            ..self.clone()
        }
    }

    /// When it was minted; for an imported key the time that the [import](crate::Import::issued_at)
    /// gave, or else the time of the import.
    pub fn issued_at(&self) -> Timestamp {
        self.history
            .as_ref()
            .map_or(self.not_before, |it| it.issued_at)
    }

    /// The first moment at which it is valid.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The first moment at which it is no longer valid; `None` if it never expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.history {
            Some(history) => history.expires_at,
            None => Some(self.valid_until).filter(|&end| end != Timestamp::MAX),
        }
    }

    /// When its grace period ends, once a rotation has replaced it: until then it still works.
    pub fn grace_ends_at(&self) -> Option<Timestamp> {
        self.history.as_ref()?.grace_ends_at
    }

    /// The id of the first key in its chain of rotations and regrants.
    pub fn lineage(&self) -> KeyId {
        (*self.kept_lineage()).into()
    }

    /// The same, for those that read it.
    pub(crate) fn lineage_text(&self) -> &str {
        self.kept_lineage().as_str()
    }

    fn kept_lineage(&self) -> &IdText {
        self.history.as_ref().map_or(&self.id, |it| &it.lineage)
    }

    /// How many rotations and regrants lie between that first key and this one.
    pub fn generation(&self) -> u32 {
        self.history.as_ref().map_or(0, |it| it.generation)
    }

    /// Starts at 1 and rises by one with every change of this record.
    pub fn version(&self) -> u64 {
        self.history.as_ref().map_or(1, |it| it.version)
    }

    /// Whether and why it is revoked.
    pub fn revocation(&self) -> Option<Revocation> {
        self.history.as_ref()?.revocation
    }

    /// When a use was noted last, in this record alone.
    #[inline]
    pub(crate) fn flags(&self) -> &Flags {
        &self.flags
    }

    /// A name for people.
    pub fn label(&self) -> Option<&Label> {
        self.flags.has_label().then_some(&self.label)
    }

    /// The application's own data about the key.
    pub fn metadata(&self) -> &Metadata {
        match &self.history {
            Some(history) => &history.metadata,
            None => const { &Metadata::none() },
        }
    }

    /// How the key begins, before the `_` and its [id](Self::id); `None` if no ring minted it, or
    /// before the prefix was kept. It says nothing about the scopes of the key.
    pub fn prefix(&self) -> Option<&KeyPrefix> {
        self.origin.prefix.as_ref()
    }

    /// What few keys have. Most keys have this in no place of their own.
    fn history(&self) -> Cow<'_, History> {
        match &self.history {
            Some(history) => Cow::Borrowed(history),
            None => Cow::Owned(History::none(self.id, self.not_before, self.valid_until)),
        }
    }
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_parts(), f)
    }
}
