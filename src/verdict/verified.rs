//! The proof that a request was authenticated, or why there is none.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::access::realm::Realm;
use crate::access::scope::ScopeSet;
use crate::key::format::KeyId;
use crate::record::KeyRecord;
use crate::store::StoreError;
use crate::time::clock::Timestamp;
use crate::verdict::refusal::Identity;

/// The proof, in a request's extensions, that *this* request was authenticated.
///
/// Only the crate can make one. It is one reference-counted pointer to the record that the
/// verdict was about, and it gives no access to the digest.
///
/// ```
/// use tower_api_key::VerifiedKey;
///
/// fn greet<B>(request: &http::Request<B>) -> Option<String> {
///     let key = request.extensions().get::<VerifiedKey>()?;
///     Some(format!("{} may {}", key.subject(), key.scopes()))
/// }
/// ```
///
/// # In axum and tonic
///
/// With the feature `axum`, handlers take it as an argument. `VerifiedKey` is the proof that the
/// layer attached: where the layer is [optional](crate::ApiKeyLayer::optional) and no key came, it
/// refuses as the layer would have; where there is no layer, with 500. `Option<VerifiedKey>` is
/// `None` for a request that an optional layer let pass without a key.
///
/// In tonic it is in `tonic::Request::extensions()`.
#[derive(Clone)]
pub struct VerifiedKey {
    record: Arc<KeyRecord>,
    scheme: Scheme,
}

/// The authentication scheme that a challenge to the presenter of a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scheme {
    ApiKey,
    Bearer,
}

impl Scheme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "ApiKey",
            Self::Bearer => "Bearer",
        }
    }
}

impl VerifiedKey {
    /// The one place where a verdict becomes a proof.
    #[inline]
    pub(crate) fn new(record: Arc<KeyRecord>) -> Self {
        Self {
            record,
            scheme: Scheme::ApiKey,
        }
    }

    #[inline]
    pub(crate) fn presented_as(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    pub(crate) fn record(&self) -> &KeyRecord {
        &self.record
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The public id of the key.
    pub fn id(&self) -> KeyId {
        self.record.id()
    }

    /// Whose key it is.
    pub fn subject(&self) -> &str {
        self.record.subject()
    }

    /// What it may do.
    #[inline]
    pub fn scopes(&self) -> &ScopeSet {
        self.record.scopes()
    }

    /// The realm in which it was verified.
    pub fn realm(&self) -> &Realm {
        self.record.realm()
    }

    /// The id of the first key in its chain of rotations and regrants.
    pub fn lineage(&self) -> KeyId {
        self.record.lineage()
    }

    /// When the key stops being valid by itself: the earlier of its expiry and the end of its
    /// grace; `None` if it never expires.
    pub fn valid_until(&self) -> Option<Timestamp> {
        Some(self.record.valid_until()).filter(|&end| end != Timestamp::MAX)
    }

    /// A name for people.
    pub fn label(&self) -> Option<&str> {
        self.record.label()
    }

    /// What the key carries for the application.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.record.metadata()
    }
}

impl fmt::Debug for VerifiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedKey")
            .field("id", &self.id())
            .field("realm", self.realm())
            .field("subject", &self.subject())
            .field("scopes", self.scopes())
            .finish_non_exhaustive()
    }
}

/// Why presented bytes were not accepted.
///
/// Its `Display` is fit for the presenter; the kind, the id and the source are for logs and audit.
/// The [source](std::error::Error::source) of [`StoreUnavailable`](VerifyErrorKind::StoreUnavailable)
/// is the [`StoreError`], whose own sources say what is wrong. An invalid key has no source.
#[derive(Clone)]
pub struct VerifyError {
    kind: VerifyErrorKind,
    key: RefusedKey,
    source: Option<Arc<StoreError>>,
}

/// Which key was refused, as far as that is known.
#[derive(Clone)]
enum RefusedKey {
    Nameless,
    /// The presenter says so.
    Named(KeyId),
    Recorded(Arc<KeyRecord>),
}

/// What kind of failure a [`VerifyError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyErrorKind {
    /// The bytes are no valid key of this ring, for a cause that must not reach the presenter.
    Invalid(InvalidCause),
    /// The store failed, panicked or did not answer in time, or too many look-ups wait for it, so
    /// there is no verdict. The error's source says which.
    StoreUnavailable,
}

impl VerifyError {
    pub(crate) const fn invalid(cause: InvalidCause) -> Self {
        Self {
            kind: VerifyErrorKind::Invalid(cause),
            key: RefusedKey::Nameless,
            source: None,
        }
    }

    #[cold]
    pub(crate) fn store_unavailable(source: StoreError) -> Self {
        Self {
            kind: VerifyErrorKind::StoreUnavailable,
            key: RefusedKey::Nameless,
            source: Some(Arc::new(source)),
        }
    }

    /// Adds the record that was judged.
    pub(crate) fn of(mut self, record: Arc<KeyRecord>) -> Self {
        self.key = RefusedKey::Recorded(record);
        self
    }

    /// Adds the id that the presented key names, where no record said it.
    pub(crate) fn claimed_by(mut self, key_id: impl FnOnce() -> Option<KeyId>) -> Self {
        if matches!(self.key, RefusedKey::Nameless)
            && let Some(key_id) = key_id()
        {
            self.key = RefusedKey::Named(key_id);
        }
        self
    }

    /// What went wrong, to match on.
    pub fn kind(&self) -> VerifyErrorKind {
        self.kind
    }

    /// The public id of the key, if the ring has its record: the digest of the presented bytes
    /// has proven it.
    pub fn key_id(&self) -> Option<KeyId> {
        self.identity().proven()
    }

    /// The public id that the presented bytes name, if nothing has proven it: of an unknown key, and
    /// of one that the store gave no verdict on. Ids are public, so the presenter may have made it
    /// up, or name another's key: never revoke by it alone.
    pub fn claimed_key_id(&self) -> Option<KeyId> {
        self.identity().claimed()
    }

    pub(crate) fn identity(&self) -> Identity {
        match &self.key {
            RefusedKey::Nameless => Identity::Unknown,
            RefusedKey::Named(id) => Identity::Claimed(*id),
            RefusedKey::Recorded(record) => Identity::Proven(record.id()),
        }
    }

    /// What the store said, if it gave no verdict.
    pub(crate) fn failure(&self) -> Option<&Arc<StoreError>> {
        self.source.as_ref()
    }

    pub(crate) fn record(&self) -> Option<&KeyRecord> {
        match &self.key {
            RefusedKey::Recorded(record) => Some(record),
            RefusedKey::Nameless | RefusedKey::Named(_) => None,
        }
    }
}

impl PartialEq for VerifyError {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.identity() == other.identity()
    }
}

impl Eq for VerifyError {}

impl fmt::Debug for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyError")
            .field("kind", &self.kind)
            .field("key", &self.identity())
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            VerifyErrorKind::Invalid(_) => "invalid API key",
            VerifyErrorKind::StoreUnavailable => "key store unavailable",
        })
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref();
        source.map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// Why a key is invalid: for logs and audit, never for the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidCause {
    /// It is not shaped like a key of this ring.
    Malformed,
    /// No record of this realm has its digest.
    Unknown,
    /// The store answered with a record of another realm: it broke its contract. A key of another
    /// realm is [`Unknown`](Self::Unknown).
    OtherRealm,
    /// Its not-before lies ahead.
    NotYetValid,
    /// Its lifetime is over.
    Expired,
    /// A newer key took its place, by a rotation whose grace is over or by a regrant: whoever
    /// presents it has kept or stolen an old secret (RFC 9700 §4.14.2).
    Reuse,
    /// It was revoked.
    Revoked,
}

impl InvalidCause {
    /// The cause as a `snake_case` word, for logs and metrics. The words are stable: a change of one
    /// is a breaking change.
    ///
    /// ```
    /// use tower_api_key::InvalidCause;
    ///
    /// assert_eq!(InvalidCause::NotYetValid.as_str(), "not_yet_valid");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::OtherRealm => "other_realm",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Reuse => "reuse",
            Self::Revoked => "revoked",
        }
    }
}
