//! When a key has which findings.

use super::finding::Finding;
use super::report_query::ReportQuery;
use crate::record::KeyRecord;
use crate::store::{KeyUsage, UsedNetwork};
use crate::time::Timestamp;

/// What a record and its last use say by themselves.
pub(super) enum Found {
    /// All findings.
    All(Vec<Finding>),
    /// A key in its grace period was used. Its lineage says whether that was before the rotation.
    UsedInGrace { last_used: Timestamp },
}

/// The findings on a key, whether the query asks for them or not.
pub(super) fn findings(
    record: &KeyRecord,
    last_used: Option<Timestamp>,
    knows_uses: bool,
    query: &ReportQuery,
    now: Timestamp,
) -> Found {
    if record.valid_until() <= now {
        return Found::All(Vec::new());
    }
    if record.grace_ends_at().is_some() {
        // It was replaced, and ends by itself. All that matters is whether its holder knows.
        return match last_used {
            Some(last_used) => Found::UsedInGrace { last_used },
            None => Found::All(Vec::new()),
        };
    }
    let is_past = |since: Timestamp, time| since.checked_add(time).is_some_and(|end| end <= now);
    let valid_since = record.issued_at().max(record.not_before());
    let mut found = Vec::new();
    match last_used {
        Some(last_used) if is_past(last_used, query.unused_for) => {
            found.push(Finding::Unused { last_used });
        }
        None if knows_uses && is_past(valid_since, query.never_used_for) => {
            found.push(Finding::NeverUsed { since: valid_since });
        }
        _ => {}
    }
    match record.expires_at() {
        None => found.push(Finding::NoExpiry),
        Some(at)
            if now
                .checked_add(query.expiring_within)
                .is_none_or(|by| at <= by) =>
        {
            found.push(Finding::Expiring { at });
        }
        Some(_) => {}
    }
    Found::All(found)
}

/// The findings on what a key was used for.
pub(super) fn findings_on_usage(
    record: &KeyRecord,
    usage: &KeyUsage,
    query: &ReportQuery,
    now: Timestamp,
) -> Vec<Finding> {
    let mut found = Vec::new();
    if record.valid_until() <= now {
        return found;
    }
    // A key that was replaced ends by itself, with its scopes.
    if record.grace_ends_at().is_none() {
        found.extend(never_exercised(record, usage, query));
    }
    found.extend(new_networks(usage, query, now));
    found
}

/// In use for long enough, and not for these scopes.
fn never_exercised(record: &KeyRecord, usage: &KeyUsage, query: &ReportQuery) -> Option<Finding> {
    let used = usage.scopes()?;
    let since = used.first();
    let is_long = since.checked_add(query.never_exercised_for)? <= used.last();
    let scopes = record.scopes().difference(used.scopes());
    (is_long && !scopes.is_empty()).then_some(Finding::ScopesNeverExercised { scopes, since })
}

/// The networks that are new, of a key that is not.
fn new_networks(usage: &KeyUsage, query: &ReportQuery, now: Timestamp) -> Vec<Finding> {
    let is_before = |at: Timestamp| {
        let end = at.checked_add(query.new_network_within);
        end.is_some_and(|end| end <= now)
    };
    let Some(used) = usage.networks().filter(|used| is_before(used.first())) else {
        return Vec::new();
    };
    let new = used.networks().iter().filter(|it| !is_before(it.first));
    let finding = |it: &UsedNetwork| Finding::NewNetwork {
        network: it.network,
        first_used: it.first,
    };
    new.map(finding).collect()
}
