//! Scopes.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use super::mark::Mark;
use crate::error::{Error, ErrorKind};

/// One scope: 1 to 128 characters of the `scope-token` grammar of RFC 6749 §3.3, which is
/// visible ASCII without `"` and `\`.
///
/// A scope matches itself and nothing else: no wildcard, no hierarchy, no case folding.
///
/// ```
/// use tower_api_key::Scope;
///
/// assert_eq!(Scope::new("orders:read")?.as_str(), "orders:read");
/// assert!(Scope::new("orders read").is_err());
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone)]
pub struct Scope {
    text: Arc<str>,
    /// By which it is found in a set.
    mark: Mark,
}

impl Scope {
    /// The longest scope, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Parses a scope.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`] for text outside the grammar.
    pub fn new(text: &str) -> Result<Self, Error> {
        match Mark::of(text.as_bytes()) {
            Some(mark) if Self::is_scope(text.as_bytes()) => Ok(Self {
                text: text.into(),
                mark,
            }),
            _ => Err(ErrorKind::InvalidScope.into()),
        }
    }

    /// Whether the whole of these bytes is one scope.
    pub(super) fn is_scope(text: &[u8]) -> bool {
        !text.is_empty() && Self::len_at_start_of(text) == Some(text.len())
    }

    /// How many bytes at the start of a text a scope can have. `None` if they are more than a scope has.
    #[inline]
    pub(super) fn len_at_start_of(text: &[u8]) -> Option<usize> {
        let end = text
            .iter()
            .position(|byte| !matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        Some(end.unwrap_or(text.len())).filter(|&len| len <= Self::MAX_LEN)
    }

    /// The scope as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    #[inline]
    pub(super) fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Scope {}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.text).finish()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

crate::text_type!(Scope);
crate::borrowed_text!(Scope);
crate::compared_text!(Scope);
#[cfg(feature = "serde")]
crate::serde_text!(Scope);
