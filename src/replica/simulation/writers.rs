//! Transactions, by anybody and by the ring of a node, and what is lost of them.

use std::sync::Arc;

use super::database::SECOND;
use super::happening::Happening;
use super::keys::{Deed, Key, digest, done, issued};
use super::node::Returning;
use super::world::World;
use crate::record::KeyRecord;

/// How many keys a request or a transaction is about: the newest.
const POPULAR: usize = 48;
/// The number of the first key that no trigger has seen.
const FIRST_UNSEEN: Key = 1 << 32;

impl World {
    pub(super) fn popular(&mut self) -> Key {
        let first = self.keys.saturating_sub(POPULAR);
        first + self.random.index(self.keys - first)
    }

    pub(super) fn begin(&mut self) {
        let xid = self.database.begin();
        let length = if self.random.per_mille(30) {
            self.random.about(3 * SECOND)
        } else {
            self.random.about(3_000)
        };
        let commit = Happening::Commit {
            xid,
            began_at: self.now,
            incarnation: self.database.incarnation,
        };
        self.after(length, commit);
        if !self.is_calm() {
            let next = self.random.about(25_000);
            self.after(next, Happening::Begin);
        }
    }

    pub(super) fn commit(&mut self, xid: u64, began_at: u64, incarnation: u64) {
        if incarnation != self.database.incarnation {
            return;
        }
        if self.random.per_mille(50) {
            return self.database.roll_back(xid);
        }
        if self.random.per_mille(20) {
            return self.commit_unseen(xid);
        }
        let deed = match self.random.below(100) {
            0..22 => Deed::Issue,
            22..34 => Deed::Regrant,
            34..42 => Deed::Rotate,
            42..56 => Deed::Narrow,
            56..66 => Deed::Describe,
            66..92 => Deed::Revoke,
            _ => Deed::Delete,
        };
        let key = self.popular();
        let Some(writes) = self.writes(deed, key) else {
            return self.database.roll_back(xid);
        };
        let now = self.now;
        self.database.commit(xid, writes.clone(), began_at, now);
        for (key, record) in writes {
            let later = self.random.about(1_000);
            let acknowledge = Happening::Acknowledge {
                key,
                record,
                visible_at: now,
                incarnation,
            };
            self.after(later, acknowledge);
        }
        if self.random.per_mille(100) {
            let node = self.random.index(self.nodes.len());
            self.after(1_000, Happening::Hint(node));
        }
    }

    /// A key that is issued while the triggers are disabled. No request is about it.
    fn commit_unseen(&mut self, xid: u64) {
        let key = FIRST_UNSEEN + self.unseen;
        self.unseen += 1;
        let writes = vec![(key, Some(issued(key)))];
        self.database.commit_unseen(xid, writes, self.now);
    }

    /// What a deed writes, if its key is there and not revoked.
    fn writes(&mut self, deed: Deed, key: Key) -> Option<Vec<(Key, Option<Arc<KeyRecord>>)>> {
        let mut writes = Vec::new();
        let mut adds = deed == Deed::Issue;
        if deed != Deed::Issue {
            let record = self.database.rows.get(digest(key).as_bytes())?;
            if record.revocation().is_some() && deed != Deed::Delete {
                return None;
            }
            let (next, has_successor) = done(deed, record);
            writes.push((key, next));
            adds = has_successor;
        }
        if adds {
            writes.push((self.keys, Some(issued(self.keys))));
            self.keys += 1;
        }
        Some(writes)
    }

    pub(super) fn write(&mut self, node: usize) {
        let next = self.random.about(3 * SECOND);
        self.after(next, Happening::Write(node));
        let (key, deed) = (self.popular(), Deed::Revoke);
        if self.is_lost(node) || self.is_calm() {
            return;
        }
        let Some(writes) = self.writes(deed, key) else {
            return;
        };
        let (xid, now) = (self.database.begin(), self.now);
        let (key, record) = writes[0].clone();
        self.database.commit(xid, writes, now, now);
        self.order += 1;
        let change = Returning {
            number: self.order,
            node,
            key,
            record: record.clone(),
            visible_at: now,
            returned_at: 0,
        };
        let wire = self.wire();
        let acknowledge = Happening::Acknowledge {
            key,
            record,
            visible_at: now,
            incarnation: self.database.incarnation,
        };
        self.after(wire, acknowledge);
        self.after(wire, Happening::Written { node, change });
    }

    pub(super) fn fail_over(&mut self) {
        let next = self.random.about(12 * SECOND);
        self.after(next, Happening::FailOver);
        if self.is_calm() {
            return;
        }
        let until = self.now.saturating_sub(self.random.about(60_000));
        self.database.fail_over(until);
        self.oracle.fail_over(until);
        for node in &mut self.nodes {
            node.returned.retain(|_, change| change.visible_at <= until);
            let is_kept = |change: &Returning| change.visible_at <= until;
            node.waiting.retain(is_kept);
            node.covered.retain(is_kept);
        }
    }
}
