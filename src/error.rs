//! The crate's error: an opaque struct with a kind to match on.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Why building, issuing, importing or managing keys failed.
///
/// An error never holds key material: neither its message nor its `Debug` output repeats what
/// was refused.
///
/// ```
/// use tower_api_key::{ErrorKind, Scope};
///
/// let error = Scope::new("orders read").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidScope);
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A key prefix outside `[a-z][a-z0-9_]{0,19}`, or one that ends in `_`.
    InvalidPrefix,
    /// A realm that is empty, longer than 64 bytes, or not fit for an RFC 9110 quoted string.
    InvalidRealm,
    /// A scope outside the grammar of RFC 6749 §3.3, or longer than 128 bytes.
    InvalidScope,
    /// `all` or `any` of nothing: a requirement that asks for nothing is a mistake.
    EmptyRequirement,
    /// A subject that is empty, longer than 256 bytes, or holds control characters.
    InvalidSubject,
    /// A text that is not a key id: twelve characters of `0-9A-Za-z`.
    InvalidKeyId,
    /// A text that is not a digest: 64 hexadecimal digits.
    InvalidDigest,
    /// A text that is no [`RevocationReason`](crate::RevocationReason).
    InvalidReason,
    /// A header that cannot carry a key, because it already means something else.
    InvalidCarrier,
    /// A lifetime that ends before it begins, or beyond what a timestamp holds.
    InvalidLifetime,
    /// A lifetime beyond the longest that the ring grants.
    LifetimeTooLong {
        /// The ring's longest lifetime.
        longest: Duration,
    },
    /// A pepper of under 32 bytes, or two peppers of one version.
    InvalidPepper,
    /// The operating system's random generator failed, so there is no key.
    Generator,
    /// The ring does not accept imported keys, or not in this form.
    ImportRefused,
    /// A plaintext to import that no request could present: empty, over 512 bytes, or holding
    /// anything but visible ASCII without commas.
    InvalidPlaintext,
    /// A plaintext to import of under 128 bits by length and alphabet.
    WeakPlaintext,
    /// No such key in this realm.
    NotFound,
    /// Another writer changed the record first, more often than the ring retries.
    Conflict,
    /// An id or a digest that the store already holds.
    Duplicate,
    /// The store failed.
    Store,
}

impl Error {
    pub(crate) fn with_source(
        kind: ErrorKind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// What went wrong, to match on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::InvalidPrefix => {
                "invalid key prefix: use 1 to 20 of a-z, 0-9 and _, starting with a letter and not ending in _"
            }
            ErrorKind::InvalidRealm => {
                "invalid realm: use 1 to 64 printable ASCII characters without \" and \\"
            }
            ErrorKind::InvalidScope => {
                "invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\"
            }
            ErrorKind::EmptyRequirement => "empty requirement: name at least one scope",
            ErrorKind::InvalidSubject => {
                "invalid subject: use 1 to 256 bytes without control characters"
            }
            ErrorKind::InvalidKeyId => "invalid key id: expected 12 characters of 0-9, A-Z and a-z",
            ErrorKind::InvalidDigest => "invalid digest: expected 64 hexadecimal digits",
            ErrorKind::InvalidReason => "invalid revocation reason",
            ErrorKind::InvalidCarrier => {
                "invalid carrier: this header already has a meaning of its own; use a header such as x-api-key, or Source::bearer()"
            }
            ErrorKind::InvalidLifetime => {
                "invalid lifetime: a key must end after it begins, within the range of a timestamp"
            }
            ErrorKind::LifetimeTooLong { longest } => {
                return write!(
                    f,
                    "lifetime too long: this ring grants at most {} s",
                    longest.as_secs()
                );
            }
            ErrorKind::InvalidPepper => {
                "invalid pepper: use at least 32 random bytes, and each version once"
            }
            ErrorKind::Generator => "the operating system's random generator failed",
            ErrorKind::ImportRefused => {
                "import refused: build the ring with accept_imports(), and import plaintext, not a bare digest, where the ring has a pepper"
            }
            ErrorKind::InvalidPlaintext => {
                "invalid plaintext: use 1 to 512 visible ASCII characters without commas"
            }
            ErrorKind::WeakPlaintext => {
                "weak plaintext: under 128 bits by length and alphabet; issue a new key instead, or use import_insecure_plaintext"
            }
            ErrorKind::NotFound => "no such key in this realm",
            ErrorKind::Conflict => "the record was changed by another writer; read it and try again",
            ErrorKind::Duplicate => "the store already holds this id or digest",
            ErrorKind::Store => "the key store failed",
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
