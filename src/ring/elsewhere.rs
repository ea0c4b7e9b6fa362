//! The part of a ring's configuration that is about what others keep: keys that were minted elsewhere, and owners.

use super::builder::{Imports, KeyRingBuilder};
use crate::ring::owners::{AskedOwners, Owners};
use crate::ring::unknown_keys::{Asked, UnknownKeys};

impl KeyRingBuilder {
    /// Accepts keys that were minted elsewhere.
    ///
    /// Such keys have no shape of their own, so everything of up to 512 visible ASCII characters
    /// is hashed and looked up, and a leaked one is not recognised in a URL.
    pub fn accept_imports(mut self) -> Self {
        self.imports = self.imports.max(Imports::Accepted);
        self
    }

    /// Accepts tokens of Laravel Sanctum, which clients present as `id|token`, by the hash that
    /// Sanctum keeps: see [`OldKey::sanctum`](crate::OldKey::sanctum). Accepts imports too.
    ///
    /// Sanctum keeps the SHA-256 of the part after the `|`. This ring keeps a digest of that hash
    /// together with the id, so that every byte of the id counts, as of any other key. A presented
    /// text of this shape that is not known as it is costs one more look-up.
    pub fn accept_sanctum_tokens(mut self) -> Self {
        self.imports = Imports::AndSanctum;
        self
    }

    /// Asks this for each key that the store does not know, once, and imports the answer: for old keys
    /// of which only a slow or a foreign hash is left. Accepts imports too. See [`UnknownKeys`] for the
    /// questions and their limits, and [the guide](crate::guide::moving).
    ///
    /// A [purge](crate::KeyRing::purge) of such a ring removes nothing: a key that was moved, revoked and
    /// then forgotten would be asked for again.
    pub fn unknown_keys(mut self, keys: impl UnknownKeys) -> Self {
        self.imports = self.imports.max(Imports::Accepted);
        self.unknown_keys = Some(Asked(Box::new(keys)));
        self
    }

    /// Lets this many [unknown keys](Self::unknown_keys) be asked for at a time. Default: 4. It
    /// bounds the threads that a slow hash can hold, whatever strangers present. One more is answered
    /// at once with 503. Each counts among the
    /// [pending look-ups](Self::max_pending_lookups) too.
    pub fn max_pending_unknown_keys(mut self, most: usize) -> Self {
        self.max_pending_unknown_keys = most;
        self
    }

    /// Asks this for what the owner of a key may do now, at each verdict: the key has at most the scopes that the
    /// owner has at that moment, or is refused. See [`Owners`].
    pub fn owners(mut self, owners: impl Owners) -> Self {
        self.owners = Some(AskedOwners::new(owners));
        self
    }
}
