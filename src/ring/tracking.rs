//! The part of a ring's configuration that is about the uses of keys, and how often they are written.

use std::time::Duration;

#[cfg(doc)]
use super::KeyRing;
use super::KeyRingBuilder;

impl KeyRingBuilder {
    /// Collects when each key was last used, for [`KeyRing::upkeep`] to write to the store. A use
    /// is an accepted verification, whatever its scopes allow. A crash loses at most the uses
    /// since the last upkeep.
    pub fn track_last_use(mut self) -> Self {
        self.tracks_last_use = true;
        self
    }

    /// Collects which scopes of each key requests have needed, for [`KeyRing::upkeep`] to write to the store. A
    /// [report](KeyRing::report) then names the scopes that a key never exercised, which can be taken away with
    /// [`narrow`](KeyRing::narrow).
    ///
    /// A key exercises a scope if it meets a [`Requirement`](crate::Requirement) with it: of an
    /// [`ApiKeyLayer`](crate::ApiKeyLayer), a [`RouteTable`](crate::RouteTable), a
    /// [`RequireScopeLayer`](crate::RequireScopeLayer), or of [`VerifiedKey::require`](crate::VerifiedKey::require). Of
    /// `any`, each part that the key meets counts. Code that reads [`VerifiedKey::scopes`](crate::VerifiedKey::scopes) and
    /// decides by itself is not seen: a scope that only such code asks for is never exercised.
    ///
    /// Every service of the realm has to track them, because a report cannot tell a scope that was never needed from
    /// one that was needed elsewhere. The times are those of the use, as of the last upkeep. A crash loses at most what was
    /// noted since.
    ///
    /// A request of a key whose scopes are marked already writes nothing. The default, off, costs nothing.
    pub fn track_scope_use(mut self) -> Self {
        self.noted.scopes = true;
        self
    }

    /// Collects from which [networks](crate::ClientNetwork) each key is used, for [`KeyRing::upkeep`] to write to the
    /// store. A [report](KeyRing::report) then names networks from which a key was never used before.
    ///
    /// Every layer over this ring needs a source of [`client_address`](crate::ApiKeyLayer::client_address), and does not
    /// build without one. Other callers pass the address to [`verify_with`](KeyRing::verify_with). A request whose
    /// address is not certain has no network.
    ///
    /// The store keeps at most [`NetworkUse::MOST`](crate::store::NetworkUse::MOST) networks of a key, those that it was
    /// used from most recently, each with its first and its last use. They may be personal data. They are removed with the
    /// record, at the end of its [retention](Self::retention), and are in no event, log or metric.
    pub fn track_networks(mut self) -> Self {
        self.noted.networks = true;
        self
    }

    /// Sets how often [`KeyRing::upkeep`] writes last uses and what keys were used for, and looks for keys that expire soon.
    /// Default: a minute.
    pub fn upkeep_interval(mut self, interval: Duration) -> Self {
        self.upkeep_interval = interval;
        self
    }
}
