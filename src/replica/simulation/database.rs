//! A model of Postgres: snapshots, xids in progress, a log by trigger, an asynchronous standby.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::keys::{Key, digest};
use super::mutant::Mutant;
use crate::KeyDigest;
use crate::record::KeyRecord;
use crate::replica::follower::{Answer, Question};
use crate::replica::{Batch, Changes, Head, Position, Sums};

pub(super) const SECOND: u64 = 1_000_000;
/// The staleness that the database states.
pub(super) const STALENESS: u64 = 2 * SECOND;
/// The records of a page: few, so that there are several pages.
const PAGE: usize = 8;
/// How long ago a position was held before the log may forget what only earlier ones need.
const HELD_FOR: u64 = 3 * SECOND;

pub(super) type Rows = BTreeMap<[u8; 32], Arc<KeyRecord>>;
/// What a transaction writes: the row of each key, or none.
pub(super) type Writes = Vec<(Key, Option<Arc<KeyRecord>>)>;

struct Commit {
    visible_at: u64,
    xid: u64,
    writes: Writes,
}

#[derive(Clone, Copy)]
struct Logged {
    xid: u64,
    key: [u8; 32],
    began_at: u64,
    visible_at: u64,
}

pub(super) struct Database {
    mutant: Option<Mutant>,
    pub(super) incarnation: u64,
    next_xid: u64,
    running: BTreeSet<u64>,
    pub(super) rows: Rows,
    first_rows: Rows,
    log: Vec<Logged>,
    /// The log as it would be if nothing was ever pruned.
    whole_log: Vec<Logged>,
    pruned: u64,
    xmins: Vec<(u64, u64)>,
    commits: Vec<Commit>,
    /// Keys of which no trigger knows.
    hidden: BTreeSet<[u8; 32]>,
}

/// A snapshot, as a position names it.
struct Snapshot {
    incarnation: u64,
    last_seen: u64,
    xmax: u64,
    xip: BTreeSet<u64>,
}

/// An answer, with the rows as of its moment, and the incarnation that gave it.
#[derive(Clone)]
pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) rows: Option<Arc<Rows>>,
    pub(super) incarnation: u64,
    pub(super) server_time: u64,
    pub(super) position: Position,
    /// Changes that were pruned before they were delivered.
    pub(super) has_missed: bool,
}

impl Database {
    pub(super) fn new(rows: Rows, mutant: Option<Mutant>) -> Self {
        Self {
            mutant,
            incarnation: 1,
            next_xid: 1,
            running: BTreeSet::new(),
            first_rows: rows.clone(),
            rows,
            log: Vec::new(),
            whole_log: Vec::new(),
            pruned: 0,
            xmins: Vec::new(),
            commits: Vec::new(),
            hidden: BTreeSet::new(),
        }
    }

    pub(super) fn is_hidden(&self, row: &KeyRecord) -> bool {
        self.hidden.contains(row.digest().as_bytes())
    }

    /// Commits without the triggers.
    pub(super) fn commit_unseen(&mut self, xid: u64, writes: Writes, now: u64) {
        self.running.remove(&xid);
        for (key, row) in &writes {
            let key = *digest(*key).as_bytes();
            self.hidden.insert(key);
            self.rows.extend(row.clone().map(|row| (key, row)));
        }
        self.commits.push(Commit {
            visible_at: now,
            xid,
            writes,
        });
    }

    pub(super) fn begin(&mut self) -> u64 {
        let xid = self.next_xid;
        self.next_xid += 1;
        self.running.insert(xid);
        xid
    }

    pub(super) fn roll_back(&mut self, xid: u64) {
        self.running.remove(&xid);
    }

    pub(super) fn commit(&mut self, xid: u64, writes: Writes, began_at: u64, now: u64) {
        self.running.remove(&xid);
        for (key, row) in &writes {
            let key = *digest(*key).as_bytes();
            match row {
                Some(row) => drop(self.rows.insert(key, Arc::clone(row))),
                None => drop(self.rows.remove(&key)),
            }
            let logged = Logged {
                xid,
                key,
                began_at,
                visible_at: now,
            };
            self.log.push(logged);
            self.whole_log.push(logged);
        }
        self.commits.push(Commit {
            visible_at: now,
            xid,
            writes,
        });
    }

    /// The standby has what was visible until this moment. Xids that only lost transactions had are given again.
    pub(super) fn fail_over(&mut self, until: u64) {
        self.incarnation += 1;
        self.running.clear();
        self.commits.retain(|commit| commit.visible_at <= until);
        self.log.retain(|logged| logged.visible_at <= until);
        self.whole_log.retain(|logged| logged.visible_at <= until);
        self.rows = self.first_rows.clone();
        for (key, row) in self.commits.iter().flat_map(|commit| &commit.writes) {
            let key = *digest(*key).as_bytes();
            match row {
                Some(row) => drop(self.rows.insert(key, Arc::clone(row))),
                None => drop(self.rows.remove(&key)),
            }
        }
        let last = self.commits.iter().map(|commit| commit.xid).max();
        self.next_xid = last.unwrap_or(0) + 1;
        self.pruned = self.pruned.min(self.next_xid);
        self.xmins.clear();
    }

    pub(super) fn prune(&mut self, now: u64) {
        let xmin = self.running.first().copied().unwrap_or(self.next_xid);
        self.xmins.push((now, xmin));
        if self.mutant == Some(Mutant::PruneByTime) {
            self.log
                .retain(|logged| logged.began_at + 2 * SECOND >= now);
            return;
        }
        let mut old = self.xmins.iter().rev();
        if let Some(&(_, xmin)) = old.find(|(at, _)| at + HELD_FOR < now) {
            self.log.retain(|logged| logged.xid >= xmin);
            self.pruned = self.pruned.max(xmin);
        }
    }

    pub(super) fn answer(&self, question: &Question, now: u64) -> Answered {
        let head = self.head();
        let position = head.position.clone();
        let mut answered = Answered {
            answer: Answer::Forgotten,
            rows: None,
            incarnation: self.incarnation,
            server_time: now,
            position,
            has_missed: false,
        };
        match question {
            Question::Head => answered.answer = Answer::Head(head),
            Question::Page { after } => {
                let after = after.as_ref().map(KeyDigest::as_bytes);
                let rows = self.rows.iter();
                let rows = rows.filter(|(key, _)| after.is_none_or(|after| *key > after));
                let page = rows.take(PAGE).map(|(_, row)| Arc::clone(row));
                answered.answer = Answer::Page(page.collect());
            }
            Question::Changes {
                since,
                after,
                sums_of,
            } => {
                let sums = sums_of.clone().map(|buckets| self.sums(&buckets));
                self.changes(since, after.as_ref(), head, sums, &mut answered);
            }
            Question::Forget { .. } => {}
        }
        answered
    }

    fn changes(
        &self,
        since: &Position,
        after: Option<&KeyDigest>,
        head: Head,
        sums: Option<Sums>,
        answered: &mut Answered,
    ) {
        let since = Snapshot::read(since);
        let xmin = since.xip.first().copied().unwrap_or(since.xmax);
        let is_other = since.incarnation != self.incarnation || xmin < self.pruned;
        let ignores = matches!(
            self.mutant,
            Some(Mutant::KeepPosition | Mutant::PruneByTime)
        ) && (since.incarnation == self.incarnation
            || self.mutant == Some(Mutant::KeepPosition));
        if is_other && !ignores {
            answered.answer = Answer::Changes(Changes::Lost);
            return;
        }
        let after = after.map(KeyDigest::as_bytes);
        let new = |log: &[Logged]| -> BTreeSet<[u8; 32]> {
            let new = log.iter().filter(|logged| {
                if self.mutant == Some(Mutant::Cursor) {
                    logged.xid > since.last_seen
                } else {
                    logged.xid >= since.xmax || since.xip.contains(&logged.xid)
                }
            });
            let new = new.map(|logged| logged.key);
            new.filter(|key| after.is_none_or(|after| key > after))
                .collect()
        };
        let keys = new(&self.log);
        answered.has_missed = new(&self.whole_log) != keys;
        let mut batch = Batch::new(head);
        batch.sums = sums;
        for key in keys.iter().take(PAGE) {
            match self.rows.get(key) {
                Some(row) => batch.records.push(Arc::clone(row)),
                None => batch.gone.push(KeyDigest::from_bytes(*key)),
            }
            if keys.len() > PAGE {
                batch.next = Some(KeyDigest::from_bytes(*key));
            }
        }
        if batch.next.is_none() && after.is_none() {
            answered.rows = Some(Arc::new(self.rows.clone()));
        }
        answered.answer = Answer::Changes(Changes::Since(batch));
    }

    fn head(&self) -> Head {
        let last_seen = self.log.iter().map(|logged| logged.xid).max().unwrap_or(0);
        let xip: Vec<String> = self.running.iter().map(u64::to_string).collect();
        let position = format!(
            "{}:{last_seen}:{}:{}",
            self.incarnation,
            self.next_xid,
            xip.join(",")
        );
        Head::new(Position::new(position), Duration::from_micros(STALENESS))
    }

    fn sums(&self, buckets: &RangeInclusive<u8>) -> Sums {
        let mut sums = Sums::new();
        let rows = self.rows.iter();
        let rows = rows.filter(|(key, _)| buckets.contains(&key[0]));
        rows.for_each(|(_, row)| sums.add(row));
        sums
    }
}

pub(super) fn incarnation_of(position: &Position) -> u64 {
    Snapshot::read(position).incarnation
}

impl Snapshot {
    fn read(position: &Position) -> Self {
        let mut parts = position.as_str().split(':');
        let mut number = || parts.next().unwrap().parse().unwrap();
        let (incarnation, last_seen, xmax) = (number(), number(), number());
        let xip = parts.next().unwrap().split(',').filter(|it| !it.is_empty());
        Self {
            incarnation,
            last_seen,
            xmax,
            xip: xip.map(|xid| xid.parse().unwrap()).collect(),
        }
    }
}
