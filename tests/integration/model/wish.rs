//! The grant for a wish to a ring.

use tower_api_key::{Caveats, Grant, ScopeSet, Timestamp};

use super::operations::{Lifetime, Wish};
use super::rings::RINGS;

impl Wish {
    pub(super) fn start(&self, now: u64) -> Option<u64> {
        self.not_before.map(|offset| match offset {
            i64::MAX => u64::MAX,
            _ => now.saturating_add_signed(offset),
        })
    }

    pub(super) fn scopes_for(&self, ring: usize) -> ScopeSet {
        self.scopes.scopes(RINGS[ring].grantable().as_ref())
    }

    pub(super) fn caveats_for(&self, ring: usize) -> Caveats {
        self.caveats.caveats(ring)
    }

    pub(super) fn grant(&self, ring: usize, now: u64) -> Grant {
        let mut grant = Grant::new(self.subject)
            .scopes(self.scopes_for(ring))
            .caveats(self.caveats_for(ring))
            .label(format!("for {}", self.subject.len()));
        if let Some(start) = self.start(now) {
            grant = grant.not_before(Timestamp::from_unix(start));
        }
        match self.lifetime {
            Lifetime::Default => grant,
            Lifetime::For(lifetime) => grant.expires_in(lifetime),
            Lifetime::Until(offset) => {
                grant.expires_at(Timestamp::from_unix(now.saturating_add_signed(offset)))
            }
            Lifetime::UntilMax => grant.expires_at(Timestamp::MAX),
            Lifetime::Never => grant.never_expires(),
        }
    }
}
