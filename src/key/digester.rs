//! How a ring digests what is presented.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::digest::KeyDigest;
use super::pepper::Pepper;
use crate::error::{Error, ErrorKind};

/// How a ring turns presented bytes into digests.
#[derive(Clone)]
pub(crate) enum Digester {
    Sha256,
    Hmac {
        current: Keyed,
        earlier: Box<[Keyed]>,
    },
}

#[derive(Clone)]
pub(crate) struct Keyed {
    version: u32,
    /// The state after the pepper's own block, so that no request hashes it again.
    state: Hmac<Sha256>,
}

impl Digester {
    /// # Errors
    ///
    /// [`ErrorKind::InvalidPepper`] for two peppers of one version, or for earlier ones alone.
    pub(crate) fn new(current: Option<&Pepper>, earlier: &[Pepper]) -> Result<Self, Error> {
        let mut versions: Vec<u32> = current
            .iter()
            .copied()
            .chain(earlier)
            .map(|pepper| pepper.version)
            .collect();
        versions.sort_unstable();
        let distinct = versions.windows(2).all(|pair| pair[0] != pair[1]);
        match current {
            Some(current) if distinct => Ok(Self::Hmac {
                current: Keyed::new(current)?,
                earlier: earlier.iter().map(Keyed::new).collect::<Result<_, _>>()?,
            }),
            None if earlier.is_empty() => Ok(Self::Sha256),
            _ => Err(ErrorKind::InvalidPepper.into()),
        }
    }

    /// The digest under which new keys are kept.
    #[inline]
    pub(crate) fn current(&self, presented: &[u8]) -> KeyDigest {
        match self {
            Self::Sha256 => KeyDigest::sha256(presented),
            Self::Hmac { current, .. } => current.digest(presented),
        }
    }

    /// Whether there is an earlier pepper.
    pub(crate) fn has_earlier(&self) -> bool {
        matches!(self, Self::Hmac { earlier, .. } if !earlier.is_empty())
    }

    /// The digests under which older keys are kept, one for each earlier pepper.
    pub(crate) fn earlier(&self, presented: &[u8]) -> Vec<KeyDigest> {
        match self {
            Self::Sha256 => Vec::new(),
            Self::Hmac { earlier, .. } => earlier
                .iter()
                .map(|keyed| keyed.digest(presented))
                .collect(),
        }
    }

    pub(crate) fn version(&self) -> Option<u32> {
        match self {
            Self::Sha256 => None,
            Self::Hmac { current, .. } => Some(current.version),
        }
    }
}

impl Keyed {
    fn new(pepper: &Pepper) -> Result<Self, Error> {
        Ok(Self {
            version: pepper.version,
            state: Hmac::new_from_slice(&pepper.secret)
                .map_err(|error| Error::with_source(ErrorKind::InvalidPepper, error))?,
        })
    }

    fn digest(&self, presented: &[u8]) -> KeyDigest {
        let mut state = self.state.clone();
        state.update(presented);
        KeyDigest::from_bytes(state.finalize().into_bytes().into())
    }
}
