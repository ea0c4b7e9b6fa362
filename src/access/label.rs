//! The names of keys.

use std::fmt;
use std::str::FromStr;

use ecow::EcoString;

use super::text::is_plain;
use crate::error::{Error, ErrorKind};

/// A name of a key for people: up to 256 bytes without control characters, format characters and `=` at the
/// start. It is no authority.
///
/// Up to 15 bytes are in the value itself. Clones share a longer text.
///
/// ```
/// use tower_api_key::{ErrorKind, Label};
///
/// let label: Label = "laptop".parse()?;
/// assert_eq!(label, *"laptop");
/// assert_eq!(Label::new("a\nb").unwrap_err().kind(), ErrorKind::InvalidLabel);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(EcoString);

impl Label {
    /// The longest label, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Parses a label.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidLabel`] for a text that cannot name a key.
    pub fn new(text: &str) -> Result<Self, Error> {
        if text.len() <= Self::MAX_LEN && is_plain(text) {
            Ok(Self(text.into()))
        } else {
            Err(ErrorKind::InvalidLabel.into())
        }
    }

    /// What is in the place of a label that is not there.
    pub(crate) const fn placeholder() -> Self {
        Self(EcoString::new())
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

crate::text_type!(Label);
crate::borrowed_text!(Label);
crate::compared_text!(Label);
#[cfg(feature = "serde")]
crate::serde_text!(Label);
