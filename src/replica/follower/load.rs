//! From the head of a history to the position that changes are asked from.

use std::collections::VecDeque;
use std::mem;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Follower;
use super::question::{Action, Notice};
use super::state::{Comparing, Load, Purpose, State, is_after};
use super::walk::Walk;
use crate::key::digest::KeyDigest;
use crate::record::KeyRecord;
use crate::replica::{Batch, Position};
use crate::store::{Asked, StoreError, StoreErrorKind};

/// After as many failures, all records are loaded without a comparison.
const MOST_FAILED_SUMS: u32 = 3;

impl Follower {
    pub(super) fn head(&mut self, position: Position, now: Asked, actions: &mut Vec<Action>) {
        if !matches!(self.state, State::Beginning) {
            return;
        }
        actions.push(Action::StartOver);
        if self.holds_records && self.failed_sums < MOST_FAILED_SUMS {
            self.state = State::Comparing(Comparing {
                since: position,
                walk: Walk::default(),
            });
            self.due = now.at();
        } else {
            self.load_all(position, now, actions);
        }
    }

    /// The checksums of some buckets. What has changed since the position comes with the first pull.
    pub(super) fn sums(
        &mut self,
        buckets: RangeInclusive<u8>,
        batch: Batch,
        now: Asked,
        actions: &mut Vec<Action>,
    ) {
        let State::Comparing(comparing) = &mut self.state else {
            return;
        };
        if let Some(sums) = batch.sums {
            comparing.walk.is_comparing = true;
            actions.push(Action::Compare(buckets, sums));
        } else {
            let since = comparing.since.clone();
            actions.push(Action::EndComparisons);
            self.load_all(since, now, actions);
        }
    }

    fn load_all(&mut self, since: Position, now: Asked, actions: &mut Vec<Action>) {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        self.load(since, &all, now, actions);
    }

    /// The buckets up to this one were compared, and these differ.
    pub(super) fn compared(
        &mut self,
        upto: u8,
        differing: Vec<u8>,
        now: Asked,
        actions: &mut Vec<Action>,
    ) {
        match &mut self.state {
            State::Comparing(Comparing { since, walk }) if walk.is_comparing => {
                self.due = now.at();
                if let Some(differing) = walk.compared(upto, differing) {
                    // Another history, of which the rest is the same.
                    let since = since.clone();
                    self.failed_sums = 0;
                    actions.push(Action::EndComparisons);
                    self.load(since, &differing, now, actions);
                }
            }
            State::Following(_) if self.audit.is_comparing => {
                match self.audit.compared(upto, differing) {
                    Some(differing) => {
                        self.audit_due = Some(self.pace.next_audit(now.at()));
                        self.end_audit(differing, actions);
                    }
                    None => self.audit_due = Some(self.pace.next_part_of_audit(now.at())),
                }
            }
            _ => {}
        }
    }

    /// The audit goes on later, where it was.
    pub(super) fn stop_audit(&mut self, now: Asked, actions: &mut Vec<Action>) {
        self.audit_due = Some(self.pace.audit_again(now.at()));
        let differing = self.audit.stop();
        self.end_audit(differing, actions);
    }

    fn end_audit(&mut self, differing: Vec<u8>, actions: &mut Vec<Action>) {
        actions.push(Action::EndComparisons);
        if !differing.is_empty() {
            actions.push(Action::Tell(Notice::Diverged(differing.len())));
            self.differing = differing;
        }
    }

    /// Loads these buckets, and goes on from this position.
    pub(super) fn load(
        &mut self,
        since: Position,
        buckets: &[u8],
        now: Asked,
        actions: &mut Vec<Action>,
    ) {
        let mut runs: VecDeque<RangeInclusive<u8>> = VecDeque::new();
        for &bucket in buckets {
            match runs.back_mut() {
                Some(run) if run.end().checked_add(1) == Some(bucket) => {
                    *run = *run.start()..=bucket;
                }
                _ => runs.push_back(bucket..=bucket),
            }
        }
        let load = Load {
            since,
            runs,
            after: None,
        };
        self.due = now.at();
        self.next_run(load, actions);
    }

    /// Begins with the first run that is left.
    fn next_run(&mut self, mut load: Load, actions: &mut Vec<Action>) {
        let Some(run) = load.runs.front() else {
            self.positions.clear();
            self.state = State::Following(load.since);
            return;
        };
        actions.push(Action::Replace(run.clone()));
        load.after = before(*run.start());
        self.state = State::Loading(load);
    }

    pub(super) fn page(
        &mut self,
        records: Vec<Arc<KeyRecord>>,
        now: Asked,
        actions: &mut Vec<Action>,
    ) {
        let last = records.last().map(|record| *record.digest());
        let State::Loading(load) = &mut self.state else {
            return;
        };
        if last.is_some() && !is_after(last.as_ref(), load.after.as_ref()) {
            let error = StoreError::new(StoreErrorKind::Corrupt, "the page does not go on");
            return self.failed(Purpose::Page, error, now, actions);
        }
        self.holds_records = true;
        self.due = now.at();
        let run_end = load.runs.front().map_or(u8::MAX, |run| *run.end());
        let is_last = last.is_none_or(|last| last.as_bytes()[0] > run_end);
        actions.push(Action::Load { records, is_last });
        if !is_last {
            load.after = last;
            return;
        }
        load.runs.pop_front();
        let mut load = Load {
            since: load.since.clone(),
            runs: mem::take(&mut load.runs),
            after: None,
        };
        if last.is_none() {
            // There are no records in the other runs either.
            for run in load.runs.drain(..) {
                actions.push(Action::Replace(run));
                actions.push(Action::Load {
                    records: Vec::new(),
                    is_last: true,
                });
            }
        }
        self.next_run(load, actions);
    }
}

/// The last digest before a bucket.
fn before(bucket: u8) -> Option<KeyDigest> {
    let mut bytes = [u8::MAX; 32];
    bytes[0] = bucket.checked_sub(1)?;
    Some(KeyDigest::from_bytes(bytes))
}
