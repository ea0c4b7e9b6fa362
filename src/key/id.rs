//! The public names of keys.

use std::fmt;
use std::str::FromStr;

use super::base62::{ALPHABET, fill_base62, is_base62, system_generator};
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
