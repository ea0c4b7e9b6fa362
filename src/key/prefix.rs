//! How a ring's keys begin.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

pub(crate) const MAX_PREFIX_LEN: usize = 20;

/// The prefix of a ring's keys: `[a-z][a-z0-9_]{0,19}`, not ending in `_`.
///
/// ```
/// use tower_api_key::KeyPrefix;
///
/// let prefix: KeyPrefix = "acme_live".parse()?;
/// assert_eq!(prefix.as_str(), "acme_live");
/// assert!("Acme".parse::<KeyPrefix>().is_err());
/// # Ok::<(), tower_api_key::Error>(())
/// ```
// Within a record: a text on the heap would be one more for each key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrefix {
    text: [u8; MAX_PREFIX_LEN],
    len: NonZeroU8,
}

impl KeyPrefix {
    /// The prefix as text, without the `_` that follows it in a key.
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..usize::from(self.len.get()));
        // Only parsed text is ever stored, so neither fallback is taken.
        std::str::from_utf8(text.unwrap_or_default()).unwrap_or_default()
    }
}

impl FromStr for KeyPrefix {
    type Err = Error;

    fn from_str(prefix: &str) -> Result<Self, Error> {
        let bytes = prefix.as_bytes();
        let valid = bytes.len() <= MAX_PREFIX_LEN
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last().is_some_and(|&last| last != b'_')
            && bytes
                .iter()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let len = u8::try_from(bytes.len()).ok().and_then(NonZeroU8::new);
        let (true, Some(len)) = (valid, len) else {
            return Err(ErrorKind::InvalidPrefix.into());
        };
        let mut text = [0; MAX_PREFIX_LEN];
        text[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { text, len })
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPrefix({})", self.as_str())
    }
}

crate::text_type!(KeyPrefix);
#[cfg(feature = "serde")]
crate::serde_text!(KeyPrefix);
