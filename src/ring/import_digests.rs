//! By which digests a key from elsewhere is kept and found.

use super::Inner;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::key::foreign::{
    is_importable, is_sanctum_id, presented_sanctum_message, sanctum_message,
};
use crate::lifecycle::Minted;
use crate::lifecycle::request::{Import, OldKey, OldKeyKind};

/// By which digest a key is kept, and others by which it may be there already.
pub(super) struct Digests {
    pub(super) kept: KeyDigest,
    pepper_version: Option<u32>,
    pub(super) others: Vec<KeyDigest>,
}

impl Inner {
    /// The digests of a key from elsewhere, if this ring takes it.
    pub(super) fn digests(&self, import: &Import, key: &OldKey) -> Result<Digests, Error> {
        let refused = || Err(ErrorKind::ImportRefused.into());
        if !self.accepts_imports {
            return refused();
        }
        let pepper_version = self.digester.version();
        let (kept, others) = match &key.0 {
            OldKeyKind::Sha256(_) if pepper_version.is_some() => return refused(),
            OldKeyKind::Sha256(digest) => (*digest, Vec::new()),
            OldKeyKind::Plaintext(text) => {
                let bytes = text.as_bytes();
                // A key of this form with another checksum was mistyped. A ring that takes no imports refuses it
                // before it asks a database, and finds it in memory.
                let is_mistyped =
                    self.format.is_shaped(bytes) && self.format.id_of(bytes).is_none();
                if !is_importable(bytes) || is_mistyped {
                    return Err(ErrorKind::InvalidPlaintext.into());
                }
                if !import.weak && strength_bits(text) < 128.0 {
                    return Err(ErrorKind::WeakPlaintext.into());
                }
                (self.digester.current(bytes), self.other_digests(bytes))
            }
            OldKeyKind::Sanctum { .. } if !self.accepts_sanctum => return refused(),
            OldKeyKind::Sanctum { id, .. } if !is_sanctum_id(id.as_bytes()) => {
                return Err(ErrorKind::InvalidPlaintext.into());
            }
            OldKeyKind::Sanctum { id, token } => {
                let message = sanctum_message(id.as_bytes(), token);
                let others = self.digester.earlier(&message);
                (self.digester.current(&message), others)
            }
        };
        Ok(Digests {
            kept,
            pepper_version,
            others,
        })
    }

    /// Whether presented bytes are kept under no [other digest](Self::other_digests) than the current one.
    pub(super) fn has_one_digest(&self) -> bool {
        !self.digester.has_earlier() && !self.accepts_sanctum
    }

    /// The digests, next to the current one, under which presented bytes may be kept.
    pub(super) fn other_digests(&self, presented: &[u8]) -> Vec<KeyDigest> {
        let mut digests = self.digester.earlier(presented);
        if self.accepts_sanctum
            && let Some(message) = presented_sanctum_message(presented)
        {
            digests.push(self.digester.current(&message));
            digests.extend(self.digester.earlier(&message));
        }
        digests
    }

    pub(super) fn minted(&self, digests: &Digests) -> Result<Minted, Error> {
        Ok(Minted {
            id: KeyId::random()?,
            realm: self.realm.clone(),
            digest: digests.kept,
            pepper_version: digests.pepper_version,
            prefix: None,
        })
    }
}

/// The most that a plaintext of this length and alphabet can hold.
fn strength_bits(plaintext: &str) -> f64 {
    let holds = |class: fn(&u8) -> bool| plaintext.as_bytes().iter().any(class);
    let mut alphabet = 0_u32;
    for (held, size) in [
        (holds(u8::is_ascii_digit), 10),
        (holds(u8::is_ascii_lowercase), 26),
        (holds(u8::is_ascii_uppercase), 26),
        (holds(|byte| !byte.is_ascii_alphanumeric()), 32),
    ] {
        alphabet += if held { size } else { 0 };
    }
    let length = u32::try_from(plaintext.len()).unwrap_or(u32::MAX);
    f64::from(length) * f64::from(alphabet.max(1)).log2()
}
