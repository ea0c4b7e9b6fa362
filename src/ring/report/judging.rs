//! When a key has which findings.

use super::finding::Finding;
use super::report_query::ReportQuery;
use crate::record::KeyRecord;
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
