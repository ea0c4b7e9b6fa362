//! Protection spaces.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// A protection space (RFC 9110 §11.5): 1 to 64 printable ASCII characters without `"` and `\`.
///
/// A key belongs to exactly one realm. In another, it is unknown, even if the store holds it.
#[derive(Clone, Eq, PartialOrd, Ord)]
pub struct Realm(Arc<str>);

impl Realm {
    /// Parses a realm.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRealm`] for text that an RFC 9110 quoted string cannot hold as it is.
    pub fn new(text: &str) -> Result<Self, Error> {
        let valid = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(ErrorKind::InvalidRealm.into())
        }
    }

    /// Whether there is another reference to the text.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// The realm as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The records in memory share their ring's text, which is then not read. `Arc<str>` compares texts at once.
impl PartialEq for Realm {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Hash for Realm {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl FromStr for Realm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

crate::text_type!(Realm);
crate::borrowed_text!(Realm);
crate::compared_text!(Realm);
#[cfg(feature = "serde")]
crate::serde_text!(Realm);
