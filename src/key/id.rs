//! The public names of keys.

use std::fmt;
use std::str::FromStr;

use ascii::{AsciiChar, AsciiStr};

use super::base62::{ALPHABET, fill_base62, is_base62, system_generator};
use super::digest::KeyDigest;
use crate::error::{Error, ErrorKind};

pub(crate) const ID_LEN: usize = 12;

/// The public, loggable id inside every minted key: twelve base62 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_LEN]);

impl KeyId {
    /// The id that sorts before all others, except itself.
    pub(crate) const FIRST: Self = Self([ALPHABET[0]; ID_LEN]);

    pub(crate) fn as_bytes(&self) -> &[u8; ID_LEN] {
        &self.0
    }

    /// The id from 71 bits of a hash, for a key whose id must be the same every time, such as one that
    /// is known only by its digest.
    ///
    /// ```
    /// use tower_api_key::KeyId;
    ///
    /// assert_eq!(KeyId::from_hash([7; 16]), KeyId::from_hash([7; 16]));
    /// assert_ne!(KeyId::from_hash([7; 16]), KeyId::from_hash([8; 16]));
    /// ```
    pub fn from_hash(hash: [u8; 16]) -> Self {
        let mut rest = u128::from_be_bytes(hash);
        let mut id = [ALPHABET[0]; ID_LEN];
        for character in &mut id {
            // The remainder is below 62, so the default is never taken.
            let value = usize::try_from(rest % 62).unwrap_or_default();
            *character = ALPHABET[value];
            rest /= 62;
        }
        Self(id)
    }

    /// The id of a row with this number, for a key that another system keeps in a table: the number in base62, with
    /// leading zeros. Ids are in the order of the numbers.
    ///
    /// ```
    /// use tower_api_key::KeyId;
    ///
    /// assert_eq!(KeyId::from_number(42).as_str(), "00000000000g");
    /// ```
    pub fn from_number(number: u64) -> Self {
        let mut rest = number;
        let mut id = [ALPHABET[0]; ID_LEN];
        for character in id.iter_mut().rev() {
            // The remainder is below 62, so the default is never taken.
            *character = ALPHABET[usize::try_from(rest % 62).unwrap_or_default()];
            rest /= 62;
        }
        Self(id)
    }

    /// The id from 71 bits of a digest, for a key of a table whose rows have no number.
    ///
    /// Ids are public. If the key is weak, whoever reads its id can guess it, as by its digest: prefer the
    /// [number](Self::from_number) of the row.
    ///
    /// ```
    /// use tower_api_key::{KeyDigest, KeyId};
    ///
    /// let digest = KeyDigest::sha256(b"cio_9f3A7b2C5d8E1f4G6h0J");
    /// assert_eq!(KeyId::from_digest(&digest), KeyId::from_digest(&digest));
    /// ```
    pub fn from_digest(digest: &KeyDigest) -> Self {
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest.as_bytes()[..16]);
        Self::from_hash(hash)
    }

    /// The id that these characters are.
    #[inline]
    pub(super) fn of(characters: [u8; ID_LEN]) -> Option<Self> {
        is_base62(&characters).then_some(Self(characters))
    }

    /// Draws an id.
    pub(super) fn draw(
        generator: impl FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut id = [0; ID_LEN];
        fill_base62(&mut id, generator)?;
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only base62 is ever stored, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Draws an id for a record whose key does not name one.
    pub(crate) fn random() -> Result<Self, Error> {
        Self::draw(system_generator)
    }
}

/// The id in a record, which is known to be text, so that nothing checks it for UTF-8 when it is read, as in the span of
/// each request.
///
/// A `KeyId` is bytes instead: an optional one of characters would keep in the first of them whether it is there, so it is
/// copied in two parts, and a processor waits if it reads at once what two writes have just written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdText([AsciiChar; ID_LEN]);

impl IdText {
    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        AsRef::<AsciiStr>::as_ref(&self.0[..]).as_str()
    }
}

impl From<KeyId> for IdText {
    fn from(KeyId(id): KeyId) -> Self {
        // An id is base62, so the fallback is never taken.
        Self(id.map(|byte| AsciiChar::from_ascii(byte).unwrap_or(AsciiChar::_0)))
    }
}

impl From<IdText> for KeyId {
    #[inline]
    fn from(IdText(id): IdText) -> Self {
        Self(id.map(AsciiChar::as_byte))
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match <[u8; ID_LEN]>::try_from(text.as_bytes()) {
            Ok(id) => Self::of(id).ok_or_else(|| ErrorKind::InvalidKeyId.into()),
            Err(_) => Err(ErrorKind::InvalidKeyId.into()),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.as_str())
    }
}

crate::text_type!(KeyId);
#[cfg(feature = "serde")]
crate::serde_text!(KeyId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_any_characters_is_the_same_as_text() {
        let parts = ALPHABET.windows(ID_LEN);
        for characters in parts.map(|part| <[u8; ID_LEN]>::try_from(part).unwrap()) {
            let id = KeyId::of(characters).unwrap();
            let text = IdText::from(id);
            assert_eq!(text.as_str().as_bytes(), characters);
            assert_eq!(text.as_str(), id.as_str());
            assert_eq!(KeyId::from(text), id);
        }
    }
}
