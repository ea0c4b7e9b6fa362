//! The kinds of an error.

use std::time::Duration;

use super::ErrorClass;

/// The kind of an [`Error`](crate::Error).
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
    /// A route that no request can match, that clashes with another, or whose method or scopes are none. The
    /// message names it.
    InvalidRoute,
    /// An OpenAPI document that does not fit the routes of a layer. The message names the place.
    InvalidDocument,
    /// A subject that is empty, longer than 256 bytes, starts with `=`, or holds control or format
    /// characters.
    InvalidSubject,
    /// An [`Actor`](crate::Actor) that is empty, longer than 256 bytes, starts with `=`, holds control or format
    /// characters, or a key.
    InvalidActor,
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
    /// A header or a scheme that cannot carry a key, because it means something else, or is no token.
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
    /// The application refuses the [owner](crate::Owners) of the key.
    OwnerRefused,
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
    KeyReplaced,
    /// A key that is revoked.
    KeyRevoked,
    /// A limit of a ring of under a second or of no key, or an interval of zero. The message names it.
    InvalidPolicy,
    /// A pepper of under 32 bytes, two peppers of one version, or an earlier pepper without a
    /// current one.
    InvalidPepper,
    /// The operating system's random generator failed, so there is no key.
    Generator,
    /// The ring's clock failed, and reads [`Timestamp::MAX`](crate::Timestamp::MAX), by which every key is over.
    Clock,
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
    /// A key to import that the store holds with other parts than the import gives. The message names
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

impl ErrorKind {
    /// The class, which tells the caller how to react.
    pub const fn class(self) -> ErrorClass {
        match self {
            Self::InvalidPrefix
            | Self::InvalidRealm
            | Self::InvalidScope
            | Self::EmptyRequirement
            | Self::InvalidRoute
            | Self::InvalidDocument
            | Self::InvalidCaveat
            | Self::InvalidSubject
            | Self::InvalidActor
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
            | Self::OwnerRefused
            | Self::ImportRefused => ErrorClass::Policy,
            Self::WouldWiden
            | Self::InGrace
            | Self::KeyExpired
            | Self::KeyReplaced
            | Self::KeyRevoked => ErrorClass::State,
            Self::NotFound => ErrorClass::NotFound,
            Self::Conflict | Self::Duplicate | Self::ImportDiffers => ErrorClass::Conflict,
            Self::Generator | Self::Clock | Self::Store => ErrorClass::Store,
        }
    }
}
