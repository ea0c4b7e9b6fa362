//! The realms that a replica holds.

use std::sync::Arc;

use crate::access::realm::Realm;

/// The realms whose records a replica holds: all of its database, or those that are named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Realms(Option<Arc<[Realm]>>);

impl Realms {
    /// All realms of the database.
    pub const fn all() -> Self {
        Self(None)
    }

    /// These realms alone.
    pub fn only(realms: impl IntoIterator<Item = Realm>) -> Self {
        Self(Some(realms.into_iter().collect()))
    }

    /// Whether it holds this realm.
    pub fn contains(&self, realm: &Realm) -> bool {
        self.0.as_ref().is_none_or(|realms| realms.contains(realm))
    }

    /// The realms by name. `None`: all of them.
    pub fn named(&self) -> Option<&[Realm]> {
        self.0.as_deref()
    }
}
