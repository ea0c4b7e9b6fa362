//! Secrets outside the database.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// A secret outside the database, without which its digests verify nothing.
///
/// Keep it out of reach of the database's readers: in an environment variable or a secret manager. Give
/// each new pepper a higher version, and hand the old ones to
/// [`KeyRingBuilder::earlier_pepper`](crate::KeyRingBuilder::earlier_pepper) until no live record names
/// their version.
///
/// ```
/// use tower_api_key::{KeyRing, Pepper, store::MemoryStore};
///
/// let ring = KeyRing::builder("acme")
///     .pepper(Pepper::new(2, vec![0x5a; 32])?)
///     .earlier_pepper(Pepper::new(1, vec![0xa5; 32])?)
///     .build(MemoryStore::new())?;
/// # Ok::<(), tower_api_key::Error>(())
/// ```
pub struct Pepper {
    pub(super) version: u32,
    pub(super) secret: Zeroizing<Vec<u8>>,
}

impl Pepper {
    /// A pepper of this version.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidPepper`] for under 32 bytes.
    pub fn new(version: u32, secret: Vec<u8>) -> Result<Self, Error> {
        let secret = Zeroizing::new(secret);
        if secret.len() < 32 {
            return Err(ErrorKind::InvalidPepper.into());
        }
        Ok(Self { version, secret })
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pepper")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
