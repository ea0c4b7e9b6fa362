//! Operations that remove authority: narrowing, revocations and purges, and their required results.

use std::sync::Arc;

use proptest::prelude::*;
use tower_api_key::{Error, ErrorKind, KeyId, KeyRecord, RevocationReason};

use super::caveats::both;
use super::ledger::Authority;
use super::operations::At;
use super::rings::RINGS;
use super::run::Run;
use super::sets::{Cut, Taken};
use super::{Check, now};

/// The requested key, its id, and the ring of the request.
pub(super) type Asked = (Option<usize>, KeyId, usize);

impl Run<'_> {
    pub(super) fn narrow(&mut self, at: At, cut: Cut) -> Check {
        let (key, id, ring) = self.resolve(at);
        let held = key.map(|key| self.reference.keys[key].parts.scopes.clone());
        let taken = cut.of(held.as_ref(), ring);
        let record = now(self.world.rings[ring].narrow(id, taken.narrowing()));
        let commits = self.take_down(ring)?;
        self.narrowed((key, id, ring), &taken, record, commits)
    }

    pub(super) fn narrowed(
        &mut self,
        (key, _, ring): Asked,
        taken: &Taken,
        record: Result<Arc<KeyRecord>, Error>,
        commits: u64,
    ) -> Check {
        let narrowing = self.reference.narrowing(ring, key, taken);
        if let Some((record, key)) = self.agree("narrow", record, narrowing, commits)? {
            self.invariants_4_and_14_narrowed_in_place_and_alone(&record, key, taken)?;
            let narrowed = self.reference.narrow(ring, key, taken);
            prop_assert_eq!(
                commits,
                u64::from(narrowed.is_some()),
                "invariant 4: a narrowing is one commit, or none if it changes nothing"
            );
            prop_assert_eq!(&record.to_parts(), &self.reference.keys[key].parts);
            match (narrowed, &taken.scopes) {
                _ if taken.caveats.is_empty() => {}
                (None, _) => self.count("narrow: with caveats that it had"),
                (Some(_), Some(_)) => self.count("narrow: to scopes, with caveats"),
                (Some(0), None) => self.count("narrow: with caveats alone"),
                (Some(_), None) => self.count("narrow: caveats alone ended a key in grace"),
            }
        }
        Ok(())
    }

    /// The key is the one of the model before the narrowing.
    fn invariants_4_and_14_narrowed_in_place_and_alone(
        &self,
        record: &KeyRecord,
        key: usize,
        taken: &Taken,
    ) -> Check {
        let id = record.id();
        let before = &self.reference.keys[key].parts;
        let authority = self.ledger.lines[&id].latest();
        let texts = |it: &mut dyn Iterator<Item = &str>| it.map(str::to_owned).collect();
        let scopes = taken.scopes.as_ref().unwrap_or(&before.scopes);
        prop_assert_eq!(
            authority.map(|it| &it.scopes),
            Some(&texts(&mut scopes.iter())),
            "invariant 4: narrow shrinks in place"
        );
        prop_assert_eq!(
            authority.map(|it| &it.caveats),
            Some(&texts(&mut both(&before.caveats, &taken.caveats).iter())),
            "invariant 14: narrow adds to the caveats"
        );
        for (other, line) in self.ledger.lineage(record.lineage()) {
            prop_assert!(
                other == id || line.latest().is_none(),
                "invariant 4: {other} lives beside {id}, which was narrowed"
            );
        }
        Ok(())
    }

    pub(super) fn revoke(&mut self, at: At, reason: RevocationReason) -> Check {
        let (key, id, ring) = self.resolve(at);
        let done = now(self.world.rings[ring].revoke(id, reason));
        let commits = self.take_down(ring)?;
        self.revoked((key, id, ring), reason, done, commits)
    }

    pub(super) fn revoked(
        &mut self,
        (key, id, ring): Asked,
        reason: RevocationReason,
        done: Result<(), Error>,
        commits: u64,
    ) -> Check {
        let known = key.filter(|&key| self.reference.knows(ring, key));
        let known = known.ok_or(vec![ErrorKind::NotFound]);
        if let Some(((), key)) = self.agree("revoke", done, known, commits)? {
            let count = self.reference.revoke(&[key], reason) as u64;
            prop_assert_eq!(
                commits,
                count,
                "a revocation is one commit, or none for the dead"
            );
            prop_assert_eq!(
                self.ledger.lines[&id].latest(),
                None,
                "invariant 6: {} lives",
                id
            );
        }
        Ok(())
    }

    pub(super) fn revoke_lineage(&mut self, at: At, reason: RevocationReason) -> Check {
        let (key, id, ring) = self.resolve(at);
        let count = now(self.world.rings[ring].revoke_lineage(id, reason));
        let commits = self.take_down(ring)?;
        self.lineage_revoked((key, id, ring), reason, count, commits)
    }

    pub(super) fn lineage_revoked(
        &mut self,
        (key, id, ring): Asked,
        reason: RevocationReason,
        count: Result<usize, Error>,
        commits: u64,
    ) -> Check {
        // A key that the ring does not know may still be the first of a lineage that it knows.
        let known = key.filter(|&key| self.reference.knows(ring, key));
        let lineage = known.map_or(id, |key| self.reference.keys[key].parts.lineage);
        let members = self.reference.lineage(ring, lineage);
        let predicted = if members.is_empty() {
            Err(vec![ErrorKind::NotFound])
        } else {
            Ok(members)
        };
        if let Some((count, members)) = self.agree("revoke_lineage", count, predicted, commits)? {
            self.invariant_6_none_lives(ring, |authority, of| {
                authority.is_some() && of == lineage
            })?;
            prop_assert!(commits <= 1, "invariant 6: a lineage ends in one commit");
            prop_assert_eq!(count, self.reference.revoke(&members, reason));
        }
        Ok(())
    }

    pub(super) fn revoke_subject(
        &mut self,
        ring: usize,
        subject: &str,
        reason: RevocationReason,
    ) -> Check {
        let count = now(self.world.rings[ring].revoke_subject(subject, reason));
        let commits = self.take_down(ring)?;
        let keys: Vec<usize> = (0..self.reference.keys.len())
            .filter(|&key| self.reference.knows(ring, key))
            .filter(|&key| self.reference.keys[key].parts.subject == subject)
            .collect();
        if let Some((count, keys)) = self.agree("revoke_subject", count, Ok(keys), commits)? {
            self.invariant_6_none_lives(ring, |authority, _| {
                authority.is_some_and(|authority| authority.subject == subject)
            })?;
            prop_assert!(
                commits <= 1,
                "invariant 6: a subject's keys end in one commit"
            );
            prop_assert_eq!(count, self.reference.revoke(&keys, reason));
        }
        Ok(())
    }

    /// At any time: an expired key would be live again if the clock were set back.
    fn invariant_6_none_lives(
        &self,
        ring: usize,
        is_one: impl Fn(Option<&Authority>, KeyId) -> bool,
    ) -> Check {
        let spec = &RINGS[ring];
        for record in self.ledger.snapshots()[spec.store].values() {
            let authority = Authority::of(record);
            prop_assert!(
                record.realm().as_str() != spec.realm
                    || !is_one(authority.as_ref(), record.lineage()),
                "invariant 6: {} lives after a revocation that returned",
                record.id()
            );
        }
        Ok(())
    }

    pub(super) fn purge(&mut self, ring: usize) -> Check {
        let count = now(self.world.rings[ring].purge());
        self.take_down(ring)?;
        let predicted = self.reference.purge(ring);
        if let Some((count, predicted)) = self.agree("purge", count, Ok(predicted), 0)? {
            prop_assert_eq!(count, predicted, "how many records were purged");
            if count > 0 {
                self.count("purge: something");
            }
        }
        Ok(())
    }
}
