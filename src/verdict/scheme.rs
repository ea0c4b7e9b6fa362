//! Authentication schemes.

use crate::support::kept::kept;

/// The authentication scheme that a challenge to the presenter of a key names. Two are equal whatever the case of
/// their letters (RFC 9110 §11.1).
///
/// It is one pointer, because a proof holds one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scheme(&'static &'static str);

impl Scheme {
    pub(crate) const API_KEY: Self = Self(&"ApiKey");
    pub(crate) const BEARER: Self = Self(&"Bearer");

    /// A scheme by its name, which is a token (RFC 9110 §5.6.2).
    pub(crate) fn named(name: &str) -> Self {
        let known = [Self::API_KEY, Self::BEARER];
        let mut known = known.into_iter();
        let is_named = |scheme: &Self| scheme.is(name.as_bytes());
        known
            .find(is_named)
            .unwrap_or_else(|| Self(kept(name.to_owned())))
    }

    pub(crate) const fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether this is the name of the scheme.
    #[inline]
    pub(crate) fn is(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.0.as_bytes())
    }
}

impl PartialEq for Scheme {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Scheme {}
