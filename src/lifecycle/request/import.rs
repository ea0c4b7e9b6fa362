//! A request for a key that was minted elsewhere.

use crate::lifecycle::grant::Grant;
use crate::time::Timestamp;

/// A request of trusted code for a key that was minted elsewhere.
///
/// It is a [`Grant`], which must say when the key ends: [`expires_at`](Grant::expires_at) keeps the
/// old expiry, [`expires_in`](Grant::expires_in) sets one from now, and
/// [`never_expires`](Grant::never_expires) says that there is none. An import has no default
/// lifetime: it would end an integration on an arbitrary day. An expiry beyond the ring's
/// [`max_lifetime`](crate::KeyRingBuilder::max_lifetime), which counts from the import, is refused and
/// never shortened. Import with a ring of an
/// [`unlimited_lifetime`](crate::KeyRingBuilder::unlimited_lifetime) over the same store to keep longer
/// lives: the ring that serves the key does not judge its lifetime again.
///
/// A `Grant` converts into an import that begins now.
///
/// ```
/// use tower_api_key::{Grant, Import, Timestamp};
///
/// let grant = Grant::new("alice").expires_at(Timestamp::from_rfc3339("2031-01-01T00:00:00Z")?);
/// let import = Import::new(grant).issued_at(Timestamp::from_rfc3339("2024-05-06T07:08:09Z")?);
/// # let _ = import;
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Import {
    pub(crate) grant: Grant,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) weak: bool,
}

impl Import {
    /// An import of a key with the authority of the grant.
    pub fn new(grant: Grant) -> Self {
        Self {
            grant,
            issued_at: None,
            weak: false,
        }
    }

    /// Keeps the moment at which the key was minted, which must not lie ahead. Default: the moment of
    /// the import.
    #[must_use]
    pub fn issued_at(mut self, issued_at: Timestamp) -> Self {
        self.issued_at = Some(issued_at);
        self
    }

    /// Takes a plaintext of under 128 bits by length and alphabet. Anyone who can guess it, or has its
    /// digest, has the key.
    #[must_use]
    pub fn insecure_accept_weak(mut self) -> Self {
        self.weak = true;
        self
    }
}

impl From<Grant> for Import {
    fn from(grant: Grant) -> Self {
        Self::new(grant)
    }
}
