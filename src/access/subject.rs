//! Whose key it is.

use std::fmt;
use std::str::FromStr;

use ecow::EcoString;

use super::text::is_plain;
use crate::error::{Error, ErrorKind};

/// The application's name for the holder of a key: 1 to 256 bytes without control characters, format
/// characters (bidirectional controls among them) and `=` at the start.
///
/// Up to 15 bytes are in the value itself. Clones share a longer text.
///
/// ```
/// use tower_api_key::{ErrorKind, Subject};
///
/// let subject: Subject = "alice".parse()?;
/// assert_eq!(subject, *"alice");
/// assert_eq!(Subject::new("").unwrap_err().kind(), ErrorKind::InvalidSubject);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(EcoString);

impl Subject {
    /// The longest subject, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Parses a subject.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidSubject`] for a text that cannot name the holder of a key.
    pub fn new(text: &str) -> Result<Self, Error> {
        if (1..=Self::MAX_LEN).contains(&text.len()) && is_plain(text) {
            Ok(Self(text.into()))
        } else {
            Err(ErrorKind::InvalidSubject.into())
        }
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subject {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

crate::text_type!(Subject);
crate::borrowed_text!(Subject);
crate::compared_text!(Subject);
#[cfg(feature = "serde")]
crate::serde_text!(Subject);
