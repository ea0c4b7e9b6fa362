//! The crate's error: an opaque struct with a kind to match on.

mod class;
mod kind;
pub(crate) mod store;
pub(crate) mod text_type;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

pub use class::ErrorClass;
pub use kind::ErrorKind;

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
            ErrorKind::InvalidRoute => {
                let problem = self.limit.as_deref().unwrap_or_default();
                return write!(f, "invalid route {problem}");
            }
            ErrorKind::InvalidDocument => {
                let problem = self.limit.as_deref().unwrap_or("it is not JSON");
                return write!(f, "invalid OpenAPI document: {problem}");
            }
            ErrorKind::EmptyRequirement => "empty requirement: name at least one scope",
            ErrorKind::InvalidSubject => {
                "invalid subject: use 1 to 256 bytes without control and format characters, and no = at the start"
            }
            ErrorKind::InvalidActor => {
                "invalid actor: use 1 to 256 bytes without control and format characters, no = at the start, and no key"
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
                "invalid place in a list: expected the one that the previous page returned"
            }
            ErrorKind::InvalidDigest => "invalid digest: expected 64 hexadecimal digits",
            ErrorKind::InvalidReason => {
                "invalid revocation reason: expected unspecified, key_compromise, affiliation_changed, superseded, cessation_of_operation or privilege_withdrawn"
            }
            ErrorKind::InvalidTimestamp => {
                "invalid timestamp: expected RFC 3339, such as 2027-01-15T08:00:00Z, from 1970 on"
            }
            ErrorKind::InvalidCarrier => {
                "invalid carrier: this header or scheme has a meaning of its own, or its name is no token; use a header such as x-api-key, or the scheme Bearer of Authorization"
            }
            ErrorKind::InvalidLifetime => {
                "invalid lifetime: a key must end after it begins, within 100 years and the year \
                 9999 (milliseconds taken for seconds?), and later than every expiry that this \
                 ring has already enforced"
            }
            ErrorKind::LifetimeTooLong { longest } => return self.fmt_lifetime(f, longest),
            ErrorKind::ExpiryNotSaid => {
                "no expiry: an imported key has no default lifetime; set its old expiry or a new \
                 one, or that it never expires"
            }
            ErrorKind::InvalidIssuedAt => {
                "invalid time of issue: an imported key cannot have been minted in the future"
            }
            ErrorKind::InvalidGrace => {
                "invalid grace period: use at least one second, within 100 years and the year \
                 9999 (milliseconds taken for seconds?), that ends later than every expiry that \
                 this ring has already enforced; to have no grace period, use rotate_now"
            }
            ErrorKind::GraceTooLong { longest } => {
                return write!(
                    f,
                    "grace period too long: this ring grants at most {}",
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
            ErrorKind::OwnerRefused => "owner refused: the application refuses the keys of this subject now",
            ErrorKind::EmptyScopes => "empty scopes: to take every scope away, revoke the key",
            ErrorKind::WouldWiden => {
                "narrowing cannot add scopes: regrant the key to change what it may do"
            }
            ErrorKind::InGrace => {
                "rotation in progress: a key of the lineage is in its grace period; use the newest key, and wait for the end of the grace period or use rotate_now"
            }
            ErrorKind::KeyExpired => "the key has expired: issue a new one",
            ErrorKind::KeyReplaced => "the key was replaced: use the newest key of its lineage",
            ErrorKind::KeyRevoked => "the key is revoked: issue a new one",
            ErrorKind::InvalidPolicy => {
                let problem = self.limit.as_deref().unwrap_or_default();
                return write!(f, "invalid policy: {problem}");
            }
            ErrorKind::InvalidPepper => {
                "invalid pepper: use at least 32 random bytes, each version once, and earlier peppers only in addition to a current one"
            }
            ErrorKind::Generator => "the operating system's random generator failed",
            ErrorKind::Clock => "the clock failed: it reads the end of time",
            ErrorKind::ImportRefused => {
                "import refused: this ring does not accept imported keys, or it has a pepper and \
                 accepts only plaintext, not digests"
            }
            ErrorKind::InvalidPlaintext => {
                "invalid plaintext: use 1 to 512 visible ASCII characters without commas, and no \
                 mistyped key of this ring"
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
