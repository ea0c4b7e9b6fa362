//! The proof that a request was authenticated.

use std::fmt;
#[cfg(feature = "axum")]
use std::sync::Arc;

use super::Scheme;
use crate::access::label::Label;
use crate::access::metadata::Metadata;
use crate::access::realm::Realm;
use crate::access::requirement::Requirement;
use crate::access::scope_set::ScopeSet;
use crate::access::subject::Subject;
use crate::key::KeyId;
use crate::record::{Held, KeyRecord};
use crate::time::Timestamp;

/// The proof, in a request's extensions, that *this* request was authenticated.
///
/// Only the crate can make one. It is one reference-counted pointer to the record that the
/// verdict was about, and it gives no access to the digest.
///
/// ```
/// use tower_api_key::{Rejection, VerifiedKey};
///
/// fn greet<B>(request: &http::Request<B>) -> Result<String, Rejection> {
///     let key = VerifiedKey::of(request.extensions())?;
///     Ok(format!("{} may {}", key.subject(), key.scopes()))
/// }
/// ```
///
/// # In axum and tonic
///
/// With the feature `axum`, handlers take it as an argument. `VerifiedKey` is the proof that the
/// layer attached: if the layer is [optional](crate::ApiKeyLayer::optional) and no key came, it refuses
/// as the layer would have. If there is no layer, it refuses with 500. `Option<VerifiedKey>` is `None`
/// for a request that an optional layer let pass without a key.
///
/// In tonic it is in the extensions of the request: `VerifiedKey::of(request.extensions())`. A rejection
/// becomes [a status](crate::Rejection::grpc_metadata) in three lines.
#[derive(Clone)]
pub struct VerifiedKey {
    record: Held,
    scheme: Scheme,
}

impl VerifiedKey {
    /// The only function that turns a verdict into a proof.
    #[inline]
    pub(crate) fn new(record: Held) -> Self {
        Self {
            record,
            scheme: Scheme::API_KEY,
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

    /// Notes that the key has met a requirement, if its ring tracks that.
    #[inline]
    pub(crate) fn exercise(&self, requirement: &Requirement) {
        if let Some(notes) = self.record.notes() {
            notes.exercise(requirement, self.scopes());
        }
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The public id of the key.
    pub fn id(&self) -> KeyId {
        self.record.id()
    }

    /// The same, for those that read it.
    #[cfg(feature = "tracing")]
    pub(crate) fn id_text(&self) -> &str {
        self.record.id_text()
    }

    /// Whose key it is.
    pub fn subject(&self) -> &Subject {
        self.record.subject()
    }

    /// The scopes of the key: those that it was issued with, less those that its [owner](crate::Owners) does not have
    /// now.
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

    /// When the key stops being valid by itself: the earlier of its expiry and the end of its grace
    /// period; `None` if it never expires.
    pub fn valid_until(&self) -> Option<Timestamp> {
        Some(self.record.valid_until()).filter(|&end| end != Timestamp::MAX)
    }

    /// What the application knows of the owner of the key, if the ring's [`Owners`](crate::Owners) added something
    /// of this type. It came with this verdict, so it is as new as the key's scopes.
    pub fn principal<P: 'static>(&self) -> Option<&P> {
        self.record.principal()?.downcast_ref()
    }

    #[cfg(feature = "axum")]
    pub(crate) fn shared_principal<P: Send + Sync + 'static>(&self) -> Option<Arc<P>> {
        Arc::clone(self.record.principal()?).downcast().ok()
    }

    /// A name for people.
    pub fn label(&self) -> Option<&Label> {
        self.record.label()
    }

    /// The application's own data about the key.
    pub fn metadata(&self) -> &Metadata {
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
