//! A key that was minted elsewhere, as it is known.

use std::fmt;

use zeroize::Zeroizing;

use crate::key::digest::KeyDigest;

/// A key that was minted elsewhere, in the form in which it is known: for
/// [`KeyRing::import_many`](crate::KeyRing::import_many) and
/// [`KeyRing::import_or_get`](crate::KeyRing::import_or_get).
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
