//! The fields of a record, as a store keeps them.

use super::Revocation;
use crate::access::caveat::Caveats;
use crate::access::label::Label;
use crate::access::metadata::Metadata;
use crate::access::realm::Realm;
use crate::access::scope_set::ScopeSet;
use crate::access::subject::Subject;
use crate::key::digest::KeyDigest;
use crate::key::{KeyId, KeyPrefix};
use crate::time::Timestamp;

/// The fields of a [`KeyRecord`](super::KeyRecord), as a store keeps them.
///
/// A store builds a record with `KeyRecord::from(parts)` and takes one apart with
/// [`KeyRecord::to_parts`](super::KeyRecord::to_parts). With the feature `serde` these are the one form that has the digest; show
/// people a [`KeyView`](super::KeyView).
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// A field that this version does not know may be a restriction: to pass over it would widen the key.
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct KeyRecordParts {
    /// The public id, unique in the store.
    pub id: KeyId,
    /// The realm in which the key is known.
    pub realm: Realm,
    /// The digest, unique in the store.
    pub digest: KeyDigest,
    /// The version of the pepper in the digest, if the ring has one.
    pub pepper_version: Option<u32>,
    /// Whose key it is.
    pub subject: Subject,
    /// The scopes of the key.
    pub scopes: ScopeSet,
    /// The restrictions of the key.
    pub caveats: Caveats,
    /// When it was minted; for an imported key the time that the [import](crate::Import::issued_at)
    /// gave, or else the time of the import.
    pub issued_at: Timestamp,
    /// The first moment at which it is valid.
    pub not_before: Timestamp,
    /// The first moment at which it is no longer valid; `None` if it never expires.
    pub expires_at: Option<Timestamp>,
    /// When its grace period ends, once a rotation has replaced it.
    pub grace_ends_at: Option<Timestamp>,
    /// The id of the first key in its chain of rotations and regrants.
    pub lineage: KeyId,
    /// How many rotations and regrants lie between that first key and this one.
    pub generation: u32,
    /// Starts at 1 and rises by one with every change of this record.
    pub version: u64,
    /// Whether and why it is revoked.
    pub revocation: Option<Revocation>,
    /// A name for people.
    pub label: Option<Label>,
    /// The application's own data about the key.
    pub metadata: Metadata,
    /// How the key begins, if a ring minted it; `None` for an imported key.
    pub prefix: Option<KeyPrefix>,
}

impl KeyRecordParts {
    /// The first key of a lineage, with no scope, caveat or label, at version 1. It is over at once: set
    /// `expires_at`, and whatever else the store holds of the key.
    ///
    /// ```
    /// use tower_api_key::{KeyDigest, KeyId, KeyRecord, KeyRecordParts, Realm, Subject, Timestamp};
    ///
    /// let id: KeyId = "4f9A7YqZr01m".parse()?;
    /// let issued_at = Timestamp::from_unix(1_800_000_000);
    /// let digest = KeyDigest::sha256(b"a key from elsewhere");
    /// let (realm, alice) = (Realm::new("acme")?, Subject::new("alice")?);
    /// let mut parts = KeyRecordParts::new(id, realm, digest, alice, issued_at);
    /// assert!(!KeyRecord::from(parts.clone()).is_live_at(issued_at));
    ///
    /// parts.scopes = "orders:read".parse()?;
    /// parts.expires_at = None;
    /// assert!(KeyRecord::from(parts).is_live_at(issued_at));
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn new(
        id: KeyId,
        realm: Realm,
        digest: KeyDigest,
        subject: Subject,
        issued_at: Timestamp,
    ) -> Self {
        Self {
            id,
            realm,
            digest,
            pepper_version: None,
            subject,
            scopes: ScopeSet::empty(),
            caveats: Caveats::none(),
            issued_at,
            not_before: issued_at,
            expires_at: Some(issued_at),
            grace_ends_at: None,
            lineage: id,
            generation: 0,
            version: 1,
            revocation: None,
            label: None,
            metadata: Metadata::none(),
            prefix: None,
        }
    }
}
