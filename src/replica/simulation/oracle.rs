//! What must hold. The names are those of the assertions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::database::STALENESS;
use super::keys::Key;
use crate::record::KeyRecord;

/// A change that was acknowledged, on the branch that lives.
#[derive(Debug, Clone)]
pub(super) struct Acknowledged {
    pub(super) at: u64,
    pub(super) visible_at: u64,
    pub(super) record: Option<Arc<KeyRecord>>,
}

/// All that was acknowledged, and what did not hold.
#[derive(Default)]
pub(super) struct Oracle {
    acknowledged: BTreeMap<Key, Vec<Acknowledged>>,
    /// How often each assertion did not hold, and the first time.
    pub(super) violations: BTreeMap<&'static str, (u32, String)>,
    pub(super) accepts: u64,
    pub(super) denials: u64,
    pub(super) unavailable: u64,
    pub(super) failovers: u32,
    pub(super) settled: u32,
    pub(super) resets: u32,
    pub(super) renewals: u64,
    /// Audits that have found a difference.
    pub(super) differing: u32,
}

impl Oracle {
    pub(super) fn acknowledge(&mut self, key: Key, acknowledged: Acknowledged) {
        let of_key = self.acknowledged.entry(key).or_default();
        of_key.push(acknowledged);
        of_key.sort_by_key(|it| it.visible_at);
    }

    /// What came later is lost.
    pub(super) fn fail_over(&mut self, until: u64) {
        self.failovers += 1;
        self.acknowledged.retain(|_, of_key| {
            of_key.retain(|it| it.visible_at <= until);
            !of_key.is_empty()
        });
    }

    pub(super) fn require(
        &mut self,
        name: &'static str,
        holds: bool,
        what: impl FnOnce() -> String,
    ) {
        if !holds {
            let (count, _) = self.violations.entry(name).or_insert_with(|| (0, what()));
            *count += 1;
        }
    }

    /// The last change of a key that was acknowledged by then.
    pub(super) fn acknowledged_by(&self, key: Key, at: u64) -> Option<&Acknowledged> {
        let of_key = self.acknowledged.get(&key)?;
        of_key.iter().rev().find(|it| it.at <= at)
    }

    /// Whether this very change was acknowledged and is not lost.
    pub(super) fn has(&self, key: Key, visible_at: u64) -> bool {
        let of_key = self.acknowledged.get(&key);
        of_key.is_some_and(|of_key| of_key.iter().any(|it| it.visible_at == visible_at))
    }

    /// All keys of which something was acknowledged by then, each with the last change.
    pub(super) fn all_by(&self, at: u64) -> Vec<(Key, Acknowledged)> {
        let keys = self.acknowledged.keys();
        let last = keys.filter_map(|&key| Some((key, self.acknowledged_by(key, at)?.clone())));
        last.collect()
    }

    /// An accept of this record, by a request that began then.
    pub(super) fn accept(&mut self, node: usize, key: Key, began: u64, record: &KeyRecord) {
        self.accepts += 1;
        let Some(by) = began.checked_sub(STALENESS) else {
            return;
        };
        let Some(last) = self.acknowledged_by(key, by) else {
            return;
        };
        let last = last.clone();
        let holds = last
            .record
            .as_ref()
            .is_some_and(|last| record.is_within(last));
        self.require("s01_accept_began_before_tau_plus_delta", holds, || {
            format!(
                "node {node} accepted key {key} at {began}, changed at {}",
                last.at
            )
        });
    }
}
