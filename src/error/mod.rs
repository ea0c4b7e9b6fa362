//! The crate's error: an opaque struct with a kind to match on.

pub(crate) mod store;
pub(crate) mod text_type;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::support::span::Span;

/// Why building, issuing, importing or managing keys failed.
///
/// An error never holds key material: neither its message nor its `Debug` output repeats the refused
/// input. If a store failed, its [`source`](StdError::source) is the
/// [`StoreError`](crate::store::StoreError), whose own source says why.
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
    /// The part of the exceeded limit that the kind cannot hold.
    limit: Option<Box<str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A key prefix outside `[a-z][a-z0-9_]{0,19}`, or one that ends in `_`.
    InvalidPrefix,
    /// A realm that is empty, longer than 64 bytes, or not fit for an RFC 9110 quoted string.
    InvalidRealm,
    /// A scope outside the grammar of RFC 6749 §3.3, or longer than 128 bytes.
    InvalidScope,
    /// A text that is no caveat which this version knows, networks or a thumbprint that cannot be read, or
    /// more caveats than a key can have.
    InvalidCaveat,
    /// A caveat that the ring does not grant: no layer over it would check it. See
    /// [`grantable_caveats`](crate::KeyRingBuilder::grantable_caveats).
    CaveatNotGrantable,
    /// `all` or `any` of nothing: a requirement that asks for nothing is a mistake.
    EmptyRequirement,
    /// A subject that is empty, longer than 256 bytes, starts with `=`, or holds control or format
    /// characters.
    InvalidSubject,
    /// A label of over 256 bytes, with control or format characters or with `=` at the start.
    InvalidLabel,
    /// Metadata of over 8 KiB or with U+0000.
    InvalidMetadata,
    /// A text that is not a key id: twelve characters of `0-9A-Za-z`.
    InvalidKeyId,
    /// A text that is no place in a list: a key id, `-` and Unix seconds.
    InvalidCursor,
    /// A text that is not a digest: 64 hexadecimal digits.
    InvalidDigest,
    /// A text that is no [`RevocationReason`](crate::RevocationReason).
    InvalidReason,
    /// A text that is no moment of RFC 3339 from 1970 on.
    InvalidTimestamp,
    /// A header that cannot carry a key, because it already means something else.
    InvalidCarrier,
    /// A lifetime that ends before it begins, is longer than 100 years, begins or ends beyond the
    /// year 9999, or ends no later than the latest end for which the ring has denied a key.
    /// Milliseconds that are taken for seconds are likely to be refused as this kind.
    InvalidLifetime,
    /// A lifetime beyond the longest that the ring grants.
    LifetimeTooLong {
        /// The ring's longest lifetime.
        longest: Duration,
    },
    /// A grace period of under a second, beyond what a timestamp holds, or over by the latest end for
    /// which the ring has denied a key. For no grace period, use
    /// [`rotate_now`](crate::KeyRing::rotate_now).
    InvalidGrace,
    /// A grace period beyond the longest that the ring grants.
    GraceTooLong {
        /// The ring's longest grace period.
        longest: Duration,
    },
    /// An import that does not say when the key ends. There is no default: say the old expiry, a
    /// new one, or that it never ends.
    ExpiryNotSaid,
    /// An imported key that is said to have been minted in the future.
    InvalidIssuedAt,
    /// A scope that the ring does not grant. The message names those that it does.
    ScopeNotGrantable,
    /// One key more than the ring lets a subject hold.
    TooManyKeys {
        /// The ring's limit.
        limit: usize,
    },
    /// A key that was to be narrowed to nothing.
    EmptyScopes,
    /// A key that was to be narrowed to scopes that it does not have.
    WouldWiden,
    /// A key that was rotated already, or whose predecessor is still in its grace period, which
    /// [`rotate_now`](crate::KeyRing::rotate_now) cuts short.
    InGrace,
    /// A key whose lifetime is over.
    KeyExpired,
    /// A key whose grace period after a rotation is over.
    KeyRetired,
    /// A key that is revoked.
    KeyRevoked,
    /// A limit of a ring of under a second or of no key, or an interval of zero. The message names it.
    InvalidPolicy,
    /// A pepper of under 32 bytes, two peppers of one version, or an earlier pepper without a
    /// current one.
    InvalidPepper,
    /// The operating system's random generator failed, so there is no key.
    Generator,
    /// The ring does not accept imported keys, which
    /// [`accept_imports`](crate::KeyRingBuilder::accept_imports) changes, or not as a bare digest,
    /// because it has a pepper.
    ImportRefused,
    /// A plaintext to import that no request could present: empty, over 512 bytes, or holding
    /// anything but visible ASCII without commas.
    InvalidPlaintext,
    /// A plaintext to import of under 128 bits by length and alphabet.
    /// [`import_insecure_plaintext`](crate::KeyRing::import_insecure_plaintext) takes it.
    WeakPlaintext,
    /// A key of a batch that the store holds with other parts than the batch gives. The message names
    /// them.
    ImportDiffers,
    /// No such key in this realm.
    NotFound,
    /// Another writer changed the record first, more often than the ring retries.
    Conflict,
    /// An id or a digest that the store already holds.
    Duplicate,
    /// The store failed.
    Store,
}

/// The class of an [`Error`]: who has to act on it, with the HTTP status.
///
/// ```
/// use tower_api_key::{ErrorClass, ErrorKind};
///
/// assert_eq!(ErrorKind::KeyRevoked.class(), ErrorClass::State);
/// assert_eq!(ErrorClass::State.status(), 409);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The request is not well formed: the caller sends another one. 400.
    Input,
    /// The request is beyond the limits of the ring. 422.
    Policy,
    /// The key is in a state in which this cannot be done to it. 409.
    State,
    /// No such key. 404.
    NotFound,
    /// Another writer was first: the caller reads again, and may try again. 409.
    Conflict,
    /// The store or the operating system failed: the caller may try again later. 503.
    Store,
}

impl ErrorClass {
    /// The class as a `snake_case` word, for logs and metrics. The words are stable: a change of one is
    /// a breaking change.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Policy => "policy",
            Self::State => "state",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Store => "store",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl ErrorKind {
    /// The class, which tells the caller how to react.
    pub const fn class(self) -> ErrorClass {
        match self {
            Self::InvalidPrefix
            | Self::InvalidRealm
            | Self::InvalidScope
            | Self::EmptyRequirement
            | Self::InvalidCaveat
            | Self::InvalidSubject
            | Self::InvalidLabel
            | Self::InvalidMetadata
            | Self::InvalidKeyId
            | Self::InvalidDigest
            | Self::InvalidReason
            | Self::InvalidTimestamp
            | Self::InvalidCarrier
            | Self::InvalidCursor
            | Self::InvalidLifetime
            | Self::InvalidGrace
            | Self::EmptyScopes
            | Self::InvalidPolicy
            | Self::InvalidPepper
            | Self::InvalidPlaintext
            | Self::ExpiryNotSaid
            | Self::InvalidIssuedAt
            | Self::WeakPlaintext => ErrorClass::Input,
            Self::LifetimeTooLong { .. }
            | Self::GraceTooLong { .. }
            | Self::ScopeNotGrantable
            | Self::CaveatNotGrantable
            | Self::TooManyKeys { .. }
            | Self::ImportRefused => ErrorClass::Policy,
            Self::WouldWiden
            | Self::InGrace
            | Self::KeyExpired
            | Self::KeyRetired
            | Self::KeyRevoked => ErrorClass::State,
            Self::NotFound => ErrorClass::NotFound,
            Self::Conflict | Self::Duplicate | Self::ImportDiffers => ErrorClass::Conflict,
            Self::Generator | Self::Store => ErrorClass::Store,
        }
    }
}

impl Error {
    pub(crate) fn with_source(
        kind: ErrorKind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            limit: None,
            source: Some(source.into()),
        }
    }

    /// The message of this kind ends with the limit.
    pub(crate) fn with_limit(kind: ErrorKind, limit: &str) -> Self {
        Self {
            kind,
            limit: Some(limit.into()),
            source: None,
        }
    }

    /// The kind of the failure, to match on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn fmt_lifetime(&self, f: &mut fmt::Formatter<'_>, longest: Duration) -> fmt::Result {
        let longest = Span(longest);
        write!(f, "lifetime too long: this ring grants at most {longest}")?;
        match self.limit.as_deref() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// A value that is parsed already is converted without an error.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self {
            kind,
            limit: None,
            source: None,
        }
    }
}

impl fmt::Display for Error {
    #[expect(clippy::too_many_lines, reason = "a table")]
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
            ErrorKind::InvalidCaveat => {
                "invalid caveat: expected net= and networks such as 10.0.0.0/8,2001:db8::/32, or cnf=x5t#S256: and the SHA-256 thumbprint of a certificate in base64url, and at most 4,096 bytes for all caveats of a key"
            }
            ErrorKind::CaveatNotGrantable => {
                let kind = self.limit.as_deref().unwrap_or_default();
                return write!(
                    f,
                    "caveat not grantable: this ring does not grant {kind}; name it in grantable_caveats if every layer over the ring checks it"
                );
            }
            ErrorKind::EmptyRequirement => "empty requirement: name at least one scope",
            ErrorKind::InvalidSubject => {
                "invalid subject: use 1 to 256 bytes without control and format characters, and no = at the start"
            }
            ErrorKind::InvalidLabel => {
                "invalid label: use up to 256 bytes without control and format characters, and no = at the start"
            }
            ErrorKind::InvalidMetadata => {
                "invalid metadata: use up to 8 KiB of names and values without U+0000"
            }
            ErrorKind::InvalidKeyId => {
                "invalid key id: expected the 12 characters before the last _ of a key"
            }
            ErrorKind::InvalidCursor => {
                "invalid place in a list: expected the one that the page before named"
            }
            ErrorKind::InvalidDigest => "invalid digest: expected 64 hexadecimal digits",
            ErrorKind::InvalidReason => {
                "invalid revocation reason: expected unspecified, key_compromise, affiliation_changed, superseded, cessation_of_operation or privilege_withdrawn"
            }
            ErrorKind::InvalidTimestamp => {
                "invalid timestamp: expected RFC 3339, such as 2027-01-15T08:00:00Z, from 1970 on"
            }
            ErrorKind::InvalidCarrier => {
                "invalid carrier: this header already has a meaning of its own; use a header such as x-api-key, or the scheme Bearer of Authorization"
            }
            ErrorKind::InvalidLifetime => {
                "invalid lifetime: a key must end after it begins, within 100 years and the year 9999 (milliseconds taken for seconds?), and after every end that this ring has refused a key for"
            }
            ErrorKind::LifetimeTooLong { longest } => return self.fmt_lifetime(f, longest),
            ErrorKind::ExpiryNotSaid => {
                "no expiry: an imported key has no default lifetime; say its old expiry, a new one, or that it never expires"
            }
            ErrorKind::InvalidIssuedAt => {
                "invalid time of issue: an imported key cannot have been minted in the future"
            }
            ErrorKind::InvalidGrace => {
                "invalid grace: use at least one second, within 100 years and the year 9999 (milliseconds taken for seconds?), that ends after every end that this ring has refused a key for; to have no grace period, rotate at once"
            }
            ErrorKind::GraceTooLong { longest } => {
                return write!(
                    f,
                    "grace too long: this ring grants at most {}",
                    Span(longest)
                );
            }
            ErrorKind::ScopeNotGrantable => {
                let grantable = self.limit.as_deref().unwrap_or_default();
                return match grantable {
                    "" => f.write_str("scope not grantable: this ring grants none"),
                    _ => write!(f, "scope not grantable: this ring grants only {grantable}"),
                };
            }
            ErrorKind::TooManyKeys { limit } => {
                return write!(
                    f,
                    "too many keys: this ring lets a subject hold {limit}; revoke a lineage first"
                );
            }
            ErrorKind::EmptyScopes => "empty scopes: to take every scope away, revoke the key",
            ErrorKind::WouldWiden => {
                "narrowing cannot add scopes: regrant the key to change what it may do"
            }
            ErrorKind::InGrace => {
                "rotation in progress: a key of the lineage is in its grace period; use the newest key, and wait for the end of the grace period or rotate at once"
            }
            ErrorKind::KeyExpired => "the key has expired: issue a new one",
            ErrorKind::KeyRetired => "the key is retired: use the key that replaced it",
            ErrorKind::KeyRevoked => "the key is revoked: issue a new one",
            ErrorKind::InvalidPolicy => {
                let problem = self.limit.as_deref().unwrap_or_default();
                return write!(f, "invalid policy: {problem}");
            }
            ErrorKind::InvalidPepper => {
                "invalid pepper: use at least 32 random bytes, each version once, and earlier peppers only in addition to a current one"
            }
            ErrorKind::Generator => "the operating system's random generator failed",
            ErrorKind::ImportRefused => {
                "import refused: this ring does not accept imported keys, or it has a pepper and accepts plaintext alone, not digests"
            }
            ErrorKind::InvalidPlaintext => {
                "invalid plaintext: use 1 to 512 visible ASCII characters without commas"
            }
            ErrorKind::WeakPlaintext => {
                "weak plaintext: under 128 bits by length and alphabet; issue a new key instead"
            }
            ErrorKind::ImportDiffers => {
                let fields = self.limit.as_deref().unwrap_or_default();
                return write!(f, "the store holds this key with another {fields}");
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
