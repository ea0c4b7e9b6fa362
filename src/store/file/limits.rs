//! What a keys file may grant.

use std::time::Duration;

use super::entry::Entry;
use super::failure::Problem;
use crate::clock::Timestamp;
use crate::scope::ScopeSet;
use crate::span::Span;

/// The limits that a store was opened with; none by default.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    pub(super) longest_lifetime: Option<Duration>,
    pub(super) grantable: Option<ScopeSet>,
}

impl Limits {
    /// Refuses the first entry that is beyond the limits.
    pub(super) fn check(&self, entries: &[Entry], now: Timestamp) -> Result<(), Problem> {
        for Entry { line, record } in entries {
            if let Some(grantable) = &self.grantable
                && !record.scopes().is_subset(grantable)
            {
                let text = format!("scopes: this store grants {grantable} alone");
                return Err(Problem::new(*line, text));
            }
            if let Some(longest) = self.longest_lifetime {
                // By a clock that fails nothing can be said to be short enough.
                let last = now.checked_add(longest).filter(|_| now != Timestamp::MAX);
                let fits = |end| last.is_some_and(|last| end <= last);
                if !record.expires_at().is_some_and(fits) {
                    let text = format!(
                        "expires_at: the longest lifetime of this store is {} from now",
                        Span(longest)
                    );
                    return Err(Problem::new(*line, text));
                }
            }
        }
        Ok(())
    }
}
