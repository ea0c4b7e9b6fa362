//! The limits of a keys file.

use std::collections::BTreeMap;
use std::time::Duration;

use tower_api_key::{Realm, ScopeSet, Span, Timestamp};

use super::entry::Entry;
use super::failure::Problem;

/// The limits that a store was opened with. The default is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    pub(super) max_lifetime: Option<Duration>,
    pub(super) grantable: Option<ScopeSet>,
    pub(super) max_keys_per_subject: Option<usize>,
}

impl Limits {
    /// Refuses the first entry that is beyond the limits.
    pub(super) fn check(&self, entries: &[Entry], now: Timestamp) -> Result<(), Problem> {
        let mut keys: BTreeMap<(&Realm, &str), usize> = BTreeMap::new();
        for Entry { line, record } in entries {
            if let Some(grantable) = &self.grantable
                && !record.scopes().is_subset(grantable)
            {
                let text = format!("scopes: this store grants only {grantable}");
                return Err(Problem::new(*line, text));
            }
            if let Some(longest) = self.max_lifetime {
                // If the clock fails, no lifetime is known to be short enough.
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
            if let Some(limit) = self.max_keys_per_subject
                && record.expires_at().is_none_or(|end| now < end)
            {
                let held = keys
                    .entry((record.realm(), record.subject().as_str()))
                    .or_default();
                *held += 1;
                if *held > limit {
                    let text = format!("subject: this store lets a subject hold {limit} keys");
                    return Err(Problem::new(*line, text));
                }
            }
        }
        Ok(())
    }
}
