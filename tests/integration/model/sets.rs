//! The scopes and caveats of an operation.

use tower_api_key::{Caveats, Narrowing, ScopeSet};

use super::caveats::CAVEATS;
use super::rings::RINGS;

const SCOPES: [&str; 4] = ["cart", "read", "write", "admin"];

/// Some of the scopes or of the caveats, a bit for each.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    /// The allowed part of it.
    Within(u8),
    Exactly(u8),
}

impl Choice {
    fn of(
        self,
        names: [&'static str; 4],
        is_allowed: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = &'static str> {
        let (Self::Within(bits) | Self::Exactly(bits)) = self;
        let chosen = (0..).zip(names).filter(move |(bit, name)| {
            let is_in = matches!(self, Self::Exactly(_)) || is_allowed(name);
            bits >> bit & 1 == 1 && is_in
        });
        chosen.map(|(_, name)| name)
    }

    pub(super) fn scopes(self, allowed: Option<&ScopeSet>) -> ScopeSet {
        let is_allowed = |scope: &str| allowed.is_none_or(|allowed| allowed.contains(scope));
        ScopeSet::new(self.of(SCOPES, is_allowed)).unwrap()
    }

    pub(super) fn caveats(self, ring: usize) -> Caveats {
        Caveats::new(self.of(CAVEATS, |caveat| RINGS[ring].grants_caveat(caveat))).unwrap()
    }
}

/// The authority that a narrowing takes from a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// The scopes that the key keeps. If there are none, it keeps all.
    pub(super) scopes: Option<Choice>,
    /// The caveats that the key gets.
    pub(super) caveats: Choice,
}

impl Cut {
    /// The cut of a key with these scopes, by this ring.
    pub(super) fn of(self, held: Option<&ScopeSet>, ring: usize) -> Taken {
        Taken {
            scopes: self.scopes.map(|scopes| scopes.scopes(held)),
            caveats: self.caveats.caveats(ring),
        }
    }
}

/// A cut, in sets.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken {
    pub(super) scopes: Option<ScopeSet>,
    pub(super) caveats: Caveats,
}

impl Taken {
    pub(super) fn narrowing(&self) -> Narrowing {
        match &self.scopes {
            Some(scopes) if self.caveats.is_empty() => scopes.into(),
            Some(scopes) => Narrowing::new()
                .to_scopes(scopes.clone())
                .with_caveats(self.caveats.clone()),
            None => Narrowing::new().with_caveats(self.caveats.clone()),
        }
    }
}
