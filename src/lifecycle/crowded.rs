//! A new key in the place of the oldest ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, KeyLimit, Minted, Policy, Reading, Write, issue};
use crate::error::Error;
use crate::key::KeyId;
use crate::lifecycle::grant::Grant;
use crate::record::{KeyRecord, RevocationReason};

/// A new key of a new lineage, and the end of as many of the oldest ones of its subject as the limit has no room
/// for, in one change.
///
/// The age of a lineage is that of its newest key: one that is rotated is in use.
pub(crate) fn issue_replacing_oldest(
    minted: Minted,
    grant: Grant,
    held: &[Arc<KeyRecord>],
    policy: &Policy,
    at: Reading,
) -> Result<(Arc<KeyRecord>, Change), Error> {
    let (record, mut change) = issue(minted, grant, policy, at)?;
    let Some(most) = policy.max_keys_per_subject else {
        return Ok((record, change));
    };
    let limit = KeyLimit::new(record.realm(), record.subject(), most, at.now);
    let mut lineages: BTreeMap<KeyId, Vec<&KeyRecord>> = BTreeMap::new();
    for key in held.iter().filter(|key| limit.counts(key)) {
        lineages.entry(key.lineage()).or_default().push(key);
    }
    let surplus = (lineages.len() + 1).saturating_sub(most);
    let mut lineages: Vec<_> = lineages.into_iter().collect();
    lineages.sort_by_key(|(lineage, keys)| {
        let newest = keys.iter().map(|key| key.issued_at()).max();
        (newest, *lineage)
    });
    let ended = lineages.iter().take(surplus).flat_map(|(_, keys)| keys);
    let reason = RevocationReason::CessationOfOperation;
    let ended = ended.map(|key| Write::revoked(key, reason, at.now));
    change.append(Change::new(ended.collect()));
    Ok((record, change))
}
