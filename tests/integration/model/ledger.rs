//! `A(d, c)`: the authority of every digest at every commit, read from the stores, and the
//! invariants that hold between any two commits. If a digest is imported again after its record has
//! been purged, it begins its own line.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tower_api_key::{KeyDigest, KeyId, KeyRecord};

use super::Check;
use super::caveats::invariant_14_caveats_only_grow;
use super::store::{Commit, Snapshot};

/// The authority of a digest at a commit, if it has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) subject: String,
    pub(super) realm: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) caveats: BTreeSet<String>,
    pub(super) from: u64,
    /// The first moment at which it has no authority.
    pub(super) until: u64,
    /// Another key has replaced it, and it works for a grace period.
    pub(super) in_grace: bool,
}

impl Authority {
    /// `None` if the key is dead.
    pub(super) fn of(record: &KeyRecord) -> Option<Self> {
        let ends = [record.expires_at(), record.grace_ends_at()];
        record.revocation().is_none().then(|| Self {
            subject: record.subject().to_string(),
            realm: record.realm().to_string(),
            scopes: record.scopes().iter().map(str::to_owned).collect(),
            caveats: record.caveats().iter().map(str::to_owned).collect(),
            from: record.not_before().as_unix(),
            until: ends
                .into_iter()
                .flatten()
                .map(tower_api_key::Timestamp::as_unix)
                .min()
                .unwrap_or(u64::MAX),
            in_grace: record.grace_ends_at().is_some(),
        })
    }

    fn is_within(&self, other: &Self) -> bool {
        self.scopes.is_subset(&other.scopes) && self.from >= other.from && self.until <= other.until
    }
}

/// One digest through all commits.
#[derive(Debug)]
pub(super) struct Line {
    record: std::sync::Arc<KeyRecord>,
    /// The authority from each commit on that changed it.
    history: Vec<(u64, Option<Authority>)>,
}

impl Line {
    /// `A(d, c)`.
    pub(super) fn at(&self, commit: u64) -> Option<&Authority> {
        let before = self.history.iter().rev().find(|(at, _)| *at <= commit);
        before.and_then(|(_, authority)| authority.as_ref())
    }

    pub(super) fn latest(&self) -> Option<&Authority> {
        self.history
            .last()
            .and_then(|(_, authority)| authority.as_ref())
    }

    /// The commit at which it died, if it is dead.
    pub(super) fn death(&self) -> Option<u64> {
        let (at, authority) = self.history.last()?;
        authority.is_none().then_some(*at)
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The number of commits.
    pub(super) commits: u64,
    pub(super) lines: BTreeMap<KeyId, Line>,
    snapshots: [Snapshot; 2],
}

impl Ledger {
    /// Every digest that ever belonged to this lineage, in any realm.
    pub(super) fn lineage(&self, lineage: KeyId) -> impl Iterator<Item = (KeyId, &Line)> {
        let of = move |line: &Line| line.record.lineage() == lineage;
        self.lines
            .iter()
            .filter(move |(_, line)| of(line))
            .map(|(id, line)| (*id, line))
    }

    pub(super) fn snapshots(&self) -> &[Snapshot; 2] {
        &self.snapshots
    }

    /// Records the next commit. Returns the keys whose records it changed.
    pub(super) fn observe(&mut self, commit: &Commit) -> Result<Vec<KeyId>, TestCaseError> {
        self.commits += 1;
        let mut changed = Vec::new();
        for (id, record) in &commit.snapshot {
            let authority = Authority::of(record);
            let Some(line) = self.lines.get_mut(id) else {
                let history = vec![(self.commits, authority)];
                let record = std::sync::Arc::clone(record);
                self.lines.insert(*id, Line { record, history });
                continue;
            };
            if line.record == *record {
                continue;
            }
            invariant_1_subject_realm_digest_and_lineage_never_change(&line.record, record)?;
            invariant_2_the_dead_stay_dead(*id, line.latest(), authority.as_ref())?;
            invariant_1_authority_is_antitone(*id, line.latest(), authority.as_ref())?;
            invariant_5_grace_ends_at_never_rises(&line.record, record)?;
            invariant_14_caveats_only_grow(&line.record, record)?;
            changed.push(*id);
            line.record = std::sync::Arc::clone(record);
            if line.latest() != authority.as_ref() {
                line.history.push((self.commits, authority));
            }
        }
        for id in self.snapshots[commit.store].keys() {
            if !commit.snapshot.contains_key(id) {
                prop_assert!(commit.change.is_none(), "a change lost the record of {id}");
                if let Some(line) = self.lines.get_mut(id) {
                    line.history.push((self.commits, None));
                }
            }
        }
        invariant_12_digests_are_unique(&commit.snapshot)?;
        self.snapshots[commit.store].clone_from(&commit.snapshot);
        self.invariant_5_at_most_two_are_live_per_lineage()?;
        Ok(changed)
    }

    /// At any reading of the clock: if intervals overlap at all, some overlap at the beginning of
    /// one of them.
    fn invariant_5_at_most_two_are_live_per_lineage(&self) -> Check {
        let mut lineages: BTreeMap<KeyId, Vec<Authority>> = BTreeMap::new();
        for record in self.snapshots.iter().flat_map(Snapshot::values) {
            if let Some(authority) = Authority::of(record) {
                lineages
                    .entry(record.lineage())
                    .or_default()
                    .push(authority);
            }
        }
        for (lineage, members) in lineages {
            for at in members.iter().map(|member| member.from) {
                let live = members.iter().filter(|it| it.from <= at && at < it.until);
                let live = live.count();
                prop_assert!(
                    live <= 2,
                    "invariant 5: {live} of the lineage {lineage} are live at {at}: {members:?}"
                );
            }
        }
        Ok(())
    }
}

fn invariant_1_subject_realm_digest_and_lineage_never_change(
    before: &KeyRecord,
    after: &KeyRecord,
) -> Check {
    prop_assert_eq!(
        before.subject(),
        after.subject(),
        "invariant 1: the subject changed"
    );
    prop_assert_eq!(
        before.realm(),
        after.realm(),
        "invariant 1: the realm changed"
    );
    prop_assert!(
        before.digest() == after.digest(),
        "invariant 1: the digest changed"
    );
    prop_assert_eq!(
        before.lineage(),
        after.lineage(),
        "invariant 1: the lineage changed"
    );
    Ok(())
}

fn invariant_1_authority_is_antitone(
    id: KeyId,
    before: Option<&Authority>,
    after: Option<&Authority>,
) -> Check {
    if let (Some(before), Some(after)) = (before, after) {
        prop_assert!(
            after.is_within(before),
            "invariant 1: the authority of {id} grew from {before:?} to {after:?}"
        );
    }
    Ok(())
}

fn invariant_2_the_dead_stay_dead(
    id: KeyId,
    before: Option<&Authority>,
    after: Option<&Authority>,
) -> Check {
    prop_assert!(
        before.is_some() || after.is_none(),
        "invariant 2: {id} rose from the dead as {after:?}"
    );
    Ok(())
}

fn invariant_5_grace_ends_at_never_rises(before: &KeyRecord, after: &KeyRecord) -> Check {
    if let Some(earlier) = before.grace_ends_at() {
        prop_assert!(
            after.grace_ends_at().is_some_and(|later| later <= earlier),
            "invariant 5: grace_ends_at rose from {earlier} to {:?}",
            after.grace_ends_at()
        );
    }
    Ok(())
}

fn invariant_12_digests_are_unique(snapshot: &Snapshot) -> Check {
    let digests: BTreeSet<&[u8; 32]> = snapshot
        .values()
        .map(|record| KeyDigest::as_bytes(record.digest()))
        .collect();
    prop_assert_eq!(
        digests.len(),
        snapshot.len(),
        "invariant 12: two records have one digest"
    );
    Ok(())
}
