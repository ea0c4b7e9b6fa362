//! Requests for keys that were minted elsewhere.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::key::digest::KeyDigest;
use crate::lifecycle::grant::Grant;
use crate::record::KeyRecord;
use crate::time::Timestamp;

/// A request of trusted code for a key that was minted elsewhere.
///
/// It is a [`Grant`], which must say when the key ends: [`expires_at`](Grant::expires_at) keeps the
/// old expiry, [`expires_in`](Grant::expires_in) sets one from now, and
/// [`never_expires`](Grant::never_expires) says that there is none. An import has no default
/// lifetime: it would end an integration on an arbitrary day. An expiry beyond the ring's
/// [`max_lifetime`](crate::KeyRingBuilder::max_lifetime), which counts from the import, is refused and
/// never shortened. Import with a ring of an
/// [`unlimited_lifetime`](crate::KeyRingBuilder::unlimited_lifetime) over the same store to keep longer
/// lives: the ring that serves the key does not judge its lifetime again.
///
/// A `Grant` converts into an import that begins now.
///
/// ```
/// use tower_api_key::{Grant, Import, Timestamp};
///
/// let grant = Grant::new("alice").expires_at(Timestamp::from_rfc3339("2031-01-01T00:00:00Z")?);
/// let import = Import::new(grant).issued_at(Timestamp::from_rfc3339("2024-05-06T07:08:09Z")?);
/// # let _ = import;
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Import {
    pub(crate) grant: Grant,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) weak: bool,
}

impl Import {
    /// An import of a key with the authority of the grant.
    pub fn new(grant: Grant) -> Self {
        Self {
            grant,
            issued_at: None,
            weak: false,
        }
    }

    /// Keeps the moment at which the key was minted, which must not lie ahead. Default: the moment of
    /// the import.
    #[must_use]
    pub fn issued_at(mut self, issued_at: Timestamp) -> Self {
        self.issued_at = Some(issued_at);
        self
    }

    /// Takes a plaintext of under 128 bits by length and alphabet. Anyone who can guess it, or has its
    /// digest, has the key.
    #[must_use]
    pub fn insecure_accept_weak(mut self) -> Self {
        self.weak = true;
        self
    }
}

impl From<Grant> for Import {
    fn from(grant: Grant) -> Self {
        Self::new(grant)
    }
}

/// A key that was minted elsewhere, in the form in which it is known: for
/// [`KeyRing::import_many`](crate::KeyRing::import_many).
///
/// The kind is named by the constructor and never guessed: 64 hexadecimal digits are a hash to one
/// system and the key itself to another.
pub struct OldKey(pub(crate) OldKeyKind);

pub(crate) enum OldKeyKind {
    Plaintext(Zeroizing<String>),
    Sha256(KeyDigest),
    Sanctum { id: Box<str>, token: KeyDigest },
}

impl OldKey {
    /// The exact text that clients present. It is not kept, and is overwritten with zeros on drop.
    pub fn plaintext(text: impl Into<String>) -> Self {
        Self(OldKeyKind::Plaintext(Zeroizing::new(text.into())))
    }

    /// The SHA-256 of the exact text that clients present.
    pub fn sha256(digest: KeyDigest) -> Self {
        Self(OldKeyKind::Sha256(digest))
    }

    /// A token of Laravel Sanctum, which clients present as `id|token`: the `id` of its row in
    /// `personal_access_tokens`, and the column `token`, the SHA-256 of the part after the `|`.
    ///
    /// Only a ring that [accepts such tokens](crate::KeyRingBuilder::accept_sanctum_tokens) takes it.
    pub fn sanctum(id: impl Into<String>, token_sha256: KeyDigest) -> Self {
        Self(OldKeyKind::Sanctum {
            id: id.into().into_boxed_str(),
            token: token_sha256,
        })
    }
}

/// It shows the kind alone: a weak key is given away by its digest.
impl fmt::Debug for OldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            OldKeyKind::Plaintext(_) => "OldKey(plaintext …)",
            OldKeyKind::Sha256(_) => "OldKey(sha256 …)",
            OldKeyKind::Sanctum { .. } => "OldKey(sanctum …)",
        })
    }
}

/// The result for a key of [`KeyRing::import_many`](crate::KeyRing::import_many).
#[derive(Debug, Clone)]
pub struct Imported {
    record: Arc<KeyRecord>,
    was_present: bool,
}

impl Imported {
    pub(crate) fn new(record: Arc<KeyRecord>) -> Self {
        Self {
            record,
            was_present: false,
        }
    }

    pub(crate) fn present(record: Arc<KeyRecord>) -> Self {
        Self {
            record,
            was_present: true,
        }
    }

    /// The record in the store.
    pub fn record(&self) -> &Arc<KeyRecord> {
        &self.record
    }

    /// Whether the key was there already, as this import asks for it. It may have ended since it was
    /// imported: see the [state](KeyRecord::state_at) of its record.
    pub fn was_present(&self) -> bool {
        self.was_present
    }
}
